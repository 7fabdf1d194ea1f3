"""The floor is found on the plush scan, in empty rooms, and below tables and beds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height, heights_and_normals
from pose.scan.calibration import Calibration
from pose.scan.reader import read_scan

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
FLOOR = -1.2
# Height above the floor, then left and right, near and far edge as seen from the camera.
TABLE = (0.70, -0.5, 0.5, 0.8, 1.6)
BED = (0.45, -1.0, 0.5, 0.3, 2.5)
MAT = (0.05, -0.4, 0.4, 0.9, 2.0)


def room(
    *flats: tuple[float, float, float, float, float],
    tilt: float = -35.0,
    noise: float = 0.0,
    size: tuple[int, int] = (240, 180),
) -> DepthMap:
    """A room seen by a phone that is held upright: a floor, a wall 3 m ahead, and horizontal surfaces."""
    a = np.radians(tilt)
    tilted = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    upright = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    camera = Calibration(PHONE, PHONE).depth_intrinsics(*size)
    ones = np.ones(size[::-1], np.float32)
    view = DepthMap(ones, None, camera, tilted @ upright, np.array([0.0, 0.01, 0.0]), True)
    ray = view.points() - view.translation  # for each metre of depth

    def plane(distance: float, axis: int) -> np.ndarray[Any, Any]:
        along = ray[..., axis]
        depth = np.divide(distance, along, out=np.zeros_like(along), where=along != 0)
        return np.where(depth > 0, depth, np.inf)

    nearest = np.minimum(plane(FLOOR - 0.01, 1), plane(-3.0, 2))
    for height, left, right, near, far in flats:
        depth = plane(FLOOR + height - 0.01, 1)
        with np.errstate(invalid="ignore"):
            x, ahead = depth * ray[..., 0], -depth * ray[..., 2]
            hit = (x > left) & (x < right) & (ahead > near) & (ahead < far)
        nearest = np.where(hit, np.minimum(nearest, depth), nearest)
    nearest[~np.isfinite(nearest)] = 0
    nearest *= 1 + noise * np.random.default_rng(0).standard_normal(nearest.shape)
    return DepthMap(nearest.astype(np.float32), None, camera, view.rotation, view.translation, True)


@pytest.mark.parametrize("method", ["lowest", "median"])
def test_the_floor_of_the_plush_scan_is_where_the_original_system_found_it(plush: Path, method: Any):
    found = [floor_height(frame.depthmap, method) for frame in read_scan(plush).frames]
    assert found == pytest.approx([-0.9706, -0.9715, -0.9703], abs=0.005)


def test_the_plush_dog_rises_above_the_floor_by_what_the_original_system_measured(plush: Path):
    tops = []
    for frame in read_scan(plush).frames:
        depthmap = frame.depthmap
        floor = floor_height(depthmap, "median")
        assert floor is not None
        above = depthmap.points()[..., 1] - floor
        things = ((depthmap.depth > 0) & (above > 0.1)).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(things, connectivity=4)
        dog = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        tops.append(above[labels == dog].max())
    assert tops == pytest.approx([0.4329, 0.4278, 0.4275], abs=0.001)


@pytest.mark.parametrize("method", ["lowest", "median"])
@pytest.mark.parametrize("tilt", [-10, -35, -60, -85])
def test_the_floor_of_an_empty_room_is_found_from_any_angle(method: Any, tilt: float):
    assert floor_height(room(tilt=tilt), method) == pytest.approx(FLOOR, abs=0.002)


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.008])
@pytest.mark.parametrize("tilt", [-10, -20, -35, -60])
@pytest.mark.parametrize("thing", [TABLE, BED, MAT])
def test_neither_a_table_nor_a_bed_nor_a_mat_is_taken_for_the_floor(thing: Any, tilt: float, noise: float):
    assert floor_height(room(thing, tilt=tilt, noise=noise)) == pytest.approx(FLOOR, abs=0.01)


def test_the_original_method_takes_a_bed_for_the_floor():
    assert floor_height(room(BED), "median") == pytest.approx(FLOOR + BED[0], abs=0.01)


@pytest.mark.parametrize("size", [(180, 135), (640, 480)])
def test_it_works_at_every_size_of_a_depth_map(size: tuple[int, int]):
    assert floor_height(room(TABLE, size=size, noise=0.003)) == pytest.approx(FLOOR, abs=0.01)


@pytest.mark.parametrize("method", ["lowest", "median"])
def test_without_a_pose_no_floor_is_found(method: Any):
    view = room()
    unknown = DepthMap(view.depth, None, view.intrinsics)
    assert floor_height(unknown, method) is None


@pytest.mark.parametrize("method", ["lowest", "median"])
def test_no_floor_is_found_in_a_wall_or_without_depth(method: Any):
    ahead = room(tilt=45)
    assert floor_height(ahead, method) is None
    nothing = DepthMap(np.zeros_like(ahead.depth), None, ahead.intrinsics, pose_known=True)
    assert floor_height(nothing, method) is None


def test_a_depth_map_of_a_few_pixels_has_no_floor_but_raises_nothing():
    for size in ((1, 1), (3, 3), (1, 9)):
        assert floor_height(room(size=size)) is None


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method"):
        floor_height(room(), "highest")  # type: ignore[arg-type]


def test_normals_point_up_from_the_floor_and_towards_the_camera_from_the_wall():
    view = room(tilt=-30)
    normal = heights_and_normals(view, 1)[1]
    points = view.points()
    floor = np.abs(points[..., 1] - FLOOR) < 1e-4
    wall = np.abs(points[..., 2] + 3) < 1e-4
    known = np.abs(normal).sum(axis=2) > 0
    assert np.median(normal[floor & known], axis=0) == pytest.approx([0, 1, 0], abs=1e-3)
    assert np.median(normal[wall & known], axis=0) == pytest.approx([0, 0, 1], abs=1e-3)
    assert np.linalg.norm(normal[known], axis=1) == pytest.approx(1, abs=1e-5)


def test_there_is_no_normal_beside_a_pixel_without_depth():
    view = room()
    view.depth[90, 120] = 0
    known = np.abs(heights_and_normals(view, 1)[1]).sum(axis=2) > 0
    assert not known[89:92, 120].any()
    assert not known[90, 119:122].any()
    assert known[85, 120]
    assert not known[0].any()
    assert not known[:, 0].any()
