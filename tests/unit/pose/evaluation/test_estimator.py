"""The evaluation of an estimator, run on estimators whose results are known."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pose
from pose import Person
from pose.evaluation import estimator as evaluate
from pose.evaluation import harness
from pose.evaluation.estimator import Tally, empty_rooms, report, tally_scan
from pose.evaluation.harness import render_scan, to_frame, torso_length
from pose.synthetic.render import FIRST_TRAINING_SEED, render

cached_render = cache(render)


@pytest.fixture(autouse=True)
def _render_each_scene_once(monkeypatch):
    monkeypatch.setattr(harness, "render", cached_render)
    monkeypatch.setattr(evaluate, "render", cached_render)


class Fake(pose.Estimator):
    """Recognises held-out renderings by their depth, and returns `people(frame, rendering)`."""

    name = "fake"
    version = "1"
    min_score = 0.35

    def __init__(self, people, seeds=range(3), postures=("standing", "lying")):
        self.people = people
        self.known: dict[bytes, Any] = {}
        for posture in postures:
            for seed in seeds:
                scan, renderings = render_scan(seed, posture)
                for frame, rendering in zip(scan.frames, renderings, strict=True):
                    self.known[frame.depthmap.depth.tobytes()] = rendering

    def detect(self, frames):
        return [pose.Detections(self._people(frame)) for frame in frames]

    def _people(self, frame):
        key = frame.depthmap.depth.tobytes()
        return self.people(frame, self.known[key]) if key in self.known else []


def child(frame, rendering, *, moved=0.0):
    """The true child, with all keypoints moved by so many torso lengths."""
    uv = frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])
    uv[:, 0] += moved * torso_length(uv)
    return Person(uv, np.full(17, 0.95), (0.0, 0.0, 10.0, 10.0), 0.95)


def knowing(frame, rendering):
    return [child(frame, rendering)]


def blind(frame, rendering):
    return []


def tallied(people, posture="standing", seeds=range(3)):
    tally, estimator = Tally(), Fake(people, seeds, (posture,))
    for seed in seeds:
        tally_scan(tally, estimator, seed, posture, careful=True)
    return report(tally)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_an_estimator_that_knows_everything_scores_1(posture):
    found = tallied(knowing, posture)
    assert found["scans"] == 3
    assert found["pck_0.2"] == 1.0
    assert set(found["pck_by_group"].values()) == {1.0}
    assert found["posture_right"] == 1.0
    assert found["child_found"] == 1.0
    assert found["people_too_many_per_frame"] == 0
    assert found["joint_error_cm_median"] < 4
    assert found["score_p05"] == 0.95


def test_an_estimator_that_finds_nobody_scores_0():
    found = tallied(blind)
    assert found["pck_0.2"] == 0
    assert found["child_found"] == 0
    assert found["posture_right"] == 0
    assert found["scans_without_used_frame"] == 3
    assert found["body_length_error_cm_median"] is None
    assert found["score_p05"] is None


def test_keypoints_count_within_a_fifth_of_the_torso():
    assert tallied(lambda *seen: [child(*seen, moved=0.19)])["pck_0.2"] == 1.0
    assert tallied(lambda *seen: [child(*seen, moved=0.21)])["pck_0.2"] == 0.0


def test_the_person_who_fits_best_is_taken_and_others_are_counted():
    found = tallied(lambda *seen: [child(*seen, moved=3), child(*seen)])
    assert found["pck_0.2"] == 1.0
    expected = np.mean([len(r.scene.people) == 1 for s in range(3) for r in render_scan(s, "standing")[1]])
    assert found["people_too_many_per_frame"] == pytest.approx(expected, abs=1e-4)


def test_rooms_count_in_which_nobody_is_found():
    estimator = Fake(blind, ())
    assert empty_rooms(estimator, 3, careful=True) == {"rooms": 3, "nobody_found": 1.0}
    room = to_frame(render(1, "empty"), 0)
    estimator.people = lambda frame, rendering: [Person(np.zeros((17, 2)), np.ones(17), (0, 0, 1, 1), 1.0)]
    estimator.known = {room.depthmap.depth.tobytes(): None}
    assert empty_rooms(estimator, 3, careful=True) == {"rooms": 3, "nobody_found": round(2 / 3, 4)}


def test_a_whole_evaluation_is_a_record_that_json_can_hold():
    found = evaluate.evaluate(Fake(knowing, range(1)), 2, 1)
    assert found["pck_0.2"] == 1.0
    assert found["posture_right"] == 1.0
    assert found["empty"] == {"rooms": 1, "nobody_found": 1.0}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_was_not_measured_is_not_a_number_made_up():
    found = evaluate.evaluate(Fake(knowing, ()), 0, 0)
    assert found["standing"]["pck_0.2"] is None
    assert found["posture_right"] is None
    assert found["empty"] == {"rooms": 0, "nobody_found": None}
    json.dumps(found, allow_nan=False)


def test_only_held_out_seeds_are_measured_on(monkeypatch):
    seeds = []

    def watched(seed, *arguments, **options):
        seeds.append(seed)
        return cached_render(seed, *arguments, **options)

    for module in (harness, evaluate):
        monkeypatch.setattr(module, "render", watched)
    evaluate.evaluate(Fake(blind, ()), 4, 2)
    assert set(seeds) == {0, 1}
    app = evaluate.typer.Typer()
    app.command()(evaluate.main)
    for option in ("--scans", "--rooms"):
        refused = CliRunner().invoke(app, [option, str(2 * FIRST_TRAINING_SEED + 1)])
        assert refused.exit_code == 2


def test_the_command_prints_nothing_but_json(monkeypatch, capsys):
    monkeypatch.setattr(harness, "DepthHRNet", lambda weights, device: Fake(blind, ()))
    evaluate.main(scans=0, rooms=1, careless=True, weights=None, plush=None, device="cpu")
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "fake"
    assert found["careful"] is False


def test_a_scan_is_as_any_other():
    scan, renderings = render_scan(1, "lying")
    assert isinstance(scan, pose.Scan)
    assert scan.declared == "lying"
    assert [frame.order for frame in scan.frames] == [0, 1, 2]
    assert len(renderings) == 3
