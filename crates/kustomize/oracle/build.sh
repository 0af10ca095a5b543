#!/bin/sh
# Builds the real kustomize (the version in go.mod) to target/oracle/kustomize when its sources changed; prints the path.
# ORACLE_BUILD_PREFIX is put in front of `go build` (a lock, for example).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
binary=${ORACLE_OUTPUT:-$root/target/oracle/kustomize}
newest=$(ls -t "$here"/*.go "$here"/go.mod "$here"/go.sum 2>/dev/null | head -n 1)
if [ ! -x "$binary" ] || [ "$newest" -nt "$binary" ]; then
	mkdir -p "$(dirname "$binary")"
	# The name is replaced at once, so that a test that runs the old one is not disturbed.
	(cd "$here" && ${ORACLE_BUILD_PREFIX:-} go build -trimpath -o "$binary.new" . >&2)
	mv "$binary.new" "$binary"
fi
echo "$binary"
