"""People stand on the ground or lie on it."""

from __future__ import annotations

import numpy as np
import pytest

from pose import keypoints as kp
from pose.synthetic.person import lying_person, standing_person

STATURES = (0.5, 0.7, 0.9, 1.1, 1.3)


def standing(seed, stature=0.9, yaw=0.0, at=(0.0, 0.0, 0.0)):
    return standing_person(np.random.default_rng(seed), seed, 0, stature, yaw, np.array(at))


def lying(seed, stature=0.9, roll=0.0, heading=0.0, at=(0.0, 0.0, 0.0)):
    return lying_person(np.random.default_rng(seed), seed, 0, stature, roll, heading, np.array(at))


def bottom(body):
    """Lowest point of all volumes: of each sphere, stretched as its shape is."""
    lows = []
    for shape in body.shapes:
        spread = np.linalg.norm(shape.frame[1] * shape.scale)
        heights = (shape.origin + (shape.ends * shape.scale) @ shape.frame.T)[:, 1]
        lows.append((heights - np.array(shape.radii) * spread).min())
    return min(lows)


@pytest.mark.parametrize("stature", STATURES)
def test_a_standing_person_is_as_tall_as_its_stature(stature):
    tall = np.median([standing(seed, stature).head[1][1] for seed in range(12)])
    assert 0.8 * stature < tall < 0.96 * stature
    for seed in range(6):
        joints = standing(seed, stature).joints
        assert joints[kp.NOSE, 1] > joints[kp.LEFT_HIP, 1] > joints[kp.LEFT_ANKLE, 1] > 0
        assert joints[kp.LEFT_SHOULDER, 1] > joints[kp.RIGHT_HIP, 1]


@pytest.mark.parametrize("stature", STATURES)
def test_feet_stand_on_the_floor(stature):
    for seed in range(6):
        feet = [shape for shape in standing(seed, stature).shapes if shape.part in ("skin", "shoe")]
        lowest = min((shape.origin + shape.ends)[:, 1].min() for shape in feet if shape.scale.max() == 1)
        assert -0.01 < lowest < 0.05


def test_yaw_0_looks_along_z_and_90_along_x():
    for yaw, front in ((0, (0, 0, 1)), (90, (1, 0, 0)), (180, (0, 0, -1))):
        facing = np.mean([standing(seed, yaw=yaw).head[0][:, 2] for seed in range(30)], axis=0)
        assert facing / np.linalg.norm(facing) == pytest.approx(front, abs=0.25)
        body = standing(1, yaw=yaw)
        left = body.joints[kp.LEFT_HIP] - body.joints[kp.RIGHT_HIP]
        across = np.cross((0, 1, 0), front)  # up x front is left
        assert left @ across / np.linalg.norm(left) > 0.95


def test_a_standing_person_is_at_the_given_position():
    body = standing(0, at=(1.0, 0.4, -2.0))
    assert body.joints - standing(0).joints == pytest.approx(np.tile((1.0, 0.4, -2.0), (17, 1)))


@pytest.mark.parametrize("roll", [0, 90, -90, 180])
@pytest.mark.parametrize("stature", STATURES)
def test_limbs_of_a_lying_body_are_not_below_the_ground(stature, roll):
    for seed in range(4):
        body = lying(seed, stature, roll, at=(0, 0.2, 0))
        heights = body.joints[[7, 8, 9, 10, 13, 14, 15, 16], 1]
        assert heights.min() > 0.2 - 0.015
        assert bottom(body) > 0.2 - 0.12 * stature  # flesh and cloth give way where they touch


@pytest.mark.parametrize("stature", STATURES)
def test_a_lying_body_is_long_and_flat_with_its_head_where_it_should_be(stature):
    for seed in range(4):
        joints = lying(seed, stature).joints
        trunk = joints[[5, 6]].mean(0) - joints[[11, 12]].mean(0)
        assert trunk[2] < -0.8 * np.linalg.norm(trunk)
        assert joints[:, 1].max() < 0.75 * stature


@pytest.mark.parametrize(
    ("roll", "axis", "towards"),
    [(0, 2, (0, 1, 0)), (180, 2, (0, -1, 0)), (90, 0, (0, -1, 0)), (-90, 0, (0, 1, 0))],
)
def test_roll_turns_about_the_long_axis(roll, axis, towards):
    """On the back the front (2) is up; on the right side the left hip (0) is."""
    body = lying(0, roll=roll)
    if axis == 0:
        direction = body.joints[kp.LEFT_HIP] - body.joints[kp.RIGHT_HIP]
    else:
        spine = body.joints[[5, 6]].mean(0) - body.joints[[11, 12]].mean(0)
        direction = np.cross(body.joints[kp.LEFT_HIP] - body.joints[kp.RIGHT_HIP], spine)
    assert direction @ towards / np.linalg.norm(direction) > 0.9


def test_heading_turns_the_head_counter_clockwise():
    joints = lying(0, heading=90).joints
    spine = joints[[5, 6]].mean(0) - joints[[11, 12]].mean(0)
    assert spine[0] < -0.9 * np.linalg.norm(spine)


def test_one_identity_is_one_person_in_any_pose():
    one, other = (standing_person(np.random.default_rng(s), 7, 0, 0.9, 0, np.zeros(3)) for s in (1, 2))
    assert one.measures == other.measures
    assert one.clothes == other.clothes
    assert [shape.part for shape in one.shapes] == [shape.part for shape in other.shapes]
    assert not np.allclose(one.joints, other.joints)


def test_the_length_is_the_longer_chain_from_eye_to_ankle():
    body = standing(0)
    joints = body.joints
    chains = [
        sum(np.linalg.norm(joints[a] - joints[b]) for a, b in ((eye, hip), (hip, knee), (knee, ankle)))
        for eye, hip, knee, ankle in ((1, 11, 13, 15), (2, 12, 14, 16))
    ]
    assert body.length == pytest.approx(max(chains))
    assert 0.6 * body.measures.stature < body.length < body.measures.stature


def test_the_skulls_frame_is_a_rotation_around_the_face():
    frame, middle, radii = standing(3).head
    assert frame @ frame.T == pytest.approx(np.eye(3))
    face = (standing(3).joints[list(kp.HEAD)] - middle) @ frame / radii
    assert np.linalg.norm(face, axis=1) == pytest.approx(np.ones(5), abs=0.15)
