"""The stature of a scan's child."""

from __future__ import annotations

from collections.abc import Sequence

from pose.estimators.base import Person
from pose.lifting.lift import Method, lift_in_view
from pose.lifting.posture import Posture
from pose.lifting.skeleton import Skeleton
from pose.results import Estimate
from pose.scan.frame import Frame
from pose.stature.combine import combine_frames
from pose.stature.estimate import FrameStature, estimate_stature, load_stature_model


def measure_stature(
    frame: Frame, person: Person, skeleton: Skeleton, posture: Posture, lifting: Method
) -> FrameStature | None:
    """Return the stature of the only person of a frame; None if the frame does not tell it.

    Args:
        frame: as it was read.
        person: the only one in it.
        skeleton: of that person.
        posture: of the skeleton.
        lifting: the method that gave it.
    """
    if posture is Posture.UNKNOWN:
        return None
    if lifting != "inside":  # the network has learned such skeletons
        skeleton = lift_in_view(frame.view, person.keypoints, person.scores, "inside", frame.floor)
    return estimate_stature(frame.depthmap, skeleton, posture is Posture.LYING)


def stature_estimate(frames: Sequence[FrameStature | None], posture: Posture) -> Estimate | None:
    """Return the stature over frames of one scan, in metres; None if none of this posture tells it."""
    told = [each for each in frames if each is not None and each.lying == (posture is Posture.LYING)]
    if not told or posture is Posture.UNKNOWN:
        return None
    found = combine_frames(told, load_stature_model().calibrations)
    return Estimate(value=round(found.value, 5), low=round(found.low, 5), high=round(found.high, 5))
