#!/bin/sh
# Rewrites the expectations of tests/cases from the real kustomize, which is built when it is missing.
set -eu
cd "$(dirname "$0")"
oracle=$(../oracle/build.sh)
exec python3 regenerate.py "$oracle"
