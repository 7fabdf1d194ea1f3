"""Marked joints of real scans, here of a rendered one whose joints are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.evaluation.real import joint_errors, measure_real
from pose.geometry.orientation import turn_points, turns_for_step
from pose.synthetic.render import render
from pose.synthetic.scan_writer import write_scan

SEED = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as `--real` expects it: a child and an empty room."""
    out = tmp_path_factory.mktemp("real")
    write_scan(out / "child", SEED, "standing", 1, second_person=False)
    write_scan(out / "room", SEED, "empty", 1)
    (frame,) = pose.read_scan(out / "child").frames
    person = render(SEED, "standing", second_person=False).scene.people[0]
    marked = marks(frame, true_keypoints(frame))
    known = {"posture": "standing", "stature_m": person.measures.stature, "frames": [marked]}
    (out / "truth.json").write_text(json.dumps({"child": known}))
    return out


def true_keypoints(frame):
    rendering = render(SEED, "standing", second_person=False)
    return frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])


def marks(frame, points):
    upright = turn_points(points, turns_for_step(frame.step), *frame.picture_size)
    joints = dict(zip(kp.NAMES, upright.tolist(), strict=True))
    return {"joints": joints, "hidden": ["left_wrist"]}


def test_figures_of_each_scan_and_of_all(folder):
    found = measure_real(pose.load_estimator("depth-hrnet", device="cpu"), folder)
    child, room = found["scans"]["child"], found["scans"]["room"]
    assert child["people_in_each_frame"] == [1]
    assert room == {"people_in_each_frame": [0]}
    assert child["pck_0.2"] == found["pck_0.2"] > 0.8
    assert child["pck_0.1"] <= child["pck_0.2"]
    assert child["posture_right"]
    low, value, high = child["body_length_m"]
    assert low < value < high
    assert value == pytest.approx(child["body_length_usual_m"], rel=0.1)


def test_errors_are_in_torso_lengths_and_leave_out_hidden_joints(folder):
    (frame,) = pose.read_scan(folder / "child").frames
    points = true_keypoints(frame)
    torso = np.linalg.norm(points[[5, 6]].mean(axis=0) - points[[11, 12]].mean(axis=0))
    moved = points + np.array([0.15 * torso, 0.0])
    person = pose.Person(moved, np.ones(kp.COUNT), (0.0, 0.0, 10.0, 10.0), 0.9)
    errors = joint_errors(frame, [person], marks(frame, points))
    assert errors == pytest.approx(np.full(kp.COUNT - 1, 0.15), rel=1e-6)


def test_nobody_is_wrong_in_all_joints(folder):
    (frame,) = pose.read_scan(folder / "child").frames
    assert np.isinf(joint_errors(frame, [], marks(frame, true_keypoints(frame)))).all()


def test_without_truth_nothing_is_measured(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"truth\.json"):
        measure_real(pose.load_estimator("depth-hrnet", device="cpu"), tmp_path)
