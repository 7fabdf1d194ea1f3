"""Pictures and points turn together, and back."""

from __future__ import annotations

import numpy as np
import pytest

from pose import keypoints as kp
from pose.errors import InvalidManifest
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.orientation import (
    expected_turns,
    gravity_turns,
    is_known_step,
    posture_for_step,
    turn_picture,
    turn_points,
    turns_between,
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
    assert posture_for_step(step) == ("standing" if step < 200 else "lying")


@pytest.mark.parametrize("step", [0, 99, 111, 199, 211, -100, 10**30])
def test_an_unknown_step_is_refused(step: int):
    assert not is_known_step(step)
    assert posture_for_step(step) is None
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


def held(turns: float, angle: float = 0.0, known: bool = True) -> DepthMap:
    """A depth map that so many quarter turns bring upright, of a phone that looks `angle` degrees upwards."""
    a, b = np.radians(90 * turns), np.radians(angle)
    roll = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    pitch = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turned = pitch @ roll if known else np.eye(3)
    return DepthMap(np.ones((3, 4), np.float32), None, Intrinsics(4, 4, 2, 1, 4, 3), turned, pose_known=known)


@pytest.mark.parametrize("turns", [0, 0.4, 1, 1.5, 2, 3, 3.9])
@pytest.mark.parametrize("angle", [-55, -10, 0, 30])
def test_gravity_tells_the_turn_unless_the_camera_looks_steeply_down(turns: float, angle: float):
    told = gravity_turns(held(turns, angle))
    assert told is not None
    assert turns_between(told, turns) == pytest.approx(0, abs=1e-9)
    assert gravity_turns(held(turns, -65)) is None
    assert gravity_turns(held(turns, angle, known=False)) is None


@pytest.mark.parametrize(
    ("step", "depthmap", "turns", "confirmed"),
    [
        (100, held(1), 1, True),
        (104, held(1.1, -20), 1, True),
        (100, held(1.4), 1.4, True),
        (100, held(3), 3, False),  # upside down: gravity decides
        (100, held(2), 2, False),
        (200, held(1), 1, False),  # a standing child, or one who lies and is seen from low above the floor
        (200, held(3, -10), 3, True),
        (999, held(1), 1, False),
        (100, held(1.4, -40), 1, False),
        (100, held(1, -40), 1, False),  # so steeply, a child who lies could be seen as well
        (200, held(1, -40), 3, False),
        (200, held(1, -80), 3, False),
        (100, held(3, -80), 1, False),
        (100, held(3, known=False), 1, False),
        (200, held(1, known=False), 3, False),
        (999, held(3, known=False), 1, False),
    ],
)
def test_gravity_and_step_say_which_turn_is_tried_first(step, depthmap, turns, confirmed):
    expected = expected_turns(step, depthmap)
    assert expected.turns == pytest.approx(turns)
    assert expected.confirmed is confirmed
