"""A skeleton's lengths."""

import numpy as np
import pytest

from pose import Skeleton
from pose import keypoints as kp


def skeleton(joints, observed=None):
    seen = np.ones(17, bool) if observed is None else observed
    return Skeleton(joints, np.ones(17), np.zeros(17), seen)


@pytest.fixture
def upright():
    joints = np.zeros((17, 3))
    for side, x in (("left", 0.1), ("right", -0.1)):
        for name, y in (("eye", 1.0), ("hip", 0.6), ("knee", 0.3), ("ankle", 0.05)):
            joints[kp.INDEX[f"{side}_{name}"]] = (x, y, 0)
    return joints


def test_a_chain_is_the_sum_of_its_straight_segments(upright):
    assert skeleton(upright).lengths() == pytest.approx((0.95, 0.95))


def test_the_body_length_is_the_longer_chain(upright):
    upright[kp.RIGHT_ANKLE, 1] -= 0.1
    left, right = skeleton(upright).lengths()
    assert right == pytest.approx(left + 0.1)
    assert skeleton(upright).body_length == right


def test_bending_a_knee_changes_no_length(upright):
    shank = upright[kp.LEFT_KNEE, 1] - upright[kp.LEFT_ANKLE, 1]
    upright[kp.LEFT_ANKLE] = upright[kp.LEFT_KNEE] + (0, 0, shank)
    assert skeleton(upright).lengths() == pytest.approx((0.95, 0.95))


def test_one_chain_that_is_wholly_observed_is_enough(upright):
    observed = np.ones(17, bool)
    observed[kp.LEFT_KNEE] = False
    assert skeleton(upright, observed).chain_observed
    observed[kp.RIGHT_EYE] = False
    assert not skeleton(upright, observed).chain_observed


def test_a_chain_with_a_guessed_joint_gives_way_to_one_without(upright):
    upright[kp.RIGHT_ANKLE, 1] -= 0.3
    observed = np.ones(17, bool)
    observed[kp.RIGHT_ANKLE] = False
    assert skeleton(upright, observed).reliable_length == pytest.approx(0.95)
    assert skeleton(upright, observed).body_length == pytest.approx(1.25)


def test_without_a_whole_chain_the_observed_segments_of_both_sides_make_one(upright):
    upright[kp.RIGHT_ANKLE, 1] -= 0.3
    upright[kp.LEFT_EYE, 1] += 0.2
    observed = np.ones(17, bool)
    observed[[kp.RIGHT_ANKLE, kp.LEFT_EYE]] = False
    assert skeleton(upright, observed).reliable_length == pytest.approx(0.95)
    observed[:] = False
    assert skeleton(upright, observed).reliable_length == pytest.approx(0.95 + (0.3 + 0.2) / 2)


def test_without_any_observed_joint_nothing_is_measured(upright):
    assert not skeleton(upright, np.zeros(17, bool)).measured
