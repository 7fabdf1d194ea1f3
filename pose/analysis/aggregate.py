"""A scan's own figures from those of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pose.lifting.posture import Posture, PostureEstimate
from pose.lifting.skeleton import Skeleton

_WITHOUT_LIMITS: Final = 0.5  # confidence in a posture that only frames outside the limits tell


@dataclass(frozen=True, eq=False)
class Measured:
    """A frame with exactly one person. It `counts` if it keeps all quality limits."""

    posture: PostureEstimate
    skeleton: Skeleton
    counts: bool


def aggregate_frames(frames: Sequence[Measured]) -> tuple[PostureEstimate, float | None, int]:
    """Posture, body length in metres, and the number of frames that they are medians over.

    If no frame counts, the number is 0, the length None, and the posture what the other frames say, with
    half the confidence.
    """
    used = [frame for frame in frames if frame.counts]
    if not used:
        return _median_posture(frames, _WITHOUT_LIMITS), None, 0
    # A frame in which both chains are partly hidden says less about their length than one that shows one.
    whole = [frame for frame in used if frame.skeleton.chain_observed]
    length = float(np.median([frame.skeleton.reliable_length for frame in whole or used]))
    return _median_posture(used, 1.0), length, len(used)


def _median_posture(frames: Sequence[Measured], trust: float) -> PostureEstimate:
    """Median of the confidences, in which lying counts as negative.

    Frames that cannot tell abstain; the fewer can, the less sure is what they say.
    """
    sign = {Posture.STANDING: 1.0, Posture.LYING: -1.0}
    told = [frame.posture for frame in frames if frame.posture.posture in sign]
    middle = float(np.median([sign[each.posture] * each.confidence for each in told])) if told else 0.0
    if middle == 0.0:
        return PostureEstimate(Posture.UNKNOWN)
    trust *= len(told) / len(frames)
    return PostureEstimate(Posture.STANDING if middle > 0 else Posture.LYING, abs(middle) * trust)
