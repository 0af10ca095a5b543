#!/bin/sh
# Fills the expectations of the YAML tables in anew from the real kustomize; with --check, fails when that would change them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$("$here/build.sh")
case "${1:-}" in
--check) exec "$binary" check-tables "$here/../src/yaml/tables" ;;
"") exec "$binary" tables "$here/../src/yaml/tables" ;;
*)
	echo "usage: regenerate.sh [--check]" >&2
	exit 2
	;;
esac
