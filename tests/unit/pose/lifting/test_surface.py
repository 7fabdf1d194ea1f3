"""The person's surface is found at each keypoint."""

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
    uv = np.column_stack((np.linspace(110, 130, 17), np.linspace(20, 160, 17)))
    return DepthMap(depth, None, CAMERA), uv


def find(depthmap, uv):
    return surface_depth(depthmap, uv, np.full(17, 0.9))


def test_the_surface_is_found_at_each_keypoint(scene):
    found = find(*scene)
    assert found.observed.all()
    assert found.depth == pytest.approx(1.0)
    assert (found.distance < 1.5).all()


def test_a_hole_at_the_keypoint_is_bridged(scene):
    depthmap, uv = scene
    depth = depthmap.depth.copy()
    u, v = np.rint(uv[kp.LEFT_HIP]).astype(int)
    depth[v - 5 : v + 6, u - 5 : u + 6] = 0
    found = find(replace(depthmap, depth=depth), uv)
    assert found.observed[kp.LEFT_HIP]
    assert found.depth[kp.LEFT_HIP] == pytest.approx(1.0)
    assert 5 <= found.distance[kp.LEFT_HIP] <= 7


def test_a_keypoint_just_past_the_silhouette_does_not_get_the_depth_of_the_wall(scene):
    depthmap, uv = scene
    uv[kp.LEFT_WRIST] = (152.0, 80.0)
    found = find(depthmap, uv)
    assert found.depth[kp.LEFT_WRIST] == pytest.approx(1.0)


def test_flying_pixels_in_front_of_the_body_are_not_used(scene):
    depthmap, uv = scene
    depth = depthmap.depth.copy()
    u, v = np.rint(uv[kp.LEFT_KNEE]).astype(int)
    depth[v, u] = 0.6
    depth[v - 3, u + 2] = 0.5
    found = find(replace(depthmap, depth=depth), uv)
    assert found.depth[kp.LEFT_KNEE] == pytest.approx(1.0)


def test_a_keypoint_without_depth_takes_that_of_its_neighbours_and_is_not_observed(scene):
    depthmap, uv = scene
    depth = depthmap.depth.copy()
    depth[140:] = 0
    uv[kp.LEFT_ANKLE] = (120.0, 175.0)
    found = find(replace(depthmap, depth=depth), uv)
    assert not found.observed[kp.LEFT_ANKLE]
    assert found.depth[kp.LEFT_ANKLE] == pytest.approx(1.0)
    assert np.isinf(found.distance[kp.LEFT_ANKLE])


def test_keypoints_far_outside_are_not_observed(scene):
    depthmap, uv = scene
    uv[kp.NOSE] = (-1e9, 5e8)
    found = find(depthmap, uv)
    assert not found.observed[kp.NOSE]
    assert np.isfinite(found.depth).all()


def test_without_any_depth_nothing_is_found(scene):
    depthmap, uv = scene
    found = find(replace(depthmap, depth=np.zeros_like(depthmap.depth)), uv)
    assert not found.observed.any()
    assert np.isnan(found.depth).all()
