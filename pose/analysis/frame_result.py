"""The parts of a frame's result: of people, of the redaction, of the alignment."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from pose import keypoints as kp
from pose.analysis.agreement import people_distance
from pose.analysis.body import Body
from pose.analysis.length_error import error_model
from pose.analysis.stature import stature_estimate
from pose.estimators.base import Detections, Person
from pose.geometry.alignment import LIMIT
from pose.lifting.posture import Posture
from pose.lifting.skeleton import Skeleton
from pose.privacy.anonymise import Anonymised
from pose.privacy.redact import Method as RedactionMethod
from pose.privacy.redact import redaction_parameters
from pose.results import AlignmentResult, JointResult, KeypointResult, PersonResult, RedactionResult
from pose.scan.frame import Frame


def is_complete(skeleton: Skeleton) -> bool:
    """Return whether a skeleton may be published: it has joints, and y is their height above the floor."""
    return skeleton.measured and skeleton.floor is not None


def alignment_result(frame: Frame, found: Detections) -> AlignmentResult | None:
    """Return how well picture and depth map agree; None if they do not fit the calibration."""
    alignment = frame.alignment
    if alignment is None:
        return None
    return AlignmentResult(
        margin=round(alignment.margin, 3),
        score=round(alignment.score, 3),
        limit=LIMIT,
        rival=alignment.change,
        orientation_known=frame.orientation_known,
        people_distance=people_distance(found),
    )


def redaction_result(redacted: Anonymised, method: RedactionMethod) -> RedactionResult | None:
    """Return how and where a picture was redacted; None if it is withheld."""
    if redacted.picture is None:
        return None
    return RedactionResult(
        method=method,
        **asdict(redaction_parameters(method)),
        regions=tuple(
            tuple((int(u), int(v)) for u, v in region.outline)
            for region in redacted.regions
            if len(region.outline)
        ),
        second_look=redacted.second_look,
    )


def person_result(person: Person, skeleton: Skeleton | None, body: Body | None) -> PersonResult:
    """Return a person of a frame; skeleton and body are None if there is no 3D."""
    scores = np.clip(person.scores, 0, 1).round(5).tolist()
    joints = None
    posture = Posture.UNKNOWN if body is None else body.posture.posture
    stature = None if body is None else stature_estimate([body.stature], posture)
    length = None if body is None else error_model().estimate([body.evidence])
    if skeleton is not None and is_complete(skeleton):
        joints = tuple(
            JointResult(name=name, x=x, y=y, z=z, score=score, distance_px=distance, observed=observed)
            for name, (x, y, z), score, distance, observed in zip(
                kp.NAMES,
                skeleton.joints.round(5).tolist(),
                scores,
                skeleton.distance_px.round(3).tolist(),
                skeleton.observed.tolist(),
                strict=True,
            )
        )
    x0, y0, x1, y1 = (round(float(edge), 2) for edge in person.box)
    return PersonResult(
        box=(x0, y0, x1, y1),
        box_score=round(float(np.clip(person.box_score, 0, 1)), 5),
        score=round(float(np.clip(person.score, 0, 1)), 5),
        keypoints=tuple(
            KeypointResult(name=name, u=u, v=v, score=score)
            for name, (u, v), score in zip(kp.NAMES, person.keypoints.round(3).tolist(), scores, strict=True)
        ),
        skeleton=joints,
        body_length_m=None if length is None else length.value,
        body_length_estimate_m=length,
        stature_m=None if stature is None else stature.value,
        stature_estimate_m=stature,
        posture=posture,
    )


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Return a value with so many digits after the point; None stays None."""
    return None if value is None else round(value, digits)
