"""Edges of pictures and depth maps are found where they are, whatever their contrast."""

import cv2
import numpy as np
import pytest

from pose.geometry.edges import depth_edges, half_turned, mirrored, picture_edges, zoomed

SIZE = (160, 120)


def step_in_depth(near=1.0, far=1.5, column=120):
    """A 240x180 depth map of two walls that meet at a column."""
    depth = np.full((180, 240), far, np.float32)
    depth[:, :column] = near
    return depth


def strength(field):
    return np.hypot(field[..., 0], field[..., 1])


def columns_of_edges(field):
    """The columns with an edge in the middle row."""
    row = strength(field)[60]
    return np.flatnonzero(row > 0.3 * max(row.max(), 0.1)).tolist()


def test_a_step_in_depth_is_an_edge_across():
    field = depth_edges(step_in_depth(), SIZE)
    assert field.shape == (120, 160, 2)
    assert field.dtype == np.float32
    assert set(columns_of_edges(field)) <= set(range(77, 83))
    assert field[60, 79, 0] > 0.1  # the double angle of a gradient across is 0
    assert field[60, 79, 1] == pytest.approx(0, abs=1e-3)


def test_edges_do_not_depend_on_which_side_is_near_or_bright():
    for near, far in ((1.0, 1.5), (1.5, 1.0)):
        field = depth_edges(step_in_depth(near, far), SIZE)
        assert set(columns_of_edges(field)) <= set(range(77, 83))
        assert field[60, 79, 0] > 0.1
    dark_left = np.zeros((120, 160, 3), np.uint8)
    dark_left[:, 80:] = 200
    dark_left[:, 79] = 120
    assert np.allclose(picture_edges(dark_left), picture_edges(200 - dark_left), atol=1e-3)


def test_an_edge_without_depth_is_in_the_middle_of_the_hole():
    depth = step_in_depth(column=120)
    depth[:, 117:126] = 0
    assert set(columns_of_edges(depth_edges(depth, SIZE))) <= set(range(77, 84))


def test_a_slanted_plane_and_the_border_of_the_measured_area_are_no_edges():
    rows = np.arange(180, dtype=np.float32)[:, None]
    depth = np.repeat(1 / (0.4 + 0.002 * rows), 240, axis=1).astype(np.float32)
    depth[:, :30] = depth[:, -30:] = 0
    assert strength(depth_edges(depth, SIZE)).max() < 0.01


def test_noise_of_a_few_millimetres_makes_no_edges():
    depth = 1.2 + 0.003 * np.random.default_rng(1).standard_normal((180, 240)).astype(np.float32)
    assert strength(depth_edges(depth, SIZE)).mean() < 0.01


@pytest.mark.parametrize("depth", [np.zeros((180, 240), np.float32), np.ones((180, 240), np.float32)])
def test_nothing_measured_and_a_flat_wall_have_no_edges(depth):
    assert not depth_edges(depth, SIZE).any()


def test_an_even_picture_has_no_edges():
    assert not picture_edges(np.full((120, 160, 3), 90, np.uint8)).any()


def test_an_edge_between_equally_bright_colours_is_found():
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80, 0], picture[:, 80:, 1] = 120, 120
    assert set(columns_of_edges(picture_edges(picture))) <= set(range(77, 83))


def drawn():
    picture = np.full((120, 160, 3), 30, np.uint8)
    cv2.line(picture, (30, 20), (70, 90), (220, 220, 220), 3)
    return picture


def test_changed_fields_are_those_of_changed_pictures():
    field = picture_edges(drawn())
    assert np.allclose(mirrored(field), picture_edges(drawn()[:, ::-1]), atol=1e-3)
    assert np.allclose(half_turned(field), picture_edges(drawn()[::-1, ::-1]), atol=1e-3)


def test_a_zoom_keeps_the_middle():
    field = np.zeros((121, 161, 2), np.float32)
    field[60, 80], field[60, 90] = (1, 0), (0, 1)
    larger = zoomed(field, 2.0)
    assert larger.shape == field.shape
    assert larger[60, 80].tolist() == [1, 0]
    assert larger[60, 100].tolist() == [0, 1]
