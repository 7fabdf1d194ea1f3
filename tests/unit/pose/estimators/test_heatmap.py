"""Positions become heatmaps and are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pose.estimators.heatmap import cells_to_pixels, draw_gaussians, find_maxima, find_peaks, pixels_to_cells

SIZE = (48, 40)


def drawn(*centres, present=True, size=SIZE):
    """One heatmap (1, 1, H, W) with a person at each of these (column, row)."""
    places = torch.tensor(centres, dtype=torch.float32).reshape(1, -1, 1, 2)
    return draw_gaussians(places, torch.full(places.shape[:3], present), size)


@given(st.floats(-0.49, SIZE[1] - 0.51), st.floats(-0.49, SIZE[0] - 0.51))
def test_a_centre_anywhere_is_found_within_a_tenth_of_a_cell(column, row):
    positions, values = find_peaks(drawn((column, row)), 1)
    assert positions[0, 0, 0] == pytest.approx((column, row), abs=0.1)
    assert 0.8 < values[0, 0, 0] <= 1.0


def test_a_centre_between_two_cells_is_one_peak():
    for centre in ((10.5, 20.0), (10.0, 20.5), (10.5, 20.5)):
        positions, values = find_peaks(drawn(centre), 3)
        assert positions[0, 0, 0] == pytest.approx(centre, abs=0.1)
        assert values[0, 0, 1:].tolist() == [0, 0]


def test_the_peaks_of_two_people_are_given_highest_first():
    heat = torch.maximum(0.6 * drawn((10.2, 12.0)), drawn((25.0, 30.3)))
    positions, values = find_peaks(heat, 2)
    assert positions[0, 0] == pytest.approx(np.array([(25.0, 30.3), (10.2, 12.0)]), abs=0.1)
    assert values[0, 0] == pytest.approx([1.0, 0.6], abs=0.05)


def test_a_lower_peak_within_the_radius_is_no_peak():
    heat = torch.zeros(1, 1, *SIZE)
    heat[0, 0, 10, 10], heat[0, 0, 10, 12], heat[0, 0, 10, 15] = 0.9, 0.8, 0.7
    _, values = find_peaks(heat, 3, radius=2)
    assert values[0, 0] == pytest.approx([0.9, 0.7, 0.0])


def test_an_empty_heatmap_has_peaks_of_no_value_inside_it():
    positions, values = find_peaks(torch.zeros(2, 3, *SIZE), 2)
    assert positions.shape == (2, 3, 2, 2)
    assert values.shape == (2, 3, 2)
    assert (values == 0).all()
    assert ((positions >= 0) & (positions <= (SIZE[1] - 1, SIZE[0] - 1))).all()


def test_half_precision_is_found_as_well():
    positions, _ = find_peaks(drawn((10.3, 20.7)).half(), 1)
    assert positions[0, 0, 0] == pytest.approx((10.3, 20.7), abs=0.1)


def test_without_people_nothing_is_drawn():
    assert (drawn((10, 10), present=False) == 0).all()


def test_each_cell_shows_the_nearer_of_two_people():
    both = drawn((10, 10), (13, 10))
    assert torch.equal(both, torch.maximum(drawn((10, 10)), drawn((13, 10))))


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=5),
    st.sampled_from([1.0, 2.0, 4.0, 2.5]),
)
def test_cells_and_pixels_are_each_others_inverse(points, stride):
    points = np.array(points)
    assert pixels_to_cells(cells_to_pixels(points, stride), stride) == pytest.approx(points, abs=1e-9)
    assert cells_to_pixels(pixels_to_cells(points, stride), stride) == pytest.approx(points, abs=1e-9)


def test_a_cells_middle_lies_between_the_pixels_that_it_covers():
    assert cells_to_pixels(np.array([0.0, 1.0]), 4) == pytest.approx([1.5, 5.5])


# The maxima of HRNet's authors.


def reference_maximum(heat):
    """Of one heatmap (H, W), one step of the published method after the other."""
    h, w = heat.shape
    value = heat.max()
    row, column = next((r, c) for r in range(h) for c in range(w) if heat[r, c] == value)
    if value <= 0:
        return (0.0, 0.0), value
    x, y = float(column), float(row)
    if 1 < column < w - 1 and 1 < row < h - 1:
        right, left, below, above = (
            heat[row, column + 1], heat[row, column - 1], heat[row + 1, column], heat[row - 1, column]
        )  # fmt: skip
        x += 0.25 * np.sign(right - left)
        y += 0.25 * np.sign(below - above)
    return (x, y), value


@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3, 50]))
def test_maxima_are_those_of_the_published_method(seed, h, w, levels):
    # Few levels make ties, of the maxima and of their neighbours.
    random = np.random.default_rng(seed)
    heat = (random.integers(-levels, levels + 1, (2, 3, h, w)) / levels).astype(np.float32)
    cells, values = find_maxima(torch.from_numpy(heat))
    assert cells.shape == (2, 3, 2) and values.shape == (2, 3)
    assert cells.dtype == values.dtype == np.float64
    for n in range(2):
        for k in range(3):
            place, value = reference_maximum(heat[n, k])
            assert (tuple(cells[n, k]), values[n, k]) == (place, value)


def test_every_place_of_a_maximum_shifts_as_published():
    heat = np.random.default_rng(0).uniform(0, 0.5, (6 * 5, 1, 6, 5)).astype(np.float32)
    for i in range(30):
        heat[i, 0, i // 5, i % 5] = 1
    cells, _ = find_maxima(torch.from_numpy(heat))
    assert [tuple(cell[0]) for cell in cells] == [reference_maximum(one[0])[0] for one in heat]
    shifted = {(i % 5, i // 5) for i in range(30) if (cells[i, 0] % 1).any()}
    assert shifted == {(column, row) for column in (2, 3) for row in (2, 3, 4)}


def test_equal_neighbours_do_not_shift_a_maximum():
    heat = torch.zeros(1, 1, 7, 7)
    heat[0, 0, 3, 3] = 1
    heat[0, 0, 3, 4] = heat[0, 0, 3, 2] = 0.5
    cells, values = find_maxima(heat)
    assert cells[0, 0].tolist() == [3, 3]
    assert values.tolist() == [[1]]


@pytest.mark.parametrize("level", [0.0, -0.25])
def test_nothing_above_zero_is_found_at_the_first_cell(level):
    heat = torch.full((1, 1, 6, 6), level - 0.5)
    heat[0, 0, 3, 3] = level
    cells, values = find_maxima(heat)
    assert cells[0, 0].tolist() == [0, 0]
    assert values[0, 0] == level
