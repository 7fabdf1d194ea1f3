"""Aggregate the figures of a scan from those of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pose.lifting.posture import Posture, PostureEstimate
from pose.lifting.skeleton import Skeleton

_OUTSIDE_LIMITS: Final = 0.5  # factor of the confidence if no frame keeps all quality limits


@dataclass(frozen=True, eq=False)
class FrameFigures:
    """The figures of a frame with exactly one person. The frame counts if it keeps all quality limits."""

    posture: PostureEstimate
    skeleton: Skeleton
    counts: bool


@dataclass(frozen=True)
class ScanFigures:
    """The figures of a scan.

    Attributes:
        posture: median over the frames.
        body_length: median in metres; None if no frame counts.
        frames_used: how many frames count.
    """

    posture: PostureEstimate
    body_length: float | None
    frames_used: int


def aggregate_frames(frames: Sequence[FrameFigures]) -> ScanFigures:
    """Return the medians over the frames that count.

    If no frame counts, the posture is that of the other frames, with half the confidence.

    >>> aggregate_frames([]).posture
    PostureEstimate('unknown', confidence=0.00, rise=None)
    """
    used = [frame for frame in frames if frame.counts]
    if not used:
        return ScanFigures(_median_posture(frames, _OUTSIDE_LIMITS), None, 0)
    # A frame in which both chains are partly hidden says less about their length than one that shows one.
    whole = [frame for frame in used if frame.skeleton.chain_observed]
    length = float(np.median([frame.skeleton.reliable_length for frame in whole or used]))
    return ScanFigures(_median_posture(used, 1.0), length, len(used))


def _median_posture(frames: Sequence[FrameFigures], factor: float) -> PostureEstimate:
    """Return the posture of the median confidence, in which lying counts as negative.

    Frames of unknown posture abstain; the confidence shrinks with their share.
    """
    sign = {Posture.STANDING: 1.0, Posture.LYING: -1.0}
    known = [frame.posture for frame in frames if frame.posture.posture in sign]
    median = float(np.median([sign[each.posture] * each.confidence for each in known])) if known else 0.0
    if median == 0.0:
        return PostureEstimate(Posture.UNKNOWN)
    factor *= len(known) / len(frames)
    return PostureEstimate(Posture.STANDING if median > 0 else Posture.LYING, abs(median) * factor)
