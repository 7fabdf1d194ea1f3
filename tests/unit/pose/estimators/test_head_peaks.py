"""Which peaks of the head's heatmap are redacted although nobody was found there."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.estimators.head_peaks import may_be_head
from tests.support.rendered import person

SIZE = (480, 360)
MIDDLE = np.array([240.0, 60.0])


def standing():
    """A person whose trunk is 100 pixels long, from the shoulders at (200..260, 100) down."""
    at = np.zeros((kp.COUNT, 2))
    at[list(kp.HEAD)] = (230, 60)
    at[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] = (260, 100), (200, 100)
    at[[kp.LEFT_ELBOW, kp.RIGHT_ELBOW]] = (320, 120), (150, 130)
    at[[kp.LEFT_WRIST, kp.RIGHT_WRIST]] = (380, 140), (130, 190)
    at[[kp.LEFT_HIP, kp.RIGHT_HIP]] = (245, 200), (215, 200)
    at[[kp.LEFT_KNEE, kp.RIGHT_KNEE]] = (245, 260), (215, 260)
    at[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE]] = (245, 320), (215, 320)
    return at


@pytest.mark.parametrize("score, kept", [(0.1, False), (0.12, True), (0.9, True)])
def test_a_peak_counts_from_a_score_on(score, kept):
    assert may_be_head(MIDDLE, score, [], SIZE) == kept


@pytest.mark.parametrize("at", [(5, 180), (475, 180), (240, 3), (240, 356), (-10, 180), (490, -5)])
def test_a_lower_peak_counts_at_the_border(at):
    assert may_be_head(np.array(at, float), 0.08, [], SIZE)
    assert not may_be_head(np.array(at, float), 0.06, [], SIZE)


@pytest.mark.parametrize("at", [(290, 112), (380, 140), (230, 150), (245, 300)])
def test_a_low_peak_on_an_arm_a_leg_or_the_trunk_is_that(at):
    assert not may_be_head(np.array(at, float), 0.13, [person(standing())], SIZE)
    assert may_be_head(np.array(at, float), 0.2, [person(standing())], SIZE)


@pytest.mark.parametrize("at", [(230, 60), (330, 200), (230, 20), (120, 60)])
def test_a_low_peak_beside_a_body_or_on_its_head_counts(at):
    assert may_be_head(np.array(at, float), 0.13, [person(standing())], SIZE)


def test_a_limb_that_is_not_seen_well_is_no_reason():
    assert may_be_head(np.array([290.0, 112]), 0.13, [person(standing(), 0.3)], SIZE)
    assert may_be_head(np.array([290.0, 112]), 0.13, [], SIZE)


def test_a_person_whose_keypoints_coincide_hides_no_peak():
    at = np.tile([230.0, 150], (kp.COUNT, 1))
    assert may_be_head(np.array([231.0, 150]), 0.13, [person(at)], SIZE)
