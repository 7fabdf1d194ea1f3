"""Files of weights as others publish them, small ones."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pose.hrnet import Variant, build_hrnet
from pose.weights import registry as weights

# Of w32's width, so that names are the same in kind, and written in milliseconds.
THIN = Variant(32, modules=(1, 1, 1), blocks=1, stem=4, layer1=(4, 1))


def thin_state(seed: int = 1) -> dict[str, Tensor]:
    """The state dict of the thin stand-in, other numbers in each tensor."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {
            name: torch.rand_like(value) if value.is_floating_point() else value
            for name, value in build_hrnet(THIN).state_dict().items()
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


def publish(
    monkeypatch: pytest.MonkeyPatch, name: str, file: Path, *, url: str | None = None, digits: int = 64
) -> None:
    """For one test: the registry has this file, by its first `digits`, in place of the name's own."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()[:digits]
    entry = dataclasses.replace(
        weights.REGISTRY[name][0], file=file.name, url=url, sha256=sha256, size=file.stat().st_size
    )
    monkeypatch.setitem(weights.REGISTRY, name, (entry,))
