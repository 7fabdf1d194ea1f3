#!/bin/sh
# install.sh LOCK: the locked packages, and this project, with the pip that PIP names. TORCH_INDEX: see dependencies.sh.
set -eu

"$(dirname "$0")/dependencies.sh" "$1"
# setuptools is among the locked packages: nothing is fetched to build with.
$PIP install --quiet --no-deps --no-build-isolation -e .
