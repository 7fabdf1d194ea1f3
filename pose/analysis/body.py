"""What one frame says about the body of the only person in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose.analysis.length_error import Evidence, evidence_of
from pose.analysis.quality import QualityLimits
from pose.analysis.stature import measure_stature
from pose.estimators.base import Person
from pose.lifting.lift import Method
from pose.lifting.posture import PostureEstimate, classify_posture
from pose.lifting.skeleton import Skeleton
from pose.scan.frame import Frame
from pose.stature.estimate import FrameStature


@dataclass(frozen=True, eq=False)
class Body:
    """The only person of a frame, in 3D.

    Attributes:
        skeleton: at least one of its joints was observed.
        posture: of the skeleton.
        distance: metres from the camera: the median over the observed joints.
        inside: (17,) bool, the keypoints that are inside the picture.
        evidence: what the frame says about the length of the body.
        stature: None if the frame does not tell it.
    """

    skeleton: Skeleton
    posture: PostureEstimate
    distance: float
    inside: NDArray[np.bool_]
    evidence: Evidence
    stature: FrameStature | None = None


def measure_body(
    frame: Frame, person: Person, skeleton: Skeleton, limits: QualityLimits, lifting: Method = "inside"
) -> Body | None:
    """Return what a frame says about a body; None if no joint was observed.

    Args:
        frame: as it was read.
        person: the only one in it.
        skeleton: of that person.
        limits: those of `QualityLimits.of`.
        lifting: the method that gave the skeleton.
    """
    if not skeleton.measured:
        return None
    posture = classify_posture(skeleton)
    points = skeleton.joints[skeleton.observed] + (0.0, skeleton.floor or 0.0, 0.0)
    distance = float(np.median(np.linalg.norm(points - frame.depthmap.translation, axis=1)))
    stature = measure_stature(frame, person, skeleton, posture.posture, lifting)
    inside = frame.view.in_picture(person.keypoints)
    evidence = evidence_of(
        skeleton,
        posture,
        stature=None if stature is None else stature.stature,
        score=person.score,
        angle=frame.depthmap.camera_angle_deg,
        missing=frame.depthmap.missing,
        distance=distance,
        limits=limits,
    )
    return Body(skeleton, posture, distance, inside, evidence, stature)
