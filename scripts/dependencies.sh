#!/bin/sh
# dependencies.sh LOCK: the locked packages, and nothing of this project, with the pip that PIP names.
#
# TORCH_INDEX (a package index's address) takes torch and torchvision from there, which is how to get PyTorch's own
# CPU build, without the 4 GB of CUDA libraries. The other packages stay as they are locked, with their hashes.
set -eu

lock=$1
if [ -z "${TORCH_INDEX:-}" ]; then
    exec $PIP install --require-hashes -r "$lock"
fi
others=$(mktemp)
trap 'rm -f "$others"' EXIT
# A package is a line that is not indented, and the lines of its hashes below.
awk '/^[a-z0-9]/ { kept = $0 !~ /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/ } kept' \
    "$lock" >"$others"
$PIP install --require-hashes --no-deps -r "$others"
# A hash cannot be had for what another index holds, so here versions alone are held.
$PIP install --no-deps --index-url "$TORCH_INDEX" $(sed -n 's/^\(torch\(vision\)\{0,1\}==[^ ;]*\).*/\1/p' "$lock")
