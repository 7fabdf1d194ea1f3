"""Say which quality limits a frame breaks.

A frame that breaks a limit still has its own figures and pictures, and it counts for those of the scan, with
less weight (`pose.analysis.length_error`). With strict limits, as in production, it does not count. Its
`quality` lists the codes of the limits that it breaks, and `step_mismatch`, with which a frame always counts:

    orientation    it is not certain which way is up
    step_mismatch  the step means another posture, or another way to hold the phone, than what was found
    calibration    the shape of picture or depth map does not fit its camera: turned or cropped
    misaligned     picture and depth map do not show the same view: shifted, zoomed, cropped, mirrored
    person_count   not exactly one person
    score          mean keypoint score too low
    camera_pose    the camera's pose is unknown, and so is the direction of gravity
    camera_angle   the camera looked too far up or down at a standing child
    missing_depth  too many pixels without depth
    no_depth       no depth at the person
    too_near       the child is nearer than the limit
    too_far        the child is farther than the limit

A misaligned frame always counts if it has a skeleton: then its keypoints are from the depth map. A frame that
does not fit its calibration never counts: its lengths are wrong.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from pose.analysis.agreement import is_misaligned
from pose.checks import MAX_DEPTH, check_numbers, check_type
from pose.estimators.base import RGB_MIN_SCORE, Detections, Estimator
from pose.geometry.orientation import is_known_step, posture_for_step, turns_for_step
from pose.lifting.posture import PostureEstimate
from pose.scan.frame import Frame

CALIBRATION: Final = "calibration"
MISALIGNED: Final = "misaligned"
STEP_MISMATCH: Final = "step_mismatch"


@dataclass(frozen=True)
class QualityLimits:
    """Limits of a frame; the defaults are those of production.

    Attributes:
        min_score: mean keypoint score; None takes the estimator's own `min_score`.
        camera_angle: lowest and highest degrees above the horizontal, unless the child lies.
        max_missing: share of the depth map's pixels without a measurement.
        distance: nearest and farthest metres from the camera to the child.
        strict: whether a frame that breaks a limit does not count for the scan's figures.

    Raises:
        ValueError: a limit is not a number, or in another unit.
    """

    min_score: float | None = None
    camera_angle: tuple[float, float] = (-20.0, 10.0)
    max_missing: float = 0.15
    distance: tuple[float, float] = (0.5, 1.5)
    strict: bool = False

    def __post_init__(self) -> None:
        if self.min_score is not None:
            check_numbers(self.min_score, (), "min_score", (0, 1))
        check_numbers(self.camera_angle, (2,), "camera_angle", (-90, 90))
        check_numbers(self.max_missing, (), "max_missing", (0, 1))
        check_numbers(self.distance, (2,), "distance", (0, MAX_DEPTH))
        check_type(self.strict, bool, "strict")

    def of(self, estimator: Estimator) -> QualityLimits:
        """Return these limits, with the estimator's own `min_score` if none is set."""
        return replace(self, min_score=estimator.min_score) if self.min_score is None else self


# By the name that a user gives them: `pose run --limits`, the worker's setting LIMITS.
LIMITS: Final = {"all": QualityLimits(), "production": QualityLimits(strict=True)}


def counts(codes: Collection[str], *, strict: bool) -> bool:
    """Return whether a frame with a skeleton and these codes counts for the figures of its scan.

    >>> counts(["misaligned"], strict=True), counts(["misaligned", "score"], strict=True)
    (True, False)
    >>> counts(["misaligned", "score"], strict=False), counts(["calibration"], strict=False)
    (True, False)
    """
    return set(codes) <= {STEP_MISMATCH, MISALIGNED} if strict else CALIBRATION not in codes


def check(
    limits: QualityLimits,
    frame: Frame,
    found: Detections,
    distance: float | None,
    posture: PostureEstimate | None,
) -> tuple[str, ...]:
    """Return the codes of the limits that a frame breaks.

    Args:
        limits: those of `QualityLimits.of`, or the default limits, which suit RGB models.
        frame: as it was read.
        found: in the frame.
        distance: metres from the camera to the only person; None if unknown.
        posture: of the only person; None if there is no skeleton.
    """
    codes = []
    if not frame.view.fits:
        codes.append(CALIBRATION)
    if is_misaligned(frame, found):
        codes.append(MISALIGNED)
    if found.people and found.turns_uncertain:
        codes.append("orientation")
    if _step_contradicts(frame.step, found, posture):
        codes.append(STEP_MISMATCH)
    scores = [person.score for person in found.people]
    if len(scores) != 1:
        codes.append("person_count")
    elif scores[0] < (RGB_MIN_SCORE if limits.min_score is None else limits.min_score):
        codes.append("score")
    angle = frame.depthmap.camera_angle_deg
    # Without a body, the step says what the limit is. Such a frame does not count in any case.
    lies = (posture or posture_for_step(frame.step)) == "lying"
    if angle is None:
        codes.append("camera_pose")
    elif not lies and not limits.camera_angle[0] <= angle <= limits.camera_angle[1]:
        codes.append("camera_angle")
    if round(frame.depthmap.missing, 6) > limits.max_missing:
        codes.append("missing_depth")
    if len(scores) == 1:
        if distance is None:
            codes.append("no_depth")
        elif distance < limits.distance[0]:
            codes.append("too_near")
        elif distance > limits.distance[1]:
            codes.append("too_far")
    return tuple(codes)


def _step_contradicts(step: int, found: Detections, posture: PostureEstimate | None) -> bool:
    """Return whether a known step means another posture, or another turn, than what was found."""
    if not is_known_step(step):
        return False
    if posture not in (None, "unknown", posture_for_step(step)):
        return True
    return not found.turns_uncertain and found.turns not in (None, turns_for_step(step))
