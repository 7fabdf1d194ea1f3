"""Heads for the networks that try to undo a cover."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pose.evaluation.reidentification import PICTURE, SIZE, WAYS, Heads, _cropped, measure, sample_heads
from pose.privacy.redact import METHODS


@cache
def heads(first=0):
    return sample_heads(2, 3, first)


def test_each_child_is_met_as_often_as_was_asked_for():
    met = heads()
    assert met.shown.shape == (6, SIZE, SIZE, 3)
    assert met.mask.shape == (6, SIZE, SIZE)
    assert met.who.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_head_is_in_the_middle_and_most_of_what_is_shown():
    for mask in heads().mask:
        assert mask[SIZE // 2 - 8 : SIZE // 2 + 8, SIZE // 2 - 8 : SIZE // 2 + 8].all()
        assert 0.35 < mask.mean() < 0.9


def test_a_part_of_a_picture_is_seen_by_the_same_camera():
    left, top, side = 50, 20, 64
    fx, fy, cx, cy = (side * value for value in _cropped((0.8, 0.6, 0.5, 0.4), left, top, side))
    width, height = PICTURE
    assert (fx, fy) == pytest.approx((0.8 * width, 0.6 * height))
    # cy counts from the lower edge.
    assert (left + cx, height - top - side + cy) == pytest.approx((0.5 * width, 0.4 * height))


def test_lessons_and_questions_are_of_the_same_children_elsewhere():
    lessons, questions = heads(), heads(first=500)
    assert (lessons.who == questions.who).all()
    assert not any((one == other).all() for one in lessons.shown for other in questions.shown)


def test_the_same_arguments_give_the_same_heads():
    again = sample_heads(1, 1)
    assert (again.shown[0] == heads().shown[0]).all()


@pytest.mark.parametrize("how", WAYS)
def test_what_lies_around_a_head_is_black(how):
    met = heads()
    hidden = met.hidden(how)
    assert hidden.dtype == np.uint8
    assert (hidden[~met.mask] == 0).all()
    assert (hidden[met.mask] > 0).any()


def test_every_method_and_what_it_is_compared_with_is_measured():
    assert set(WAYS) == {"none", "Gaussian blur", "mean colours", *METHODS}


def test_a_gaussian_blur_is_as_wide_as_in_the_whole_picture():
    spot = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    spot[:, SIZE // 2, SIZE // 2] = 255
    wide = []
    for scale in (15.0, 30.0):
        one = Heads(spot, np.ones((1, SIZE, SIZE), np.bool_), np.zeros(1, np.int64), np.array([scale]))
        wide.append(int((one.hidden("Gaussian blur") > 0).sum()))
    assert wide[0] > wide[1]


def test_a_report_tells_of_every_way():
    report = measure(people=2, taught=2, asked=1, epochs=1)
    assert report["taught"] == 4
    assert report["asked"] == 2
    assert list(report["ways"]) == list(WAYS)
    for told in report["ways"].values():
        assert 0 <= told["named"] <= 1
        assert told["redrawn"] > 0
