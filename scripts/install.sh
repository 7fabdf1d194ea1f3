#!/bin/sh
# install.sh LOCK: the locked packages, and this project, with the pip that PIP names.
#
# TORCH_INDEX (a package index's address) takes torch and torchvision from there, which is how to get PyTorch's own
# CPU build, without the 4 GB of CUDA libraries. The other packages keep their locked versions.
set -eu

lock=$1
if [ -z "${TORCH_INDEX:-}" ]; then
    $PIP install --require-hashes -r "$lock"
else
    # A hash cannot be had for what another index holds, so here versions alone are held.
    mkdir -p build
    sed -n 's/^\([a-z0-9][a-z0-9._-]*==[^ ;]*\).*/\1/p' "$lock" >build/constraints.txt
    $PIP install --index-url "$TORCH_INDEX" $(grep -E '^torch(vision)?==' build/constraints.txt)
    extra=
    [ "$lock" != requirements-dev.lock ] || extra="[dev]"
    $PIP install -c build/constraints.txt -e ".$extra" 'setuptools>=77'
fi
# setuptools is among the locked packages: nothing is fetched to build with.
$PIP install --quiet --no-deps --no-build-isolation -e .
