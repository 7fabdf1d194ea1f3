"""Which frames count for a scan's figures."""

from dataclasses import replace

import numpy as np
import pytest

from pose.analysis.quality import QualityLimits, check
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
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


def codes(step=100, scores=(0.9,), distance=1.0, picture=(200, 20), **camera):
    return check(LIMITS, frame_of(depthmap(**camera), step, picture), list(scores), distance)


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


def test_without_a_pose_the_angle_cannot_be_checked():
    unknown = replace(depthmap(), pose_known=False)
    assert check(LIMITS, frame_of(unknown), [0.9], 1.0) == ("camera_pose",)


def test_the_limit_of_the_score_is_the_estimators_if_none_is_set():
    class Own(FindsNobody):
        min_score = 0.4

    assert LIMITS.of(Own()).min_score == 0.4
    assert LIMITS.of(FindsNobody()).min_score == 0.83
    assert QualityLimits(min_score=0.7).of(Own()).min_score == 0.7
