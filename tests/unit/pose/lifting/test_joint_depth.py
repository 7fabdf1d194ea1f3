"""How deep joints lie under the skin, from all sides."""

import numpy as np
import pytest

from pose import keypoints as kp
from pose.lifting.anatomy import Build
from pose.lifting.joints import depth_below_surface

BUILD = Build(0.9)


def seen(degrees):
    """A standing body whose face turns by so many degrees from the camera to the viewer's right."""
    left = np.zeros((17, 3))  # x: to the person's left, y: up, z: to the front
    shoulder, hip = BUILD["shoulders"] / 2, BUILD["hips"] / 2
    b, d = BUILD["head_breadth"], BUILD["head_depth"]
    left[kp.NOSE] = (0, 0.8, 1.06 * d)
    for side, sign in (("left", 1), ("right", -1)):
        for name, place in {
            "eye": (0.43 * b, 0.82, 0.88 * d), "ear": (b, 0.8, 0), "shoulder": (shoulder, 0.68, 0),
            "elbow": (shoulder, 0.5, 0), "wrist": (shoulder, 0.4, 0), "hip": (hip, 0.37, 0),
            "knee": (hip, 0.21, 0), "ankle": (hip, 0.04, 0),
        }.items():  # fmt: skip
            left[kp.INDEX[f"{side}_{name}"]] = (sign * place[0], *place[1:])
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # The camera sees the person's left on its right; it looks along its -z.
    turned = left @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return turned - (0, 0.4, 1.0)


def test_from_the_front_a_nose_is_skin_and_a_hip_is_inside():
    under = depth_below_surface(seen(0), BUILD)
    assert under[kp.NOSE] < 0.01
    assert under[kp.LEFT_HIP] == pytest.approx(under[kp.RIGHT_HIP], abs=1e-6)
    assert 0.04 < under[kp.LEFT_HIP] < 0.1


def test_from_behind_the_nose_is_on_the_other_side_of_the_head():
    under = depth_below_surface(seen(180), BUILD)
    assert 0.15 < under[kp.NOSE] < 0.2


@pytest.mark.parametrize(("degrees", "near", "far"), [(90, "right", "left"), (-90, "left", "right")])
def test_from_the_side_the_far_joints_are_behind_the_near_ones(degrees, near, far):
    under = depth_below_surface(seen(degrees), BUILD)
    for joint, breadth in (("shoulder", BUILD["shoulders"]), ("hip", BUILD["hips"])):
        apart = under[kp.INDEX[f"{far}_{joint}"]] - under[kp.INDEX[f"{near}_{joint}"]]
        assert apart == pytest.approx(breadth, rel=0.1)


@pytest.mark.parametrize("degrees", range(-180, 180, 15))
def test_no_joint_is_ever_in_front_of_the_skin_or_outside_the_body(degrees):
    under = depth_below_surface(seen(degrees), BUILD)
    assert (under > 0).all()
    assert (under < 0.3).all()


def test_points_that_say_nothing_give_half_the_depth():
    under = depth_below_surface(np.zeros((17, 3)), BUILD)
    assert np.isfinite(under).all()
