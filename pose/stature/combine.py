"""Combine the statures of a scan's frames, with an interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.stature.estimate import FrameStature

_OUTLIER: Final = 2.5  # scales: a frame farther off counts less (Huber, "Robust estimation", 1964)
_ROUNDS: Final = 8


@dataclass(frozen=True)
class Calibration:
    """How wide the intervals of one posture must be. Measured on rendered scans that were not learned.

    Attributes:
        factor: half the width of the interval of one frame, in scales.
        shared: share of a frame's variance that is common to all frames of a scan.
    """

    factor: float
    shared: float

    def half_width(self, scales: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
        """Return half the width of the interval in metres.

        Args:
            scales: (N,) metres, of the frames.
            weights: (N,), of the frames in the mean.
        """
        share = weights / weights.sum()
        single = float(share @ scales)
        return self.factor * single * float(np.sqrt(self.shared + (1 - self.shared) * (share @ share)))


@dataclass(frozen=True)
class Calibrations:
    """The calibrations of both postures."""

    standing: Calibration
    lying: Calibration

    def of(self, lying: bool) -> Calibration:
        return self.lying if lying else self.standing

    @classmethod
    def parse(cls, text: str) -> Calibrations:
        """Return the calibrations that `to_json` wrote.

        Raises:
            ValueError: the text is none of them.
        """
        try:
            read = json.loads(text)
            found = cls(*(Calibration(**_numbers(read[name])) for name in ("standing", "lying")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the calibration of the intervals cannot be read: {text!r:.80}") from error
        for each in (found.standing, found.lying):
            if not (0 < each.factor < 100 and 0 <= each.shared <= 1):
                raise ValueError(f"the calibration is {each}, expected a factor above 0 and a share")
        return found

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _numbers(read: dict[str, object]) -> dict[str, float]:
    """Return a record of numbers. Raise a TypeError if it contains something else."""
    if not all(isinstance(value, (int, float)) for value in read.values()):
        raise TypeError("not a number")
    return {name: float(value) for name, value in read.items() if isinstance(value, (int, float))}


@dataclass(frozen=True)
class StatureInterval:
    """A stature in metres, and the interval that holds the true one in 95 of 100 scans."""

    value: float
    low: float
    high: float


def combine_frames(frames: Sequence[FrameStature], calibrations: Calibrations) -> StatureInterval:
    """Return the stature over the frames of one scan.

    It is the robust mean, weighted by the frames' scales. Errors of one scan's frames are alike (clothes,
    hair, proportions, floor), so the interval does not shrink to nothing with more frames. It grows if the
    frames disagree more than their scales say. Its lower end counts from the stature of a child whose head
    ends where it was measured last.

    Args:
        frames: at least one, all of one posture.
    """
    values = np.array([frame.stature for frame in frames])
    scales = np.array([frame.scale for frame in frames])
    value, weights = robust_mean(values, scales)
    calibration = calibrations.of(frames[0].lying)
    half = calibration.half_width(scales, weights)
    share = weights / weights.sum()
    if len(values) > 1:
        half = max(half, calibration.factor * float(np.sqrt(share**2 @ (values - value) ** 2)))
    unseen = float(share @ np.array([frame.unseen for frame in frames]))
    return StatureInterval(value, value - unseen - half, value + half)


def robust_mean(
    values: NDArray[np.float64], scales: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the mean of values (N,) with scales (N,), in which outliers count less, and the weights (N,).

    >>> mean, weights = robust_mean(np.array([0.90, 0.91, 1.20]), np.array([0.01, 0.01, 0.01]))
    >>> 0.90 < mean < 0.93
    True
    """
    value = float(np.median(values))
    weights = 1 / scales**2
    for _ in range(_ROUNDS):
        off = np.abs(values - value) / (_OUTLIER * scales)
        weights = 1 / (scales**2 * np.maximum(off, 1.0))
        value = float(weights @ values / weights.sum())
    return value, weights
