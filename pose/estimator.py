"""The one interface of all estimators: frames in, people out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
