"""Files of weights as others publish them, small ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose.hrnet import Variant, build_hrnet

# Of w32's width, so that names are the same in kind, and written in milliseconds.
THIN = Variant(32, modules=(1, 1, 1), blocks=1, stem=4, layer1=(4, 1))


def thin_state(seed: int = 1) -> dict[str, Tensor]:
    """The state dict of the thin stand-in, other numbers in each tensor."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = build_hrnet(THIN).state_dict()
    return {
        name: torch.rand_like(value) if value.is_floating_point() else value for name, value in state.items()
    }


def as_mmpose(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mmpose's names: those of its TopdownPoseEstimator, backbone and head."""
    return {
        ("head." if name.startswith("final_layer.") else "backbone.") + name: value
        for name, value in state.items()
    }


def as_trained_on_several(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype
        for name in expected
    )


def write_pth(path: Path, content: Any, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
