"""Finding the person's skin at keypoints."""

from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.lifting.surface import surface_depth

CAMERA = Intrinsics(160.0, 160.0, 119.5, 89.5, 240, 180)


@pytest.fixture
def scene():
    """A board 1 m away, 60 columns wide, before a wall 3 m away; and 17 keypoints on the board."""
    depth = np.full((180, 240), 3.0, np.float32)
    depth[:, 90:150] = 1.0
    at = np.column_stack((np.linspace(110, 130, 17), np.linspace(20, 160, 17)))
    return DepthMap(depth, None, CAMERA), at


def find(depthmap, at):
    return surface_depth(depthmap, at, np.full(17, 0.9))


def test_the_skin_is_found_at_each_keypoint(scene):
    found = find(*scene)
    assert found.observed.all()
    assert found.depth == pytest.approx(1.0)
    assert (found.distance < 1.5).all()


def test_a_hole_at_the_keypoint_is_bridged(scene):
    depthmap, at = scene
    depth = depthmap.depth.copy()
    u, v = np.rint(at[kp.LEFT_HIP]).astype(int)
    depth[v - 5 : v + 6, u - 5 : u + 6] = 0
    found = find(replace(depthmap, depth=depth), at)
    assert found.observed[kp.LEFT_HIP]
    assert found.depth[kp.LEFT_HIP] == pytest.approx(1.0)
    assert 5 <= found.distance[kp.LEFT_HIP] <= 7


def test_a_keypoint_just_past_the_silhouette_does_not_fall_on_the_wall(scene):
    depthmap, at = scene
    at[kp.LEFT_WRIST] = (152.0, 80.0)
    found = find(depthmap, at)
    assert found.depth[kp.LEFT_WRIST] == pytest.approx(1.0)


def test_pixels_that_fly_before_the_body_are_not_taken(scene):
    depthmap, at = scene
    depth = depthmap.depth.copy()
    u, v = np.rint(at[kp.LEFT_KNEE]).astype(int)
    depth[v, u] = 0.6
    depth[v - 3, u + 2] = 0.5
    found = find(replace(depthmap, depth=depth), at)
    assert found.depth[kp.LEFT_KNEE] == pytest.approx(1.0)


def test_a_keypoint_without_depth_takes_its_neighbours_and_says_so(scene):
    depthmap, at = scene
    depth = depthmap.depth.copy()
    depth[140:] = 0
    at[kp.LEFT_ANKLE] = (120.0, 175.0)
    found = find(replace(depthmap, depth=depth), at)
    assert not found.observed[kp.LEFT_ANKLE]
    assert found.depth[kp.LEFT_ANKLE] == pytest.approx(1.0)
    assert np.isinf(found.distance[kp.LEFT_ANKLE])


def test_keypoints_far_outside_are_not_observed(scene):
    depthmap, at = scene
    at[kp.NOSE] = (-1e9, 5e8)
    found = find(depthmap, at)
    assert not found.observed[kp.NOSE]
    assert np.isfinite(found.depth).all()


def test_without_any_depth_nothing_is_found(scene):
    depthmap, at = scene
    found = find(replace(depthmap, depth=np.zeros_like(depthmap.depth)), at)
    assert not found.observed.any()
    assert np.isnan(found.depth).all()
