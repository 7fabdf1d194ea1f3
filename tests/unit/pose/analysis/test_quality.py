"""Which frames count for a scan's figures."""

from dataclasses import replace

import numpy as np
import pytest

from pose.analysis.quality import QualityLimits, check, counts
from pose.estimators.base import Detections, Person
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.lifting.posture import Posture, PostureEstimate
from pose.scan.frame import Frame
from tests.support.estimators import FindsNobody

LIMITS = QualityLimits()


def depthmap(angle=-5.0, missing=0.0):
    """A camera that looks so many degrees above the horizontal."""
    depth = np.ones((10, 100), np.float32)
    depth[:, : round(100 * missing)] = 0
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return DepthMap(depth, None, Intrinsics(80, 80, 50, 5, 100, 10), rotation, np.zeros(3), True)


def frame_of(view, step=100, picture=(200, 20)):
    return Frame(0, step, np.zeros((picture[1], picture[0], 3), np.uint8), view)


def found(scores=(0.9,), **turns):
    at = np.zeros((17, 2))
    people = [Person(at, np.full(17, score), (0.0, 0.0, 1.0, 1.0), 0.9) for score in scores]
    return Detections(people, **turns)


def codes(
    step=100,
    scores=(0.9,),
    distance=1.0,
    picture=(200, 20),
    posture=None,
    turns=None,
    uncertain=False,
    **camera,
):
    seen = found(scores, turns=turns, turns_uncertain=uncertain)
    estimate = posture and PostureEstimate(posture, 1.0)
    return check(LIMITS, frame_of(depthmap(**camera), step, picture), seen, distance, estimate)


def test_a_good_frame_keeps_all_limits():
    assert codes() == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"scores": ()}, "person_count"),
        ({"scores": (0.9, 0.9)}, "person_count"),
        ({"scores": (0.82,)}, "score"),
        ({"angle": -21}, "camera_angle"),
        ({"angle": 11}, "camera_angle"),
        ({"missing": 0.16}, "missing_depth"),
        ({"picture": (20, 200)}, "calibration"),
        ({"picture": (200, 23)}, "calibration"),
        ({"distance": 0.49}, "too_near"),
        ({"distance": 1.51}, "too_far"),
        ({"distance": None}, "no_depth"),
    ],
)
def test_each_limit_has_a_code(change, code):
    assert codes(**change) == (code,)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": (0.83,)},
        {"angle": -19.9},
        {"angle": 9.9},
        {"missing": 0.15},
        {"distance": 1.5},
        {"picture": (200, 19)},
    ],
)
def test_a_limit_itself_is_kept(change):
    assert codes(**change) == ()


def test_a_lying_child_is_scanned_from_above():
    assert codes(step=200, angle=-80) == ()
    assert codes(step=200, angle=-80, posture=Posture.LYING) == ()


def test_the_body_and_not_the_step_decides_whether_the_angle_is_limited():
    assert codes(step=100, angle=-80, posture=Posture.LYING) == ("step_mismatch",)
    assert codes(step=200, angle=-30, posture=Posture.STANDING) == ("step_mismatch", "camera_angle")
    assert codes(step=200, angle=-30, posture=Posture.UNKNOWN) == ("camera_angle",)


@pytest.mark.parametrize(
    ("seen", "mismatch"),
    [
        ({"step": 100, "turns": 1, "posture": Posture.STANDING}, False),
        ({"step": 200, "turns": 3, "posture": Posture.LYING}, False),
        ({"step": 200, "turns": 1, "posture": Posture.STANDING}, True),
        ({"step": 100, "turns": 1, "posture": Posture.LYING}, True),
        ({"step": 100, "turns": 3, "posture": Posture.STANDING}, True),
        ({"step": 100, "turns": None}, False),
        ({"step": 100, "turns": 1, "posture": Posture.UNKNOWN}, False),
        ({"step": 999, "turns": 3, "posture": Posture.LYING}, False),
    ],
)
def test_a_step_that_contradicts_what_is_seen_is_reported(seen, mismatch):
    assert codes(**seen) == (("step_mismatch",) if mismatch else ())


def test_a_frame_with_a_wrong_step_counts_and_others_do_not():
    assert counts((), strict=True) and counts(("step_mismatch",), strict=True)
    assert not counts(("step_mismatch", "score"), strict=True)
    assert not counts(("orientation",), strict=True)


def test_without_strict_limits_a_frame_counts_whatever_limit_it_breaks_if_it_fits_its_calibration():
    assert counts(("camera_angle", "too_far", "score", "orientation"), strict=False)
    assert not counts(("calibration",), strict=False)


def test_an_uncertain_turn_is_reported_and_then_the_step_is_not_blamed():
    assert codes(turns=3, uncertain=True) == ("orientation",)
    assert codes(turns=3, uncertain=True, scores=()) == ("person_count",)


def test_without_a_pose_the_angle_cannot_be_checked():
    unknown = replace(depthmap(), pose_known=False)
    assert check(LIMITS, frame_of(unknown), found(), 1.0, None) == ("camera_pose",)


def test_the_limit_of_the_score_is_the_estimators_if_none_is_set():
    class Own(FindsNobody):
        min_score = 0.4

    assert LIMITS.of(Own()).min_score == 0.4
    assert LIMITS.of(FindsNobody()).min_score == 0.83
    assert QualityLimits(min_score=0.7).of(Own()).min_score == 0.7
