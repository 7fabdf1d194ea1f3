"""A tiny depth network for tests, in milliseconds where the real one takes seconds.

It has no name among `pose.hrnet.VARIANTS`: tests that load it by name add `TINY` there while they run.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pose.estimators.depth_hrnet import MAPS
from pose.estimators.depth_input import CHANNELS
from pose.hrnet import HRNet, Variant, build_hrnet

# Many small tests are faster on one thread, and leave a machine's other cores alone.
torch.set_num_threads(1)

TINY = Variant(4, modules=(1, 1, 1), blocks=1, stem=4, layer1=(4, 1))
FACTS = {"name": "depth-hrnet", "version": "tiny-1", "variant": "tiny"}


def tiny_network(seed: int = 0) -> HRNet:
    """The same seed gives the same weights. In evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_hrnet(TINY, in_channels=CHANNELS, out_channels=MAPS).eval()


def save_weights(
    path: Path, tensors: dict[str, Tensor] | None = None, facts: dict[str, str] | None = None
) -> Path:
    """Writes weights of a tiny network, or these."""
    tensors = dict(tiny_network().state_dict()) if tensors is None else tensors
    save_file(tensors, path, FACTS if facts is None else facts)
    return path
