# The verbs of this project. `make` lists them; .ci/run uses them.
# One target directory and one set of features for all of them, so that nothing is built twice.

CARGO ?= cargo
GO ?= go
# As devcluster/build.sh builds, so that its tests find everything compiled.
export CGO_ENABLED = 0

# Static where that can be built (.ci/static installs what it takes); asked for after that, so not with `:=`.
STATIC = $(shell .ci/static)
RELEASE = --release --locked $(addprefix --target ,$(STATIC))
# Shell: where cargo puts everything, and where it puts what RELEASE builds.
TARGET = $${CARGO_TARGET_DIR:-target}
RELEASED = $(TARGET)/$(addsuffix /,$(STATIC))release

.DEFAULT_GOAL := help
.PHONY: help setup static build image-root generate devcluster demo test lint test-oracle generate-cases check-cases test-devcluster test-rust test-hermetic test-cluster bench bench-render bench-rooms bench-fleet soak clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## check what is needed, and install what apt can give
	@.ci/setup

static:
	@.ci/static install >/dev/null

build: static ## build the binary: target/release/plimsoll
	$(CARGO) rustc $(RELEASE) --bin plimsoll $(if $(STATIC),-- -C relocation-model=static)
	$(if $(STATIC),install -D -m 0755 $(RELEASED)/plimsoll $(TARGET)/release/plimsoll)

image-root: static ## lay out the root of the container image without Docker, and say how large it is
	PLIMSOLL_PIE=1 $(CARGO) build $(RELEASE) --bin plimsoll
	rm -rf $(TARGET)/image-root && \
		deploy/image/root.sh $(RELEASED)/plimsoll $(TARGET)/image-root && \
		cd $(TARGET)/image-root && find . -type f -size +100k -printf '%s %p\n' && \
		tar -cf - . | wc -c | awk '{printf "%.1f MB as a layer\n", $$1 / 1e6}' && \
		tar -czf - . | wc -c | awk '{printf "%.1f MB as it is pulled\n", $$1 / 1e6}'

generate: ## write the definitions again from the types
	$(CARGO) run --quiet -- crds --directory crds
	cp crds/plimsoll.dev_*.yaml charts/plimsoll/crds/

devcluster: ## build the control plane of the demo and the tests (minutes when cold)
	devcluster/build.sh

demo: build devcluster ## play the story on a real control plane; KEEP=1 leaves it running
	$(CARGO) run $(RELEASE) --example demo -- $(if $(KEEP),--keep)

bench-fleet: build devcluster ## fleets of Applications beside a plain loop; ARGUMENTS="--applications 500 --json file"
	$(CARGO) run $(RELEASE) --example bench -- $(ARGUMENTS)

test: lint test-oracle test-devcluster test-rust ## everything

lint: ## format, clippy, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

test-rust: devcluster ## every test in Rust, those on a real control plane included
	$(CARGO) test --workspace --locked --no-fail-fast

test-hermetic: ## the tests that need no control plane: while you work
	$(CARGO) test --locked --lib --test it

test-cluster: devcluster ## the tests on a real control plane
	$(CARGO) test --locked --test cluster

test-devcluster: devcluster ## vet and test the control plane itself
	cd devcluster && $(GO) vet ./... && $(GO) test ./...

test-oracle: ## the expectations of the renderer are those of the real kustomize
	crates/kustomize/oracle/build.sh
	cd crates/kustomize/oracle && $(GO) vet ./...
	crates/kustomize/oracle/regenerate.sh --check
	crates/kustomize/tests/regenerate.sh --check

generate-cases: ## write the expectations of the renderer anew from the real kustomize
	crates/kustomize/oracle/regenerate.sh
	crates/kustomize/tests/regenerate.sh

check-cases: test-oracle ## the committed expectations are those of the real kustomize

bench: bench-render bench-rooms bench-fleet ## every measurement

bench-rooms: ## render, digest, plan and records alone
	$(CARGO) bench --locked --bench rooms

bench-render: build ## the renderer beside the real kustomize: time, memory, growth (QUICK=1 for a minute)
	$(CARGO) build --release --locked --package plimsoll-kustomize --example bench_render
	$(TARGET)/release/examples/bench_render $(if $(QUICK),--quick) \
		--kustomize "$$(ORACLE_OUTPUT=$(TARGET)/oracle/kustomize crates/kustomize/oracle/build.sh)" \
		--plimsoll $(TARGET)/release/plimsoll --json $(TARGET)/bench/render.json

soak: devcluster ## an hour of fuzzing (SECONDS=3600), the model and 10,000 objects for 5 minutes (MODEL=300), the laws at length
	seed=$${PROPTEST_RNG_SEED:-$$(date +%s)}; echo "seed of the laws of the rollout: $$seed (PROPTEST_RNG_SEED)"; \
		PROPTEST_RNG_SEED=$$seed PLIMSOLL_ROLLOUT_SEQUENCES=$(or $(SEQUENCES),250000) $(CARGO) test --workspace --locked --lib rollout::tests
	seed=$${PLIMSOLL_DIFFERENTIAL_SEED:-$$(date +%s)}; echo "seed of the differential test: $$seed (PLIMSOLL_DIFFERENTIAL_SEED)"; \
		PLIMSOLL_DIFFERENTIAL_SEED=$$seed PLIMSOLL_DIFFERENTIAL_CASES=$${PLIMSOLL_DIFFERENTIAL_CASES:-20000} \
		$(CARGO) test --workspace --locked --test differential -- --nocapture
	PLIMSOLL_SOAK_SECONDS=$(or $(MODEL),300) $(CARGO) test --workspace --locked --test cluster -- --nocapture --test-threads=1 story_model story_large
	crates/kustomize/fuzz/run.sh $(or $(SECONDS),3600)

clean: ## remove what was built
	$(CARGO) clean
