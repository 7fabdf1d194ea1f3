"""A depth map is cut into cells of equal size along and across a body."""

from __future__ import annotations

import numpy as np

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.stature.crop import BODY_GRID, CHANNELS, HEAD_GRID, Axes, crop

CAMERA = Intrinsics(150, 150, 100, 100, 201, 201)
UP = np.array([0.0, 1.0, 0.0])


def flat(depth: float) -> DepthMap:
    """A wall that the camera, in the origin, sees from the front."""
    return DepthMap(np.full((201, 201), depth, np.float32), None, CAMERA, pose_known=True)


def axes_at(point: np.ndarray) -> Axes:
    axes = Axes.seen_from(np.zeros(3), point, UP)
    assert axes is not None
    return axes


def test_axes_are_perpendicular_unit_vectors_and_away_leads_away_from_the_camera():
    point = np.array([0.3, -0.4, -1.5])
    axes = axes_at(point)
    frame = np.stack([axes.along, axes.across, axes.away])
    assert np.allclose(frame @ frame.T, np.eye(3))
    assert axes.away @ point > 0
    assert np.allclose(axes.components(2 * axes.across + 3 * axes.away), [0, 2, 3])


def test_a_body_along_the_view_has_no_axes():
    assert Axes.seen_from(np.zeros(3), np.array([0.0, -1.5, -0.2]), UP) is None


def test_the_first_row_is_the_upper_edge_and_the_columns_are_centred():
    along, across = HEAD_GRID.offsets()
    assert along[0] == HEAD_GRID.above - HEAD_GRID.cell / 2
    assert np.all(np.diff(along) < 0)
    assert np.allclose(across, -across[::-1])


def test_a_wall_in_the_plane_of_the_cells_is_flat():
    point = np.array([0.0, 0.0, -1.0])
    cells = crop(flat(1.0), point, axes_at(point), HEAD_GRID, level=-0.05)
    assert cells.shape == (CHANNELS, HEAD_GRID.rows, HEAD_GRID.columns)
    behind, along, height, measured, inside = cells
    assert np.abs(behind).max() < 1e-5
    # The nearest pixel is at most half a pixel, here 3.3 mm, away from the middle of a cell.
    assert np.abs(along).max() * 5 * HEAD_GRID.cell < 0.0034
    assert measured.all()
    assert inside.all()
    rows = HEAD_GRID.offsets()[0]
    assert np.allclose(height.mean(axis=1) * 16 * HEAD_GRID.cell, rows + 0.05, atol=0.004)


def test_a_farther_wall_is_behind_the_plane():
    point = np.array([0.0, 0.0, -1.0])
    behind = crop(flat(1.04), point, axes_at(point), HEAD_GRID, level=0.0)[0]
    assert np.allclose(behind * 8 * HEAD_GRID.cell, 0.04, atol=1e-3)


def test_cells_outside_the_picture_and_without_depth_are_marked_and_zero():
    depthmap = flat(1.0)
    depthmap.depth[:100] = 0
    point = np.array([0.6, 0.0, -1.0])
    cells = crop(depthmap, point, axes_at(point), BODY_GRID, level=0.0)
    behind, along, height, measured, inside = cells
    assert not inside.all()
    assert not measured[inside == 0].any()
    assert (measured[inside == 1] == 0).any()
    for channel in (behind, along, height):
        assert not channel[measured == 0].any()


def test_a_point_behind_the_camera_gives_no_cell():
    point = np.array([0.0, 0.0, 1.0])
    axes = Axes(UP, np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0]))
    assert not crop(flat(1.0), point, axes, HEAD_GRID, level=0.0)[4].any()
