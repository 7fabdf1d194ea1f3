"""The statures of a scan's frames become one, with an interval."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pose.stature.combine import Calibration, Calibrations, combine_frames, robust_mean
from pose.stature.estimate import FrameStature

CALIBRATIONS = Calibrations(Calibration(3.0, 0.5), Calibration(4.0, 0.25))


def frame(stature: float, scale: float = 0.01, lying: bool = False) -> FrameStature:
    return FrameStature(stature, scale, np.zeros(3), lying)


def test_one_frame_has_the_interval_of_its_scale_and_posture():
    standing = combine_frames([frame(0.9)], CALIBRATIONS)
    lying = combine_frames([frame(0.9, lying=True)], CALIBRATIONS)
    assert (standing.value, standing.low, standing.high) == pytest.approx((0.9, 0.87, 0.93))
    assert (lying.value, lying.low, lying.high) == pytest.approx((0.9, 0.86, 0.94))


def test_more_frames_narrow_the_interval_down_to_what_they_share():
    half = [
        (each.high - each.low) / 2
        for each in (combine_frames([frame(0.9)] * count, CALIBRATIONS) for count in (1, 3, 9, 1000))
    ]
    assert half == sorted(half, reverse=True)
    assert half[-1] == pytest.approx(0.03 * np.sqrt(0.5), rel=0.01)


def test_frames_that_disagree_more_than_their_scales_say_widen_the_interval():
    agree = combine_frames([frame(0.9), frame(0.9)], CALIBRATIONS)
    disagree = combine_frames([frame(0.8), frame(1.0)], CALIBRATIONS)
    assert disagree.high - disagree.low > 3 * (agree.high - agree.low)
    assert disagree.low < 0.8
    assert disagree.high > 1.0


def test_the_lower_end_counts_from_the_head_that_was_measured():
    hidden = FrameStature(0.9, 0.01, np.zeros(3), False, unseen=0.02)
    found = combine_frames([hidden], CALIBRATIONS)
    assert (found.value, found.low, found.high) == pytest.approx((0.9, 0.85, 0.93))
    half = combine_frames([hidden, frame(0.9)], CALIBRATIONS)
    assert half.value - half.low == pytest.approx(half.high - half.value + 0.01)


def test_a_frame_with_a_large_scale_counts_little():
    found = combine_frames([frame(0.90), frame(1.00, scale=0.1)], CALIBRATIONS)
    assert found.value == pytest.approx(0.901, abs=0.001)


def test_an_outlier_moves_the_mean_little():
    value, weights = robust_mean(np.array([0.90, 0.905, 0.895, 0.90, 1.10]), np.full(5, 0.01))
    assert value == pytest.approx(0.90, abs=0.008)
    assert weights[-1] < 0.2 * weights[0]


def test_calibrations_are_read_as_they_were_written():
    assert Calibrations.parse(CALIBRATIONS.to_json()) == CALIBRATIONS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"standing": {"factor": 3}, "lying": {"factor": 3}}',
        json.dumps({"standing": {"factor": -1, "shared": 0.5}, "lying": {"factor": 3, "shared": 0.5}}),
        json.dumps({"standing": {"factor": 3, "shared": 2}, "lying": {"factor": 3, "shared": 0.5}}),
        json.dumps({"standing": {"factor": "3", "shared": 0.5}, "lying": {"factor": 3, "shared": 0.5}}),
    ],
)
def test_a_text_that_is_no_calibration_raises_an_error(text):
    with pytest.raises(ValueError, match="calibration"):
        Calibrations.parse(text)
