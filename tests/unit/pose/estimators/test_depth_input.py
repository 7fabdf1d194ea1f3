"""A depth map becomes the network's input, and points find their way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.estimators.depth_input import (
    INPUT_SIZE,
    depth_of,
    input_to_picture,
    network_input,
    picture_to_input,
)
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap

SIZES = [(240, 180), (180, 135), (640, 480), (31, 77)]
DOWN = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])  # a phone on its side that looks a little down


def depthmap(depth, size=(240, 180)):
    width, height = size
    camera = Intrinsics(0.68 * width, 0.9 * height, 0.496 * width, 0.504 * height, width, height)
    values = np.broadcast_to(np.asarray(depth, np.float32), (height, width)).copy()
    return DepthMap(values, None, camera, DOWN, np.array([0.3, 1.1, -0.2]), pose_known=True)


@given(
    st.sampled_from(SIZES),
    st.integers(-4, 7) | st.floats(0, 4),
    st.lists(st.tuples(st.floats(-10, 700), st.floats(-10, 500)), min_size=1, max_size=5),
)
def test_points_map_to_the_input_and_back(size, turns, points):
    points = np.array(points)
    there = picture_to_input(points, turns, *size)
    assert input_to_picture(there, turns, *size) == pytest.approx(points, abs=1e-9)
    assert picture_to_input(input_to_picture(points, turns, *size), turns, *size) == pytest.approx(points)


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_the_pictures_corners_are_the_inputs_corners(size, turns):
    width, height = size
    corners = np.array([(x, y) for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
    rows, columns = INPUT_SIZE
    there = {tuple(point) for point in picture_to_input(corners, turns, width, height).round(9).tolist()}
    assert there == {(x, y) for x in (-0.5, columns - 0.5) for y in (-0.5, rows - 0.5)}


@pytest.mark.parametrize("turns", [0, 2])
def test_after_a_half_turn_the_whole_map_is_seen_as_wide_as_the_input(turns):
    corners = np.array([(x, y) for x in (-0.5, 239.5) for y in (-0.5, 179.5)])
    columns, rows = picture_to_input(corners, turns, 240, 180).T
    assert {*columns.round(6)} == {-0.5, 191.5}
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(3 / 4 * (224 / 192) / (4 / 3))
    image = network_input(depthmap(1.5), turns, None)
    assert image[1].mean() == pytest.approx(np.ptp(rows) / INPUT_SIZE[0], abs=0.01)


@pytest.mark.parametrize("turns", [0.0, 0.5, 1.3, 2.0, 3.7])
def test_up_in_the_picture_is_up_in_the_input_after_any_turn(turns):
    angle = np.pi / 2 * turns  # anticlockwise from the upright picture to the sensor's
    up = np.array([-np.sin(angle), -np.cos(angle)])
    below, above = picture_to_input(np.array([(120.0, 90.0), (120.0, 90.0) + 30 * up]), turns, 240, 180)
    assert above[0] == pytest.approx(below[0])
    assert above[1] < below[1] - 15


@pytest.mark.parametrize("turns", [0, 0.5, 1, 1.3, 2, 3, 3.8])
@pytest.mark.parametrize("size", SIZES[:3])
def test_the_input_shows_an_object_where_its_points_map_to(size, turns):
    width, height = size
    u, v = round(0.3 * width), round(0.6 * height)
    depth = np.full((height, width), 2.0)
    around = round(0.04 * width)
    depth[v - around : v + around + 1, u - around : u + around + 1] = 1.0
    near = depth_of(network_input(depthmap(depth, size), turns, None)) < 1.5
    rows, columns = np.nonzero(near)
    expected = picture_to_input(np.array([u, v], float), turns, width, height)
    assert (columns.mean(), rows.mean()) == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("size", SIZES[:3])
def test_the_input_has_one_size_and_shows_where_depth_is(size):
    image = network_input(depthmap(1.5, size), 1, 0.0)
    assert image.shape == (3, *INPUT_SIZE)
    assert image.dtype == np.float32
    assert depth_of(image) == pytest.approx(np.full(INPUT_SIZE, 1.5), abs=1e-5)
    assert (image[1] == 1).all()


@pytest.mark.parametrize("size", SIZES[:3])
def test_holes_do_not_pull_their_neighbours_to_the_phone(size):
    width, height = size
    holes = np.random.default_rng(0).random((height, width)) < 0.4
    seen = depth_of(network_input(depthmap(np.where(holes, 0, 1.5), size), 3, None))
    assert np.isnan(seen).any()
    assert seen[~np.isnan(seen)] == pytest.approx(1.5, abs=1e-4)


def test_where_nothing_is_measured_all_channels_are_zero():
    assert not network_input(depthmap(0.0), 1, 0.0).any()
    depth = np.full((180, 240), 1.5)
    depth[60:120, 80:160] = 0
    image = network_input(depthmap(depth), 1, 0.0)
    assert not image[:, 80:110, 70:120].any()
    assert np.isnan(depth_of(image)[80:110, 70:120]).all()


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("size", SIZES[:3])
def test_the_third_channel_is_the_height_above_the_floor(size, turns):
    width, height = size
    tilted = 1.2 + 0.3 * np.linspace(0, 1, width) - 0.2 * np.linspace(0, 1, height)[:, None]
    scan = depthmap(tilted, size)
    image = network_input(scan, turns, floor=0.4)
    heights = (scan.points()[..., 1] - 0.4).clip(-0.5, 2.0)  # the network is shown no more
    rows, columns = np.mgrid[5 : INPUT_SIZE[0] - 5 : 7, 5 : INPUT_SIZE[1] - 5 : 7]
    there = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(float)
    u, v = input_to_picture(there, turns, width, height).T
    # The nearest pixel is at most half a pixel away; a pixel spans less than 2 cm here.
    expected = heights[np.rint(v).astype(int), np.rint(u).astype(int)]
    assert image[2, rows.ravel(), columns.ravel()] / 2 == pytest.approx(expected, abs=0.02)


def test_without_a_floor_the_third_channel_is_zero():
    image = network_input(depthmap(1.5), 1, None)
    assert image[:2].any()
    assert not image[2].any()


def test_depths_and_heights_outside_those_of_a_scan_are_clipped():
    image = network_input(depthmap(60.0), 1, -30.0)
    assert np.nanmax(depth_of(image)) == pytest.approx(3.6)
    assert image[2].max() == 4.0
