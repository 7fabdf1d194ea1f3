"""The measured stature of rendered and of real scans."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pose.evaluation import stature
from pose.evaluation.stature import Tally, evaluate, evaluate_real, holds
from pose.stature.combine import Calibration, Calibrations, StatureInterval
from pose.stature.estimate import FrameStature, load_stature_model
from tests.support.rendered import KnowingEstimator


def told(value, scale=0.01):
    return FrameStature(value, scale, np.zeros(3), False)


class Model:
    calibrations = Calibrations(Calibration(3.0, 0.5), Calibration(3.0, 0.5))
    version = "1"


def tally_of(*scans):
    tally = Tally()
    for frames, true in scans:
        tally.add(list(frames), true, Model())  # type: ignore[arg-type]
    return tally.report()


def test_errors_and_intervals_are_those_of_scans_and_of_frames():
    report = tally_of(([told(0.91)], 0.90), ([told(0.90), told(0.90)], 0.95), ([], 0.8))
    assert report["scans"] == 3
    assert report["scans_told"] == pytest.approx(2 / 3, abs=1e-3)
    assert report["error_cm_median"] == pytest.approx(3.0)
    assert report["interval_holds"] == 0.5
    assert report["frame_interval_holds"] == pytest.approx(1 / 3, abs=1e-3)


def test_the_ends_of_an_interval_are_in_it():
    assert holds(StatureInterval(0.9, 0.8, 1.0), 0.8)
    assert not holds(StatureInterval(0.9, 0.8, 1.0), 1.01)


def test_scans_in_which_nobody_is_found_are_counted(monkeypatch):
    monkeypatch.setattr(stature, "FRAMES", 1)
    report = evaluate(KnowingEstimator({}), load_stature_model(), 2)
    for posture in ("standing", "lying"):
        assert report[posture]["scans"] == 1
        assert report[posture]["scans_told"] == 0
        assert report[posture]["error_cm_median"] is None


def test_real_scans_without_a_recorded_stature_are_left_out(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps({"toys": {"frames": []}}))
    report = evaluate_real(tmp_path, KnowingEstimator({}), load_stature_model())
    assert report["scans"] == {}
    assert report["error_cm_median"] is None
