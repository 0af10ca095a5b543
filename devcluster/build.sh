#!/bin/sh
# Builds the devcluster binary when its sources changed, and prints its path: the only thing on stdout.
#
# It needs Go and nothing else, and two callers at once share one build.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$(dirname -- "$here")/target/devcluster
binary=$out/devcluster
stamp=$out/devcluster.stamp

# The version that the API server tells its clients (who cannot read it otherwise) and that the components tell
# the API server: that of k8s.io/kubernetes.
kubernetes=$(sed -n 's|^[[:space:]]*k8s\.io/kubernetes \(v[0-9.]*\)$|\1|p' "$here/go.mod")
major=$(echo "$kubernetes" | sed 's/^v\([0-9]*\)\..*/\1/')
minor=$(echo "$kubernetes" | sed 's/^v[0-9]*\.\([0-9]*\)\..*/\1/')
version=k8s.io/component-base/version
client=k8s.io/client-go/pkg/version

if command -v sha256sum >/dev/null 2>&1; then
	digest() { sha256sum; }
else
	digest() { shasum -a 256; }
fi

# What goes into the binary: every source but the tests, this script, and the compiler.
sources() {
	cd "$here"
	find . -type f \( -name '*.go' -o -name '*.yaml' -o -name go.mod -o -name go.sum -o -name build.sh \) \
		! -name '*_test.go' | LC_ALL=C sort | while IFS= read -r file; do
		digest <"$file"
		echo "$file"
	done
	go version
}
wanted=$(sources | digest)

is_current() {
	[ -x "$binary" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]
}

if ! is_current; then
	mkdir -p "$out"
	exec 9>"$out/devcluster.lock"
	if command -v flock >/dev/null 2>&1; then flock 9; fi
	# The other caller may have built it meanwhile.
	if ! is_current; then
		echo "devcluster: building Kubernetes $kubernetes (the first build takes a few minutes, later ones seconds)" >&2
		began=$(date +%s)
		# The compiler's words (a line for each download) matter only when it fails.
		if ! (cd "$here" && CGO_ENABLED=0 go build -buildvcs=false \
			-ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=$major -X $version.gitMinor=$minor -X $client.gitVersion=$kubernetes" \
			-o "$binary.new" .) 9>&- >"$out/devcluster.log" 2>&1; then
			cat "$out/devcluster.log" >&2
			echo "devcluster: failed to build" >&2
			exit 1
		fi
		# Renamed, so that a cluster that runs keeps the binary it was started with.
		mv "$binary.new" "$binary"
		echo "$wanted" >"$stamp"
		echo "devcluster: built in $(($(date +%s) - began)) s" >&2
	fi
	exec 9>&-
fi
echo "$binary"
