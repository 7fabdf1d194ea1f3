"""Pixels of a depth map and world points belong to each other, also after resizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.geometry.depthmap import DepthMap
from pose.scan.calibration import Calibration
from pose.scan.reader import read_scan

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
CALIBRATION = Calibration(PHONE, PHONE)
# A phone held upright that looks down a little.
TURNED = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])


def view(depth: np.ndarray, confidence: np.ndarray | None = None) -> DepthMap:
    height, width = depth.shape
    camera = CALIBRATION.depth_intrinsics(width, height)
    return DepthMap(depth.astype(np.float32), confidence, camera, TURNED, np.array([0.5, 1.2, -0.3]), True)


def slope(width: int = 24, height: int = 18) -> np.ndarray:
    return 1 + np.add.outer(np.arange(height) * 0.01, np.arange(width) * 0.005)


@pytest.fixture(scope="module")
def plush_maps(plush: Path) -> list[DepthMap]:
    return [frame.depthmap for frame in read_scan(plush).frames]


def test_the_plush_scan_has_the_camera_angles_that_the_original_system_measured(plush_maps: list[DepthMap]):
    angles = [depthmap.camera_angle_deg for depthmap in plush_maps]
    assert angles == pytest.approx([-63.10, -65.03, -65.11], abs=0.005)


def test_the_plush_scan_lacks_the_depth_that_it_is_known_to_lack(plush_maps: list[DepthMap]):
    missing = [depthmap.missing for depthmap in plush_maps]
    assert missing == pytest.approx([0.2493, 0.2455, 0.2452], abs=0.00005)


def test_a_pixel_of_the_plush_scan_lies_where_the_original_system_puts_it(plush_maps: list[DepthMap]):
    expected = (0.44432031, -0.93842697, 0.07354546)
    assert plush_maps[0].points()[89, 120] == pytest.approx(expected, abs=1e-6)


def test_pixels_of_the_plush_scan_project_back_onto_themselves(plush_maps: list[DepthMap]):
    for depthmap in plush_maps:
        u, v, d = depthmap.project(depthmap.points())
        known = depthmap.depth > 0
        rows, columns = np.mgrid[: depthmap.height, : depthmap.width]
        assert np.abs(u - columns)[known].max() < 1e-9
        assert np.abs(v - rows)[known].max() < 1e-9
        assert np.abs(d - depthmap.depth)[known].max() < 1e-9


def test_unproject_takes_single_pixels_and_any_shapes_that_broadcast():
    depthmap = view(slope())
    points = depthmap.points()
    assert points.shape == (18, 24, 3)
    assert points.dtype == np.float64
    assert depthmap.unproject(5, 7, depthmap.depth[7, 5]) == pytest.approx(points[7, 5])
    assert depthmap.unproject(np.arange(24), 7, depthmap.depth[7]) == pytest.approx(points[7])


def test_a_pixel_without_depth_gives_the_position_of_the_camera():
    depth = slope()
    depth[3, 4] = 0
    assert view(depth).points()[3, 4] == pytest.approx([0.5, 1.2, -0.3])


def test_a_higher_row_is_higher_in_the_world_when_the_camera_is_not_turned():
    depthmap = DepthMap(np.ones((18, 24), np.float32), None, CALIBRATION.depth_intrinsics(24, 18))
    points = depthmap.points()
    assert (np.diff(points[..., 1], axis=0) < 0).all()
    assert (np.diff(points[..., 0], axis=1) > 0).all()
    assert (points[..., 2] == -1).all()


def test_points_that_are_not_in_front_of_the_camera_have_no_pixel():
    depthmap = view(slope())
    u, v, d = depthmap.project(
        [depthmap.unproject(3, 4, -1.0), depthmap.translation, depthmap.unproject(3, 4, 2.0)]
    )
    assert np.isnan(u[:2]).all() and np.isnan(v[:2]).all()
    assert (u[2], v[2], d[2]) == pytest.approx((3, 4, 2))


@settings(max_examples=100, deadline=None)
@given(st.floats(-50, 300), st.floats(-50, 300), st.floats(0.1, 10))
def test_project_is_the_inverse_of_unproject(u: float, v: float, d: float):
    depthmap = view(slope())
    assert depthmap.project(depthmap.unproject(u, v, d)) == pytest.approx((u, v, d), abs=1e-9)


def test_a_camera_that_looks_straight_down_has_an_angle_of_minus_ninety():
    down = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    camera = CALIBRATION.depth_intrinsics(2, 2)
    depthmap = DepthMap(np.ones((2, 2), np.float32), None, camera, down, np.ones(3), True)
    assert depthmap.camera_angle_deg == pytest.approx(-90)


def test_a_depth_map_at_its_own_size_stays_the_same():
    depth = slope()
    depth[5, 5] = 0
    depthmap = view(depth, np.ones((18, 24), np.float32))
    same = depthmap.resized(24, 18)
    assert (same.depth == depthmap.depth).all()
    assert same.intrinsics == depthmap.intrinsics


@pytest.mark.parametrize("size", [(64, 48), (12, 9), (50, 20)])
def test_a_resized_pixel_lies_on_the_ray_that_it_was_sampled_from(size: tuple[int, int]):
    depthmap = view(slope())
    resized = depthmap.resized(*size)
    inner = np.s_[5:-5, 5:-5] if min(size) > 12 else np.s_[:, :]
    u, v, d = depthmap.project(resized.points()[inner])
    expected = 1 + v * 0.01 + u * 0.005  # the slope's depth there
    assert d == pytest.approx(expected, abs=1e-6)
    assert resized.pose_known


def test_no_points_are_invented_between_a_body_and_the_wall_behind():
    depth = np.full((18, 24), 1.0)
    depth[:, 12:] = 1.2
    resized = view(depth).resized(96, 72)
    assert set(np.unique(resized.depth)) == {np.float32(0), np.float32(1), np.float32(1.2)}
    soft = np.full((18, 24), 1.0)
    soft[:, 12:] = 1.04
    assert (view(soft).resized(96, 72).depth > 0).all()


def test_around_a_pixel_without_depth_there_is_none():
    depth = slope()
    depth[9, 9] = 0
    resized = view(depth).resized(96, 72)
    x, y = np.arange(96) / 4, 17 - (71 - np.arange(72)) / 4
    near = (np.abs(y - 9) < 1)[:, None] & (np.abs(x - 9) < 1)
    assert ((resized.depth == 0) == near).all()


def test_confidence_is_resized_too():
    confidence = np.full((18, 24), 0.5, np.float32)
    resized = view(slope(), confidence).resized(48, 36)
    assert resized.confidence == pytest.approx(np.full((36, 48), 0.5))


def test_a_size_of_0_is_refused():
    with pytest.raises(ValueError, match=r"size is \(0, 5\), expected width and height"):
        view(slope()).resized(0, 5)
