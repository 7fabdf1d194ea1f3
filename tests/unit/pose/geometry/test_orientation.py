"""Pictures and points turn together, and back."""

from __future__ import annotations

import numpy as np
import pytest

from pose import keypoints as kp
from pose.errors import InvalidManifest
from pose.geometry.orientation import (
    is_known_step,
    turn_picture,
    turn_points,
    turns_for_step,
    turns_of_person,
    unturn_points,
)

WIDTH, HEIGHT = 5, 3


@pytest.mark.parametrize(
    ("step", "turns"), [(100, 1), (104, 1), (105, 1), (110, 1), (200, 3), (204, 3), (205, 3), (210, 3)]
)
def test_standing_scans_turn_clockwise_and_lying_ones_counter_clockwise(step: int, turns: int):
    assert turns_for_step(step) == turns
    assert is_known_step(step)


@pytest.mark.parametrize("step", [0, 99, 111, 199, 211, -100, 10**30])
def test_an_unknown_step_is_refused(step: int):
    assert not is_known_step(step)
    with pytest.raises(InvalidManifest, match="step"):
        turns_for_step(step)


def test_a_clockwise_turn_brings_the_left_column_to_the_top():
    picture = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    turned = turn_picture(picture, 1)
    assert turned.shape == (WIDTH, HEIGHT)
    assert turned[0].tolist() == picture[::-1, 0].tolist()


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
def test_a_point_stays_on_its_pixel_when_the_picture_turns(turns: int):
    picture = np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3)
    turned = turn_picture(picture, turns)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    moved = turn_points(np.stack((u, v), axis=-1), turns, WIDTH, HEIGHT).astype(int)
    assert (turned[moved[..., 1], moved[..., 0]] == picture).all()


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
def test_turning_back_is_the_exact_inverse(turns: int):
    points = np.random.default_rng(0).uniform(-10, 10, (7, 2))
    back = unturn_points(turn_points(points, turns, WIDTH, HEIGHT), turns, WIDTH, HEIGHT)
    assert np.allclose(back, points, atol=1e-12)
    assert (turn_picture(turn_picture(np.eye(3)[:2], turns), -turns) == np.eye(3)[:2]).all()


def person(lean: float = 0.0) -> np.ndarray:
    """(17, 2) of a standing person whose head is `lean` pixels to the right of the feet, 100 above them."""
    heights = np.zeros(kp.COUNT)
    heights[list(kp.HEAD)] = 100
    heights[kp.LEFT_SHOULDER], heights[kp.RIGHT_SHOULDER] = 80, 81
    heights[kp.LEFT_HIP], heights[kp.RIGHT_HIP] = 45, 46
    heights[kp.LEFT_ELBOW : kp.RIGHT_WRIST + 1] = 60
    return np.stack([200 + heights * lean / 100, 150 - heights], axis=-1)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("lean", [-90, 0, 90])
def test_the_turns_of_a_person_bring_the_head_up(turns: int, lean: float):
    lying = unturn_points(person(lean), turns, 400, 300)
    assert turns_of_person(lying, np.full(kp.COUNT, 0.9)) == turns


def test_keypoints_without_a_score_do_not_turn_a_person():
    points, scores = person(), np.full(kp.COUNT, 0.5)
    points[kp.LEFT_HIP :] = 0, 0  # where maps without a peak put them
    points[kp.LEFT_HIP], scores[kp.RIGHT_HIP :] = (200, 105), 0
    assert turns_of_person(points, scores) == 0


def test_half_a_person_is_not_turned():
    scores = np.ones(kp.COUNT)
    scores[kp.LEFT_HIP :] = -0.1
    assert turns_of_person(unturn_points(person(), 1, 400, 300), scores) == 0
