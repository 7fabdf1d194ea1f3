"""Standing or lying."""

import copy

import numpy as np
import pytest

import pose
from pose import Posture, Skeleton
from pose import keypoints as kp
from tests.support.rendered import rendered


def body(floor=0.0, gravity_known=True, observed=None):
    """A child who stands upright, 0.9 m from eye to ankle."""
    joints = np.zeros((17, 3))
    heights = {"nose": 0.88, "eye": 0.92, "ear": 0.9, "shoulder": 0.75, "elbow": 0.6, "wrist": 0.45}
    heights |= {"hip": 0.45, "knee": 0.25, "ankle": 0.05}
    for index, name in enumerate(kp.NAMES):
        side, _, part = name.rpartition("_")
        joints[index] = ({"left": 0.08, "right": -0.08}.get(side, 0.0), heights[part], 0.0)
    seen = np.ones(17, bool) if observed is None else observed
    return Skeleton(joints, np.ones(17), np.zeros(17), seen, floor, gravity_known)


def tilted(skeleton, degrees, lift=0.0):
    """The same body turned about the x axis, then raised."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    joints = skeleton.joints @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) + (0, lift, 0)
    return Skeleton(joints, skeleton.scores, skeleton.distance_px, skeleton.observed, skeleton.floor)


def test_an_upright_body_stands():
    found = pose.classify_posture(body())
    assert found.posture is Posture.STANDING
    assert found.confidence == pytest.approx(1.0)


@pytest.mark.parametrize("degrees", [-100, -80, 80, 90, 100, 180])
def test_a_flat_body_lies_and_so_does_one_head_down(degrees):
    assert pose.classify_posture(tilted(body(), degrees)).posture is Posture.LYING


def test_a_child_who_lies_on_a_bed_does_not_stand():
    raised = tilted(body(), 90, lift=0.7)
    eyes = raised.joints[[kp.LEFT_EYE, kp.RIGHT_EYE], 1].mean()
    assert eyes / raised.body_length > 0.5  # what the original system would call standing
    found = pose.classify_posture(raised)
    assert found.posture is Posture.LYING
    assert 0.5 < found.confidence < 1


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_rendered_children_are_told_apart(posture):
    for seed in range(900_000, 900_015):
        truth = rendered(seed, posture)
        skeleton = pose.lift(
            truth.frame.depthmap, truth.people[0].keypoints, np.ones(17), truth.frame.picture_size
        )
        assert pose.classify_posture(skeleton) == posture, seed


def test_without_gravity_the_posture_is_unknown():
    found = pose.classify_posture(body(gravity_known=False))
    assert found.posture is Posture.UNKNOWN
    assert found.confidence == 0.0


def test_the_floor_is_not_needed():
    assert pose.classify_posture(body(floor=None)).posture is Posture.STANDING


def test_one_lower_leg_is_not_enough():
    observed = np.zeros(17, bool)
    observed[[kp.LEFT_KNEE, kp.LEFT_ANKLE]] = True
    assert pose.classify_posture(body(observed=observed)).posture is Posture.UNKNOWN


def test_a_partly_observed_body_has_less_confidence():
    observed = np.ones(17, bool)
    observed[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE, kp.LEFT_KNEE]] = False
    found = pose.classify_posture(body(observed=observed))
    assert found.posture is Posture.STANDING
    assert 0.2 < found.confidence < 0.9


def test_a_sitting_child_neither_stands_nor_lies():
    sitting = body()
    joints = sitting.joints.copy()
    for side in ("left", "right"):
        hip = joints[kp.INDEX[f"{side}_hip"]]
        joints[kp.INDEX[f"{side}_knee"]] = hip + np.array([0, 0, 0.2])
        joints[kp.INDEX[f"{side}_ankle"]] = hip + np.array([0, 0, 0.4])
    joints[:, 1] -= 0.35
    found = pose.classify_posture(Skeleton(joints, sitting.scores, sitting.distance_px, sitting.observed))
    assert found.posture is Posture.UNKNOWN


def test_an_estimate_is_a_string_too_and_can_be_copied():
    found = pose.classify_posture(body())
    assert found == "standing"
    again = copy.deepcopy(found)  # as on its way between processes
    assert (again.posture, again.confidence, again.rise) == (found.posture, found.confidence, found.rise)
    assert "standing" in repr(found)
