"""Pictures and points turn together, and back."""

from __future__ import annotations

import numpy as np
import pytest

from pose.errors import InvalidManifest
from pose.orientation import turn_picture, turn_points, turns_for_step, unturn_points

WIDTH, HEIGHT = 5, 3


@pytest.mark.parametrize(("step", "turns"), [(100, 1), (104, 1), (200, 3), (204, 3)])
def test_standing_scans_turn_clockwise_and_lying_ones_counter_clockwise(step: int, turns: int):
    assert turns_for_step(step) == turns


@pytest.mark.parametrize("step", [0, 99, 105, 199, 205, -100, 10**30])
def test_an_unknown_step_is_refused(step: int):
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
    there = turn_points(np.stack((u, v), axis=-1), turns, WIDTH, HEIGHT).astype(int)
    assert (turned[there[..., 1], there[..., 0]] == picture).all()


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 3, 4])
def test_turning_back_is_the_exact_inverse(turns: int):
    points = np.random.default_rng(0).uniform(-10, 10, (7, 2))
    back = unturn_points(turn_points(points, turns, WIDTH, HEIGHT), turns, WIDTH, HEIGHT)
    assert np.allclose(back, points, atol=1e-12)
    assert (turn_picture(turn_picture(np.eye(3)[:2], turns), -turns) == np.eye(3)[:2]).all()
