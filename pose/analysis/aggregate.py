"""Aggregate the figures of a scan from those of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pose.analysis.body import Body
from pose.analysis.length_error import error_model
from pose.lifting.posture import Posture, PostureEstimate
from pose.results import Estimate

_OUTSIDE_LIMITS: Final = 0.5  # with strict limits: factor of the confidence if no frame keeps all of them
_APART: Final = 0.08  # range of the lengths of frames, as a share of them, from which they disagree


@dataclass(frozen=True, eq=False)
class FrameFigures:
    """The figures of a frame with exactly one person, and its weight in those of the scan: 0 to 1."""

    body: Body
    weight: float


@dataclass(frozen=True)
class ScanFigures:
    """The figures of a scan.

    Attributes:
        posture: median over the frames that count.
        body_length: in metres; None if no frame counts.
        frames_used: how many frames count.
        frames_disagree: whether their lengths are far apart.
    """

    posture: PostureEstimate
    body_length: Estimate | None
    frames_used: int
    frames_disagree: bool = False


def aggregate_frames(frames: Sequence[FrameFigures], *, strict: bool) -> ScanFigures:
    """Return the medians over the frames that count: those whose weight is above 0.

    Args:
        frames: with exactly one person each.
        strict: whether the limits are strict, as in production. Then the body's length is the unweighted
            median over the frames that show a whole chain from eye to ankle; and if no frame counts, the
            posture is that of the others, with half the confidence.

    >>> aggregate_frames([], strict=False).posture
    PostureEstimate('unknown', confidence=0.00, rise=None)
    """
    used = [frame.body for frame in frames if frame.weight > 0]
    if not used:
        others = [frame.body for frame in frames] if strict else []
        return ScanFigures(_median_posture(others, _OUTSIDE_LIMITS), None, 0)
    median = None
    if strict:
        # A frame in which both chains are partly hidden says less about their length than one that shows one.
        whole = [body for body in used if body.skeleton.chain_observed]
        median = float(np.median([body.skeleton.reliable_length for body in whole or used]))
    evidence = [body.evidence for body in used]
    length = error_model().estimate(evidence, median)
    lengths = [each.length for each in evidence]
    apart = float(np.ptp(np.log(lengths))) > _APART
    return ScanFigures(_median_posture(used, 1.0), length, len(used), apart)


def _median_posture(bodies: Sequence[Body], factor: float) -> PostureEstimate:
    """Return the posture of the median confidence, in which lying counts as negative.

    Frames of unknown posture abstain; the confidence shrinks with their share.
    """
    sign = {Posture.STANDING: 1.0, Posture.LYING: -1.0}
    known = [body.posture for body in bodies if body.posture.posture in sign]
    median = float(np.median([sign[each.posture] * each.confidence for each in known])) if known else 0.0
    if median == 0.0:
        return PostureEstimate(Posture.UNKNOWN)
    factor *= len(known) / len(bodies)
    return PostureEstimate(Posture.STANDING if median > 0 else Posture.LYING, abs(median) * factor)
