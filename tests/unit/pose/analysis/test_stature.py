"""The stature in the results of frames and scans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pose
from pose.analysis.frame import Options
from pose.analysis.stature import stature_estimate
from pose.lifting.posture import Posture
from pose.stature.estimate import FrameStature
from tests.support.rendered import KnowingEstimator, two_people, whole_child


def analysed(truth, **options):
    """The result of a scan of one frame."""
    scan = pose.Scan(truth.frame.step, (truth.frame,), (), digest="0" * 64)
    return pose.analyse_scan(scan, KnowingEstimator({0: truth.people}), options=Options(**options)).result


def told(value, lying=False, scale=0.005):
    return FrameStature(value, scale, np.zeros(3), lying)


def test_the_stature_of_a_child_is_in_the_results_of_its_frame_and_scan():
    truth = whole_child()
    result = analysed(truth)
    person = result.frames[0].people[0]
    true = truth.true_people[0].measures.stature
    assert result.stature_m == result.stature_estimate_m.value
    assert result.stature_m == pytest.approx(true, abs=0.05)
    assert person.stature_m == result.stature_m
    assert person.stature_estimate_m == result.stature_estimate_m


def test_a_child_who_lies_has_a_stature_too():
    truth = whole_child("lying")
    assert analysed(truth).stature_m == pytest.approx(truth.true_people[0].measures.stature, abs=0.12)


def test_the_method_of_lifting_does_not_change_the_stature():
    assert analysed(whole_child(), lifting="surface").stature_m == analysed(whole_child()).stature_m


def test_several_people_have_no_stature():
    assert analysed(two_people()).stature_m is None


def test_frames_of_another_posture_do_not_count():
    found: Any = stature_estimate([told(0.9), told(0.7, lying=True), None], Posture.STANDING)
    assert found.value == pytest.approx(0.9)
    assert found.low < 0.9 < found.high


@pytest.mark.parametrize("posture", [Posture.LYING, Posture.UNKNOWN])
def test_without_a_frame_of_its_posture_a_scan_has_no_stature(posture):
    assert stature_estimate([told(0.9)], posture) is None
    assert stature_estimate([None], Posture.STANDING) is None
