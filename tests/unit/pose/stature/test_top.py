"""The top of a head and of an object above the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pose
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.stature.top import head_top, object_top
from tests.support.rendered import with_face

CAMERA = Intrinsics(150, 150, 120, 90, 240, 180)
FLOOR = -1.0  # metres: the camera, in the origin, looks straight ahead, one metre above it


def scene(*boxes: tuple[float, float, float, float], back: float = 3.0) -> DepthMap:
    """Walls that face the camera: left, right, top above the floor, distance in metres; and the back wall."""
    rows, columns = np.mgrid[0:180, 0:240]
    x, y = (columns - CAMERA.cx) / CAMERA.fx, (CAMERA.cy - rows) / CAMERA.fy
    depth = np.full((180, 240), back, np.float32)
    with np.errstate(divide="ignore"):
        depth = np.where(y < 0, np.minimum(depth, FLOOR / y), depth)
    for left, right, top, distance in sorted(boxes, key=lambda each: -each[3]):
        inside = (x * distance > left) & (x * distance < right) & (y * distance < FLOOR + top)
        depth = np.where(inside & (distance < depth), distance, depth)
    return DepthMap(depth.astype(np.float32), None, CAMERA, pose_known=True)


def test_the_top_of_an_object_is_found_before_a_wall():
    assert object_top(scene((-0.3, 0.3, 0.8, 1.6)), FLOOR) == pytest.approx(0.8, abs=0.015)


def test_of_two_objects_the_nearer_to_the_middle_counts():
    found = object_top(scene((-0.3, 0.2, 0.6, 1.6), (0.5, 0.9, 1.1, 1.6)), FLOOR)
    assert found == pytest.approx(0.6, abs=0.015)


def test_an_empty_depth_map_has_no_object():
    depthmap = scene()
    assert object_top(replace(depthmap, depth=np.zeros_like(depthmap.depth)), FLOOR) is None


def test_stray_pixels_above_an_object_do_not_count():
    depthmap = scene((-0.3, 0.3, 0.8, 1.6))
    top = np.flatnonzero(depthmap.depth[:, 120] == np.float32(1.6))[0]
    depthmap.depth[top - 6 : top - 3, 120] = 1.6
    assert object_top(depthmap, FLOOR) == pytest.approx(0.8, abs=0.015)


def test_a_board_behind_the_head_is_not_its_top():
    depthmap = scene((-0.1, 0.1, 0.9, 1.5), (-0.3, 0.3, 0.99, 1.7))
    crown = np.array([0.0, FLOOR + 0.9, -1.55])
    assert head_top(depthmap, FLOOR, crown) == pytest.approx(0.9, abs=0.015)


def test_without_a_surface_near_the_crown_there_is_no_top():
    assert head_top(scene(), FLOOR, np.array([0.0, FLOOR + 0.9, -1.0])) is None


def test_the_top_of_a_rendered_head_is_its_crown_or_its_hair():
    truth = with_face()
    frame, middle, radii = truth.true_people[0].head
    crown = middle + np.array([0.0, np.linalg.norm(frame[1] * radii), 0.0])
    found = head_top(truth.frame.depthmap, 0.0, crown)
    assert found == pytest.approx(crown[1], abs=0.05)


@pytest.mark.parametrize(("order", "top"), [(0, 0.4329), (1, 0.4278), (2, 0.4275)])
def test_the_top_of_a_real_plush_dog_is_that_of_the_original_system(plush, order, top):
    frame = pose.read_scan(plush).frames[order]
    assert frame.floor is not None
    assert object_top(frame.depthmap, frame.floor) == pytest.approx(top, abs=0.005)
