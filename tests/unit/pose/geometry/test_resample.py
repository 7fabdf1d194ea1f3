"""Sampling keeps what lies on a pixel, and mixes its neighbours in between."""

from __future__ import annotations

import numpy as np
import pytest

from pose.geometry.resample import Sampler

PICTURE = np.arange(12, dtype=np.float32).reshape(3, 4)  # value 4 v + u


def test_at_its_own_pixels_a_picture_stays_the_same():
    sampler = Sampler(np.arange(4.0), np.arange(3.0), PICTURE.shape)
    assert (sampler.mean(PICTURE) == PICTURE).all()
    assert (sampler.each(PICTURE, np.minimum) == PICTURE).all()


def test_between_pixels_the_four_neighbours_are_weighted_by_distance():
    sampler = Sampler(np.array([1.25]), np.array([0.5]), PICTURE.shape)
    assert sampler.mean(PICTURE) == pytest.approx(np.array([[4 * 0.5 + 1.25]]))
    assert sampler.each(PICTURE, np.minimum).tolist() == [[1]]
    assert sampler.each(PICTURE, np.maximum).tolist() == [[6]]


def test_outside_the_border_is_repeated():
    sampler = Sampler(np.array([-1.0, 9.0]), np.array([-0.5, 2.5]), PICTURE.shape)
    assert sampler.mean(PICTURE).tolist() == [[0, 3], [8, 11]]


def test_a_position_that_rounds_to_a_pixel_has_no_neighbours():
    sampler = Sampler(np.array([1 + 1e-12]), np.array([2 - 1e-12]), PICTURE.shape)
    assert sampler.each(PICTURE, np.maximum).tolist() == [[9]]
