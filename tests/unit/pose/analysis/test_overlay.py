"""Skeletons on pictures."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.analysis.overlay import LEFT, RIGHT, overlay
from pose.geometry.orientation import turn_picture, turn_points
from tests.support.rendered import person, with_face


@pytest.fixture
def grey():
    return np.full((240, 320, 3), 90, np.uint8)


@pytest.mark.parametrize(("turns", "shape"), [(0, (240, 320, 3)), (1, (320, 240, 3)), (3, (320, 240, 3))])
def test_the_picture_is_turned_and_the_skeleton_with_it(grey, turns, shape):
    someone = with_face().people[0]
    drawn = overlay(grey, [someone], turns)
    assert drawn.shape == shape
    for joint, colour in ((kp.LEFT_WRIST, LEFT), (kp.RIGHT_WRIST, RIGHT)):
        u, v = np.rint(turn_points(someone.keypoints[joint], turns, 320, 240)).astype(int)
        assert np.abs(drawn[v, u].astype(int) - colour).max() < 40


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 5])
def test_an_overlay_is_turned_like_any_picture(turns):
    picture = with_face().frame.rgb
    assert (overlay(picture, [], turns) == turn_picture(picture, turns)).all()


def test_the_picture_given_is_not_drawn_on(grey):
    overlay(grey, with_face().people, 0)
    assert (grey == 90).all()


def test_a_standing_child_is_upright(grey):
    truth = with_face()
    drawn = overlay(grey, truth.people, 1)
    upright = turn_points(truth.people[0].keypoints, 1, 320, 240)
    assert upright[kp.NOSE, 1] < upright[kp.LEFT_HIP, 1] < upright[kp.LEFT_ANKLE, 1]
    assert (drawn != 90).any()


def test_keypoints_without_score_are_not_drawn_and_those_far_outside_do_no_harm(grey):
    uv = np.full((17, 2), 1e7)
    assert (overlay(grey, [person(uv, 0.0)], 1) == 90).all()
    overlay(grey, [person(uv, 0.9)], 1)


def test_without_people_the_picture_is_only_turned(grey):
    assert overlay(grey, [], 1).shape == (320, 240, 3)
