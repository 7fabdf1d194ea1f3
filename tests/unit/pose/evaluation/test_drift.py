"""The measured drift of an estimator that knows the truth, and of one with an offset."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from typer.testing import CliRunner

import pose
from pose.analysis.drift import LIMIT
from pose.evaluation import drift as evaluate_drift
from pose.evaluation import harness
from pose.evaluation.drift import MOVES, measure, report, shift_people, true_people
from pose.evaluation.harness import render_scan, torso_length
from pose.synthetic.render import render

SCANS = 4
cached_render = cache(render)


@pytest.fixture(autouse=True, scope="module")
def _render_each_scene_once():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(harness, "render", cached_render)
        yield


class Knowing(pose.Estimator):
    """Knows the held-out scans by their depth; returns the truth, moved by so many torso lengths."""

    name, version = "knowing", "1"

    def __init__(self, off=0.0):
        self.people = {}
        for number in range(SCANS):
            scan, renderings = render_scan(number // 2, ("standing", "lying")[number % 2])
            for frame, rendering in zip(scan.frames, renderings, strict=True):
                truth = true_people(frame, rendering)
                offset = np.array([off * torso_length(truth[0].keypoints), 0.0])
                self.people[frame.depthmap.depth.tobytes()] = shift_people(truth, offset)

    def detect(self, frames):
        return [pose.Detections(self.people[frame.depthmap.depth.tobytes()]) for frame in frames]


@pytest.fixture(scope="module")
def truth():
    return report(*measure(Knowing(), SCANS))


def test_an_estimator_that_knows_the_truth_never_alarms_and_each_move_is_as_far_as_it_says(truth):
    assert (truth["scans"], truth["alarms"], truth["limit"]) == (SCANS, 0, LIMIT)
    assert truth["judged"] > 0
    assert set(truth["distance_percentiles"].values()) == {0.0}
    noticed = truth["noticed_when_moved_by"]
    assert list(noticed) == list(MOVES)
    assert {noticed[move] for move in MOVES if move < LIMIT} == {0.0}
    assert {noticed[move] for move in MOVES if move > LIMIT} == {1.0}


def test_one_that_is_off_alarms():
    still, _ = measure(Knowing(off=LIMIT + 0.05), SCANS)
    assert report(still, {})["alarms"] == report(still, {})["judged"]


def test_nothing_measured_is_no_error():
    assert report([], {})["distance_percentiles"][99] is None


def test_the_command_prints_it_as_json(monkeypatch):
    monkeypatch.setattr(pose, "load_estimator", lambda *_: Knowing(), raising=False)
    app = evaluate_drift.typer.Typer()
    app.command()(evaluate_drift.main)
    done = CliRunner().invoke(app, ["--scans", str(SCANS)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["scans"] == SCANS
