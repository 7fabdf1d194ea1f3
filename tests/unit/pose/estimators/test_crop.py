"""Crops are those of the published method, computed here in another way: by its formulas, in float64."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.estimators.crop import box_to_center_scale, crop, crop_inverse, crop_matrix, transform_points

SIZES = [(288, 384), (192, 256)]

sides = st.floats(0.5, 4000)
boxes = st.tuples(st.floats(-500, 4000), st.floats(-500, 4000), sides, sides).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def reference_scale(box):
    """Centre, and the grown box's width and height in pixels, as the paper's section 4.1 tells."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    width, height = max(width, height * 3 / 4), max(height, width * 4 / 3)
    return ((x0 + x1) / 2, (y0 + y1) / 2), (1.25 * width, 1.25 * height)


def reference_matrix(box, size):
    """From three pairs of points: the grown box's centre, the middle of its top, and its top left corner."""
    (cx, cy), (width, height) = reference_scale(box)
    here = np.array([(cx, cy), (cx, cy - height / 2), (cx - width / 2, cy - height / 2)])
    there = np.array([(size[0] / 2, size[1] / 2), (size[0] / 2, 0), (0, 0)])
    return np.linalg.solve(np.c_[here, np.ones(3)], there).T  # (2, 3)


@given(boxes)
def test_a_box_is_enlarged_to_three_by_four_and_then_by_a_quarter(box):
    centre, scale = box_to_center_scale(box)
    expected_centre, expected_size = reference_scale(box)
    assert centre == pytest.approx(np.array(expected_centre), rel=1e-6, abs=1e-4)
    assert scale * 200 == pytest.approx(np.array(expected_size), rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("size", SIZES)
@given(box=boxes)
def test_the_matrix_is_that_of_three_points(size, box):
    centre, scale = box_to_center_scale(box)
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), ((x0 + x1) / 2, (y0 + y1) / 2)])
    ours = transform_points(corners, crop_matrix(centre, scale, size))
    theirs = transform_points(corners, reference_matrix(box, size))
    # In pixels of the picture, since those of the input may be thousands of times smaller. float32 holds
    # positions up to 8192 pixels to a two thousandth.
    per_pixel = size[0] / reference_scale(box)[1][0]
    assert np.abs(ours - theirs).max() / per_pixel < 2e-3


@pytest.mark.parametrize("size", SIZES)
def test_both_ways_agree_with_the_formulas_to_a_ten_thousandth_of_a_pixel(size):
    random = np.random.default_rng(0)
    for _ in range(200):
        low = random.uniform(0, 200, 2)
        box = (*low, *(low + random.uniform(100, 300, 2)))
        centre, scale = box_to_center_scale(box)
        for w, h in (size, (size[0] // 4, size[1] // 4)):
            reference = reference_matrix(box, (w, h))
            points = random.uniform(low, low + 100, (9, 2))
            ours = transform_points(points, crop_matrix(centre, scale, (w, h)))
            assert ours == pytest.approx(transform_points(points, reference), abs=1e-4)
            cells = random.uniform(0, (w - 1, h - 1), (9, 2))
            back = np.linalg.inv(np.r_[reference, [(0, 0, 1)]])[:2]
            ours = transform_points(cells, crop_inverse(centre, scale, (w, h)))
            assert ours == pytest.approx(transform_points(cells, back), abs=1e-4)


@pytest.mark.parametrize("size", SIZES)
@given(box=boxes)
def test_the_inverse_undoes_the_matrix(size, box):
    centre, scale = box_to_center_scale(box)
    points = np.array([(box[0], box[1]), (box[2], box[3])])
    there = transform_points(points, crop_matrix(centre, scale, size))
    back = transform_points(there, crop_inverse(centre, scale, size))
    assert back == pytest.approx(points, rel=1e-6, abs=2e-3)


def test_the_matrix_is_the_one_of_float32_points_to_the_last_bit():
    # The authors round the three points to float32 before they solve for the matrix.
    box = (101.37, 20.11, 333.33, 777.77)
    cx, cy = np.float32(101.37 + (333.33 - 101.37) * 0.5), np.float32(20.11 + (777.77 - 20.11) * 0.5)
    width = np.float32(np.float32(np.float32((777.77 - 20.11) * 0.75 / 200) * np.float32(1.25)) * 200)
    top = np.float32(np.float64(cy) - np.float64(width) / 2)
    left = np.float32(cx - np.float32(cy - top))
    here = np.array([(cx, cy), (cx, top), (left, top)], np.float32)
    there = np.array([(144, 192), (144, 48), (0, 48)], np.float32)
    expected = cv2.getAffineTransform(here, there)
    assert (crop_matrix(*box_to_center_scale(box), (288, 384)) == expected).all()


def test_the_centre_of_the_box_is_at_half_the_input_size():
    centre, scale = box_to_center_scale((10, 20, 40, 60))
    assert transform_points((25, 40), crop_matrix(centre, scale, (192, 256))) == pytest.approx([96, 128])


def test_a_heatmap_cell_is_at_every_fourth_pixel_of_the_input():
    centre, scale = box_to_center_scale((10, 20, 340, 460))
    cells = np.array([(0.0, 0.0), (10.25, 30.75), (47, 63)])
    of_cells = transform_points(cells, crop_inverse(centre, scale, (48, 64)))
    of_pixels = transform_points(4 * cells, crop_inverse(centre, scale, (192, 256)))
    assert of_cells == pytest.approx(of_pixels, abs=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_bilinear_in_the_picture_and_black_beyond_it(size):
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (300, 240, 3), np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    box = (-30.5, 100.25, 120.0, 330.75)
    width, height = size
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    grid = np.stack([u, v], axis=-1).astype(np.float64)
    back = np.linalg.inv(np.r_[reference_matrix(box, size), [(0, 0, 1)]])[:2]
    x, y = np.moveaxis(transform_points(grid, back), -1, 0)
    padded = np.pad(picture.astype(np.float64), ((200, 200), (200, 200), (0, 0)))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = (x - left)[..., None], (y - top)[..., None]
    corner = {(i, j): padded[top + 200 + i, left + 200 + j] for i in (0, 1) for j in (0, 1)}
    expected = (1 - b) * ((1 - a) * corner[0, 0] + a * corner[0, 1])
    expected += b * ((1 - a) * corner[1, 0] + a * corner[1, 1])
    ours = crop(picture, box, size)
    assert ours.shape == (height, width, 3) and ours.dtype == np.uint8
    # OpenCV counts in 32nds of a pixel, which shows where the picture ends: from full to black in one.
    away = np.abs(ours - expected)
    assert np.median(away) <= 0.5
    assert away.max() < 8
    assert (ours[:, 0] == 0).all()


def test_a_turned_view_of_a_picture_is_cropped_like_its_copy():
    picture = np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
    turned = np.rot90(picture)
    box = (5, 5, 50, 70)
    assert (crop(turned, box, (192, 256)) == crop(turned.copy(), box, (192, 256))).all()


def test_a_box_without_height_or_width_takes_it_from_the_other():
    assert box_to_center_scale((10, 5, 10, 45))[1] * 200 == pytest.approx([37.5, 50])
    assert box_to_center_scale((10, 5, 40, 5))[1] * 200 == pytest.approx([37.5, 50])


@pytest.mark.parametrize(
    "box",
    [
        (1, 2, 3),
        (0, 0, np.nan, 5),
        (0, 0, np.inf, 5),
        (5, 5, 5, 5),
        (5, 0, 4, 9),
        (0, 9, 5, 8),
        [[0, 0, 5, 5]],
    ],
)
def test_an_invalid_box_is_refused(box):
    with pytest.raises(ValueError, match="box"):
        box_to_center_scale(box)
