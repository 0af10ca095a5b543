#!/bin/sh
# Builds the fuzz targets with the stable toolchain and runs them one after another, one worker each.
# run.sh SECONDS [TARGET...]: that many seconds in total, shared between the targets. Nothing here is unsafe code, so no sanitizer is needed,
# and coverage alone (an LLVM pass that the stable compiler takes) works without a nightly toolchain.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- yaml kustomization patches replacements
: "${FUZZ_TARGET_DIR:=$here/target}"
: "${FUZZ_CORPUS:=$here/corpus}"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1" \
	cargo build --quiet --release --manifest-path "$here/Cargo.toml" --target "$host" --target-dir "$FUZZ_TARGET_DIR"
"$here/seed.sh"
each=$((seconds / $#))
for target in "$@"; do
	mkdir -p "$here/artifacts/$target"
	echo "fuzz $target for ${each}s"
	"$FUZZ_TARGET_DIR/$host/release/$target" "$FUZZ_CORPUS/$target" \
		-artifact_prefix="$here/artifacts/$target/" -dict="$here/yaml.dict" -max_len=4096 -timeout=5 -rss_limit_mb=1024 \
		-max_total_time="$each" -print_final_stats=1 -verbosity=0
done
