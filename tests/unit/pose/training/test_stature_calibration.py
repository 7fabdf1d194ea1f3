"""Intervals are as wide as they must be on scans that were not learned."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from pose.stature.combine import Calibrations, combine_frames
from pose.stature.estimate import FrameStature
from pose.stature.network import StatureNetwork
from pose.training import stature_calibration
from pose.training.stature_calibration import calibrate, fit_calibration


def invented(scans, shared, frames=9, seed=0):
    """Scans of one child each, whose frames have a part of their error in common."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(scans):
        scale = rng.uniform(0.005, 0.02)
        common = rng.normal(0, np.sqrt(shared))
        errors = scale * 1.4 * (common + rng.normal(0, np.sqrt(1 - shared), frames))
        found.append((0.9, [FrameStature(0.9 + error, scale, np.zeros(3), False) for error in errors]))
    return found


@pytest.mark.parametrize("shared", [0.2, 0.7])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_intervals_hold_95_percent_of_other_scans_of_any_number_of_frames(shared, count):
    calibration = fit_calibration(invented(600, shared))
    held = 0
    others = invented(600, shared, frames=count, seed=1)
    for stature, frames in others:
        found = combine_frames(frames, Calibrations(calibration, calibration))
        held += found.low <= stature <= found.high
    assert 0.90 < held / len(others) < 0.985


def test_the_share_that_frames_have_in_common_is_found():
    assert fit_calibration(invented(600, 0.2)).shared < fit_calibration(invented(600, 0.8)).shared


def test_rendered_scans_give_a_calibration_of_each_posture(monkeypatch):
    monkeypatch.setattr(stature_calibration, "FRAMES", 2)
    text = io.StringIO()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = StatureNetwork()
    found = calibrate(network, 4, Console(file=text))
    assert found.standing.factor > 0
    assert found.lying.factor > 0
    assert Calibrations.parse(found.to_json()) == found
