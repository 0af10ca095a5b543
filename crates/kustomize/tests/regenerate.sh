#!/bin/sh
# Rewrites the expectations of tests/cases from the real kustomize, which is built when it is missing; with --check, fails when that
# would change them.
set -eu
cd "$(dirname "$0")"
oracle=$(../oracle/build.sh)
case "${1:-}" in
--check) exec python3 regenerate.py "$oracle" --check "$oracle" ;;
"") exec python3 regenerate.py "$oracle" ;;
*)
	echo "usage: regenerate.sh [--check]" >&2
	exit 2
	;;
esac
