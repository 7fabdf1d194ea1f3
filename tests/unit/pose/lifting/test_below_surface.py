"""How far inside the body a joint is, from all sides."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting.anatomy import Build
from pose.lifting.below_surface import depth_below_surface, visible_below_surface

BUILD = Build(0.9)


def turned_body(degrees):
    """Return the joints of a standing body that is turned from the camera to the viewer's right."""
    left = np.zeros((17, 3))  # x: to the person's left, y: up, z: to the front
    shoulder, hip = BUILD["shoulders"] / 2, BUILD["hips"] / 2
    b, d = BUILD["head_breadth"], BUILD["head_depth"]
    left[kp.NOSE] = (0, 0.8, 1.06 * d)
    for side, sign in (("left", 1), ("right", -1)):
        for name, position in {
            "eye": (0.43 * b, 0.82, 0.88 * d), "ear": (b, 0.8, 0), "shoulder": (shoulder, 0.68, 0),
            "elbow": (shoulder, 0.5, 0), "wrist": (shoulder, 0.4, 0), "hip": (hip, 0.37, 0),
            "knee": (hip, 0.21, 0), "ankle": (hip, 0.04, 0),
        }.items():  # fmt: skip
            left[kp.INDEX[f"{side}_{name}"]] = (sign * position[0], *position[1:])
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # The camera sees the person's left on its right; it looks along its -z.
    turned = left @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return turned - (0, 0.4, 1.0)


def test_from_the_front_a_nose_is_at_the_surface_and_a_hip_is_inside():
    below = depth_below_surface(turned_body(0), BUILD)
    assert below[kp.NOSE] < 0.01
    assert below[kp.LEFT_HIP] == pytest.approx(below[kp.RIGHT_HIP], abs=1e-6)
    assert 0.04 < below[kp.LEFT_HIP] < 0.1


def test_from_behind_the_nose_is_on_the_other_side_of_the_head():
    below = depth_below_surface(turned_body(180), BUILD)
    assert 0.15 < below[kp.NOSE] < 0.2


@pytest.mark.parametrize(("degrees", "near", "far"), [(90, "right", "left"), (-90, "left", "right")])
def test_from_the_side_the_far_joints_are_behind_the_near_ones(degrees, near, far):
    below = depth_below_surface(turned_body(degrees), BUILD)
    for joint, breadth in (("shoulder", BUILD["shoulders"]), ("hip", BUILD["hips"])):
        apart = below[kp.INDEX[f"{far}_{joint}"]] - below[kp.INDEX[f"{near}_{joint}"]]
        assert apart == pytest.approx(breadth, rel=0.1)


@pytest.mark.parametrize("degrees", range(-180, 180, 15))
def test_no_joint_is_in_front_of_the_surface_or_outside_the_body(degrees):
    below = depth_below_surface(turned_body(degrees), BUILD)
    assert (below > 0).all()
    assert (below < 0.3).all()


def test_points_that_coincide_give_finite_depths():
    below = depth_below_surface(np.zeros((17, 3)), BUILD)
    assert np.isfinite(below).all()


def test_a_ray_along_a_limb_goes_deeper_into_it():
    level = depth_below_surface(turned_body(0), BUILD)
    body = turned_body(0) - (0, 0.9, 0)  # the camera looks down at the legs
    down = depth_below_surface(body, BUILD)
    ray = body[kp.LEFT_ANKLE] / np.linalg.norm(body[kp.LEFT_ANKLE])
    assert down[kp.LEFT_ANKLE] == pytest.approx(BUILD["ankle"] / np.hypot(ray[0], ray[2]))
    assert down[kp.LEFT_ANKLE] > 1.1 * level[kp.LEFT_ANKLE]
    assert down[kp.LEFT_HIP] > 1.1 * level[kp.LEFT_HIP]


def seen(degrees):
    return depth_below_surface(turned_body(degrees), BUILD) < visible_below_surface(BUILD)


def test_from_the_front_all_joints_can_be_seen_and_from_behind_no_face():
    assert seen(0).all()
    assert not seen(180)[[kp.NOSE, kp.LEFT_EYE, kp.RIGHT_EYE]].any()
    assert seen(180)[list(kp.TORSO)].all()


@pytest.mark.parametrize(("degrees", "near", "far"), [(90, "right", "left"), (-90, "left", "right")])
def test_from_the_side_the_joints_of_the_far_side_are_not_seen(degrees, near, far):
    for joint in ("eye", "shoulder", "hip"):
        assert seen(degrees)[kp.INDEX[f"{near}_{joint}"]]
        assert not seen(degrees)[kp.INDEX[f"{far}_{joint}"]]
