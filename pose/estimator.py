"""The one interface of all estimators: frames in, people out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pose.errors import DeviceUnavailable
from pose.scan import Frame


@dataclass(frozen=True)
class Person:
    """A person found in a frame, in pixels of the picture as it arrived (sensor orientation, full size).

    Attributes:
        keypoints: (17, 2) float64, u (column) and v (row) of each COCO keypoint.
        scores: (17,) float64 in 0..1.
        box: x0, y0, x1, y1.
        box_score: 0..1, how sure it is that a person is there.
    """

    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    box: tuple[float, float, float, float]
    box_score: float

    @property
    def score(self) -> float:
        """Mean keypoint score."""
        return float(self.scores.mean())


class Estimator(Protocol):
    """Finds people. Safe to call from one thread at a time; holds no state between calls."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def estimate(self, frames: Sequence[Frame]) -> list[list[Person]]:
        """People of each frame, the surest first; an empty list where nobody is."""
        ...


ESTIMATORS = ("depth-hrnet",)


def load_estimator(name: str = "depth-hrnet", device: str = "auto") -> Estimator:
    """Loads an estimator's weights and puts it on a device.

    Args:
        name: "depth-hrnet", whose weights ship in the package.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: there is no such estimator, or that is no device.
        DeviceUnavailable: a GPU was demanded and is not there. It is never replaced by the CPU.
        InvalidWeights: the weights are missing or damaged.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"unknown model {name!r}, expected one of {', '.join(ESTIMATORS)}")
    from pose.depth_hrnet import DepthHRNet  # torch is loaded with the first estimator, not at import

    return DepthHRNet(device=choose_device(device))


def choose_device(device: str) -> str:
    """The device of torch that a user's "auto", "cpu", "cuda" or "cuda:N" means.

    Raises:
        ValueError: it is none of these.
        DeviceUnavailable: torch sees no such GPU.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if re.fullmatch(r"cuda(:[0-9]{1,3})?", device) is None:
        raise ValueError(f"unknown device {device!r}, expected auto, cpu, cuda or cuda:N")
    number = int(device.removeprefix("cuda").removeprefix(":") or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise DeviceUnavailable(f"device {device!r} was demanded, but torch sees {count} CUDA devices")
    return f"cuda:{number}" if ":" in device else device  # torch does not know "cuda:01"
