"""Joints of a pose hang together as the measures say."""

from __future__ import annotations

import numpy as np
import pytest

from pose import keypoints as kp
from pose.synthetic.posing import face_points, rest_on_ground, rotation_about, sample_pose
from pose.synthetic.proportions import sample_measures


def posed(seed, lying=False, stature=0.9):
    rng = np.random.default_rng(seed)
    m = sample_measures(rng, stature)
    return m, sample_pose(rng, m, lying=lying)


def bones(m):
    """Length of each bone between two keypoints."""
    thigh, shank = m.hip_height - m.knee_height, m.knee_height - m.ankle_height
    return {
        (kp.LEFT_SHOULDER, kp.LEFT_ELBOW): m.upper_arm,
        (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW): m.upper_arm,
        (kp.LEFT_ELBOW, kp.LEFT_WRIST): m.forearm,
        (kp.RIGHT_ELBOW, kp.RIGHT_WRIST): m.forearm,
        (kp.LEFT_HIP, kp.RIGHT_HIP): 2 * m.half_hips,
        (kp.LEFT_HIP, kp.LEFT_KNEE): thigh,
        (kp.RIGHT_HIP, kp.RIGHT_KNEE): thigh,
        (kp.LEFT_KNEE, kp.LEFT_ANKLE): shank,
        (kp.RIGHT_KNEE, kp.RIGHT_ANKLE): shank,
    }


@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_bones_are_as_long_as_the_measures_say(seed, lying):
    m, body = posed(seed, lying)
    for (a, b), length in bones(m).items():
        assert np.linalg.norm(body.joints[a] - body.joints[b]) == pytest.approx(length)


@pytest.mark.parametrize("seed", range(10))
def test_left_is_the_persons_own_left(seed):
    m, body = posed(seed)
    left, up, front = body.frames["head"].T
    face = (body.joints[list(kp.HEAD)] - body.landmarks["head"]) @ np.stack([left, up, front], axis=1)
    assert face[kp.LEFT_EYE, 0] > 0 > face[kp.RIGHT_EYE, 0]
    assert face[kp.LEFT_EAR, 0] > face[kp.LEFT_EYE, 0]
    assert face[kp.RIGHT_EAR, 0] < face[kp.RIGHT_EYE, 0]
    assert face[kp.NOSE] @ (0, 0, 1) > m.head_length / 2
    chest = body.frames["chest"]
    across = (body.joints[kp.LEFT_SHOULDER] - body.joints[kp.RIGHT_SHOULDER]) @ chest[:, 0]
    assert across == pytest.approx(2 * m.half_shoulders, rel=0.02)
    assert body.joints[kp.LEFT_HIP, 0] > body.joints[kp.RIGHT_HIP, 0]


def test_the_face_lies_on_the_heads_surface():
    m = sample_measures(np.random.default_rng(0), 0.9)
    skull = np.array([m.head_breadth, m.head_height, m.head_length]) / 2
    away = np.linalg.norm(face_points(m) / skull, axis=1)
    assert away[[kp.LEFT_EYE, kp.RIGHT_EYE]] == pytest.approx(1.0, abs=1e-6)
    assert (away > 0.99).all()
    assert (away < 1.15).all()


def test_knees_bend_backwards():
    bent = 0
    for seed in range(100):
        _, body = posed(seed)
        for hip, knee, ankle in ((11, 13, 15), (12, 14, 16)):
            thigh, shank = body.joints[knee] - body.joints[hip], body.joints[ankle] - body.joints[knee]
            thigh, shank = thigh / np.linalg.norm(thigh), shank / np.linalg.norm(shank)
            if thigh @ shank < np.cos(np.radians(8)):
                bent += 1
                assert (shank - thigh)[2] < 0
    assert bent > 20


def test_placing_turns_and_moves_all_of_a_body():
    _, body = posed(0)
    rotation, offset = rotation_about("y", 40) @ rotation_about("x", -70), np.array([0.3, 1.2, -0.5])
    placed = body.transform(rotation, offset)
    assert placed.joints == pytest.approx(body.joints @ rotation.T + offset)
    assert placed.landmarks["head"] == pytest.approx(rotation @ body.landmarks["head"] + offset)
    back = placed.transform(rotation.T, -rotation.T @ offset)
    assert back.joints == pytest.approx(body.joints)
    assert back.frames["chest"] == pytest.approx(body.frames["chest"])


@pytest.mark.parametrize("axis", "xyz")
def test_turns_are_counter_clockwise_seen_from_the_axis_tip(axis):
    at = "xyz".index(axis)
    start, end = np.eye(3)[(at + 1) % 3], np.eye(3)[(at + 2) % 3]
    assert rotation_about(axis, 90) @ start == pytest.approx(end)
    assert np.linalg.det(rotation_about(axis, 33)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_settled_limbs_rest_on_the_ground_and_keep_their_length(seed):
    rng = np.random.default_rng(seed)
    m, body = posed(seed, lying=True)
    ground = 0.3
    flat = body.transform(rotation_about("x", -90), np.array([0.0, ground + 1.0 * m.chest_depth, 0.0]))
    settled = rest_on_ground(flat, m, ground, rng)
    lengths = bones(m)
    lowest = settled.joints[[7, 8, 9, 10, 13, 14, 15, 16], 1].min()
    # A limb whose upper end is high cannot be turned quite straight down.
    assert lowest > ground - 0.02
    for (a, b), length in lengths.items():
        assert np.linalg.norm(settled.joints[a] - settled.joints[b]) == pytest.approx(length)
    for name in ("hand0", "hand1", "heel0", "heel1", "toes0", "toes1"):
        assert settled.landmarks[name][1] > ground
