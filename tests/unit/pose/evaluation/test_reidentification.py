"""HeadCrops for the networks that try to undo a cover."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pose.evaluation.reidentification import REDACTIONS, SIZE, HeadCrops, measure, sample_head_crops
from pose.privacy.redact import METHODS


@cache
def heads(first=0):
    return sample_head_crops(2, 3, first)


def test_each_child_has_the_requested_number_of_heads():
    crops = heads()
    assert crops.images.shape == (6, SIZE, SIZE, 3)
    assert crops.masks.shape == (6, SIZE, SIZE)
    assert crops.identities.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_head_is_in_the_middle_and_most_of_what_is_shown():
    for mask in heads().masks:
        assert mask[SIZE // 2 - 8 : SIZE // 2 + 8, SIZE // 2 - 8 : SIZE // 2 + 8].all()
        assert 0.35 < mask.mean() < 0.9


def test_training_and_test_heads_show_the_same_children_in_other_scenes():
    train, test = heads(), heads(first=500)
    assert (train.identities == test.identities).all()
    assert not any((one == other).all() for one in train.images for other in test.images)


def test_the_same_arguments_give_the_same_heads():
    again = sample_head_crops(1, 1)
    assert (again.images[0] == heads().images[0]).all()


@pytest.mark.parametrize("method", REDACTIONS)
def test_the_surroundings_of_a_head_are_black(method):
    crops = heads()
    hidden = crops.redacted(method)
    assert hidden.dtype == np.uint8
    assert (hidden[~crops.masks] == 0).all()
    assert (hidden[crops.masks] > 0).any()


def test_every_method_and_the_ones_for_comparison_are_measured():
    assert set(REDACTIONS) == {"none", "Gaussian blur", "mean colours", *METHODS}


def test_a_gaussian_blur_is_as_wide_as_in_the_whole_picture():
    spot = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    spot[:, SIZE // 2, SIZE // 2] = 255
    wide = []
    for scale in (15.0, 30.0):
        one = HeadCrops(spot, np.ones((1, SIZE, SIZE), np.bool_), np.zeros(1, np.int64), np.array([scale]))
        wide.append(int((one.redacted("Gaussian blur") > 0).sum()))
    assert wide[0] > wide[1]


def test_a_report_contains_every_redaction():
    report = measure(people=2, train_count=2, test_count=1, epochs=1)
    assert report["taught"] == 4
    assert report["asked"] == 2
    assert list(report["ways"]) == list(REDACTIONS)
    for told in report["ways"].values():
        assert 0 <= told["named"] <= 1
        assert told["redrawn"] > 0
