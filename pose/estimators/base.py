"""What an estimator is, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pose.scan.frame import Frame


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


@dataclass(frozen=True)
class Detections:
    """What was seen in a frame.

    Attributes:
        people: as `Estimator.estimate` gives them.
        bystanders: too unsure to count as anybody, but covered: people missed otherwise, things taken for
            people, and heads of `people` found once more. Of many only the head's keypoints have a score.
    """

    people: list[Person]
    bystanders: list[Person]


@runtime_checkable
class Looker(Protocol):
    """What an estimator may do besides: tell in the same pass of whom it was not sure."""

    def look(self, frames: Sequence[Frame]) -> list[Detections]: ...


def look(estimator: Estimator, frames: Sequence[Frame]) -> list[Detections]:
    """What an estimator sees in each frame. One that tells of no bystanders has none."""
    if isinstance(estimator, Looker):
        return estimator.look(frames)
    return [Detections(people, []) for people in estimator.estimate(frames)]


# Of the RGB models (HRNet with COCO weights). Another model's scores have another range, so an estimator may
# bring its own limit as an attribute `min_score`.
RGB_MIN_SCORE: Final = 0.83
