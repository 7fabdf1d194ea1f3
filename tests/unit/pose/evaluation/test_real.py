"""The evaluation on scans whose truth was recorded by hand, here rendered ones."""

import json

import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.evaluation.real import evaluate_real
from pose.geometry.orientation import turn_points
from pose.synthetic.scan_writer import write_scan
from tests.support.rendered import KnowingEstimator, person

STATURE = 0.95


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a scan of two frames, a scan of an empty room, and their truth.json."""
    folder = tmp_path_factory.mktemp("real")
    for name in ("child", "toys"):
        write_scan(folder / name, 900_003, "standing", frames=2)
    scan = pose.read_scan(folder / "child")
    frames = []
    for frame in scan.frames:
        upright = turn_points(marks(frame), 1, *frame.picture_size)
        joints = dict(zip(kp.NAMES, upright.tolist(), strict=True))
        del joints["nose"]
        frames.append({"joints": joints, "hidden": ["left_ear"]})
    truth = {"child": {"posture": "standing", "stature_m": STATURE, "step": 100, "frames": frames}}
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder


def marks(frame):
    """A figure of joints in pixels of a picture that arrives turned."""
    width, height = frame.picture_size
    rows = np.linspace(0.2, 0.8, 17) * width
    columns = np.where(np.arange(17) % 2, 0.45, 0.55) * height
    return np.column_stack((rows, columns))


class Marking(KnowingEstimator):
    """Finds the marked figure, moved by so many pixels, in the first scan only."""

    def __init__(self, moved):
        super().__init__({})
        self.moved, self.calls = moved, 0

    def detect(self, frames):
        self.calls += 1
        if self.calls > 1:
            return [pose.Detections([]) for _ in frames]
        at = [marks(frame) + np.array([0.0, self.moved]) for frame in frames]
        return [pose.Detections([person(each, np.full(17, 0.9))]) for each in at]


def test_joints_in_their_places_are_found_and_hidden_or_unmarked_ones_do_not_count(folder):
    found = evaluate_real(Marking(0.0), folder)
    assert (found["pck_0.2"], found["pck_0.1"], found["marked_joints"]) == (1.0, 1.0, 30)
    child = found["scans"]["child"]
    assert child["usual_length_m"] == pytest.approx(0.835 * STATURE, abs=1e-3)
    assert child["people"] == [1, 1]
    assert child["verdict"] in ("good", "usable", "repeat")
    assert found["scans"]["toys"] == {"people": [0, 0]}


def test_joints_that_are_off_do_not_count_as_near(folder):
    frame = pose.read_scan(folder / "child").frames[0]
    points = marks(frame)
    torso = float(np.linalg.norm(points[[5, 6]].mean(0) - points[[11, 12]].mean(0)))
    found = evaluate_real(Marking(0.15 * torso), folder)
    assert (found["pck_0.2"], found["pck_0.1"]) == (1.0, 0.0)


def test_without_truth_there_is_an_error(tmp_path):
    with pytest.raises(OSError):
        evaluate_real(Marking(0.0), tmp_path)
    (tmp_path / "truth.json").write_text('{"a": {"posture": "sitting", "frames": []}}')
    with pytest.raises(ValueError):
        evaluate_real(Marking(0.0), tmp_path)
