"""The hole that a head left in the depth map."""

from dataclasses import replace

import numpy as np
import pytest

from pose import DepthMap
from pose.geometry.camera import Intrinsics
from pose.privacy.head_depth import HeadBall, hole_outline

SIZE = (120, 160)
PIXELS_PER_METRE = 100.0
MIDDLE = np.array([80.0, 60.0])
BALL = HeadBall(MIDDLE, radius_px=11.0, radius=0.11, surface_depth=1.0)
UP = np.array([0.0, -1.0])


def depthmap_with(*holes):
    """A flat wall a metre away with round holes: (u, v, radius)."""
    depth = np.ones(SIZE, np.float32)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for u, v, radius in holes:
        depth[np.hypot(columns - u, rows - v) <= radius] = 0
    camera = Intrinsics(PIXELS_PER_METRE, PIXELS_PER_METRE, SIZE[1] / 2, SIZE[0] / 2, SIZE[1], SIZE[0])
    return DepthMap(depth, np.ones(SIZE, np.float32), camera, np.eye(3), np.zeros(3), True)


def hole_of(*holes, up=UP):
    return hole_outline(depthmap_with(*holes), BALL, up)


def test_a_hole_as_large_as_a_head_is_taken_whole():
    points = hole_of((80, 40, 12))
    assert points[:, 1].min() == pytest.approx(40 - 12, abs=2)
    assert np.ptp(points[:, 0]) == pytest.approx(24, abs=4)


def test_a_hole_narrower_than_a_head_is_ignored():
    assert len(hole_of((80, 50, 3))) == 0


def test_a_hole_that_does_not_touch_the_head_is_ignored():
    assert len(hole_of((80, 25, 12))) == 0


def test_a_hole_below_the_head_is_ignored_if_the_direction_of_the_body_is_known():
    assert len(hole_of((80, 80, 12))) == 0
    assert len(hole_of((80, 80, 12), up=None)) > 0


def test_a_hole_larger_than_any_head_is_cut_to_where_the_head_can_be():
    points = hole_of((80, 0, 55))
    assert len(points) > 0
    assert np.linalg.norm(points - MIDDLE, axis=1).max() < 4 * BALL.radius_px
    assert points[:, 1].max() < MIDDLE[1] + BALL.radius_px


def test_there_is_no_outline_without_holes_or_far_outside_the_map():
    assert len(hole_of()) == 0
    assert len(hole_outline(depthmap_with(), replace(BALL, centre=np.array([900.0, 900.0])), UP)) == 0
