"""OBJ, CSV and a scan's folder of results."""

import csv
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

import pose
from pose import Skeleton
from pose import keypoints as kp
from pose.analysis.export import CSV_COLUMNS, FailedScan, artefact_name, save, skeleton_obj, write_csv
from pose.scan.frame import Scan
from tests.support.rendered import KnowingEstimator, two_people, with_face


@pytest.fixture
def skeleton():
    observed = np.ones(17, bool)
    observed[kp.LEFT_WRIST] = False
    return Skeleton(np.arange(51.0).reshape(17, 3), np.full(17, 0.5), np.full(17, 1.25), observed)


def analysis(truth, scan_id="scan-1"):
    scan = Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    return pose.analyse_scan(scan, KnowingEstimator({0: truth.people}), scan_id=scan_id)


def test_an_obj_has_all_joints_and_the_bones_between_observed_ones(skeleton):
    lines = skeleton_obj(skeleton).splitlines()
    vertices = [line for line in lines if line.startswith("v ")]
    bones = [tuple(map(int, line.split()[1:])) for line in lines if line.startswith("l ")]
    assert vertices[1] == "v 3.000000 4.000000 5.000000  # 0.5000 1.25"
    assert len(vertices) == 17
    assert len(bones) == len(kp.LIMBS) - 1
    assert (kp.LEFT_ELBOW + 1, kp.LEFT_WRIST + 1) not in bones
    assert (kp.LEFT_HIP + 1, kp.LEFT_KNEE + 1) in bones


def test_an_obj_without_any_observed_joint_raises_an_error(skeleton):
    unknown = Skeleton(skeleton.joints * np.nan, skeleton.scores, skeleton.distance_px, np.zeros(17, bool))
    with pytest.raises(ValueError, match="observed"):
        skeleton_obj(unknown)


def test_artefacts_have_fixed_names():
    assert artefact_name(3, "blurred.jpg") == "frames/3/blurred.jpg"
    with pytest.raises(ValueError, match="artefact"):
        artefact_name(3, "../original.jpg")


def test_a_csv_has_one_row_per_person_and_frame():
    results = [analysis(with_face(), "one").result, analysis(two_people(), "two").result]
    file = io.StringIO(newline="")
    write_csv(file, results)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [(row["scan_id"], row["person"]) for row in rows] == [("one", "0"), ("two", "0"), ("two", "1")]
    someone = results[0].frames[0].people[0]
    assert someone.skeleton is not None
    assert float(rows[0]["left_hip_y"]) == someone.skeleton[kp.LEFT_HIP].y
    assert float(rows[0]["nose_u"]) == someone.keypoints[kp.NOSE].u
    assert float(rows[0]["time_ms"]) > 0
    assert rows[1]["left_hip_y"] == ""
    estimate = results[0].body_length_estimate_m
    assert estimate is not None and someone.body_length_estimate_m is not None
    assert float(rows[0]["scan_body_length_low_m"]) == estimate.low
    assert float(rows[0]["body_length_high_m"]) == someone.body_length_estimate_m.high
    assert float(rows[0]["weight"]) == results[0].frames[0].weight > 0
    assert rows[0]["depth_picture"] == "one/frames/0/depth.png"
    told = ("verdict", "verdict_reasons", "frames_used", "body_length_low_m")
    assert [rows[1][name] for name in told] == ["repeat", "several_persons", "0", ""]


def test_a_frame_without_people_has_a_row_too():
    truth = with_face()
    scan = Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    file = io.StringIO(newline="")
    write_csv(file, [pose.analyse_scan(scan, KnowingEstimator({}), scan_id="s").result])
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert (row["status"], row["person"], row["nose_u"]) == ("no_person", "", "")


def test_a_saved_scan_has_the_result_and_all_artefacts(tmp_path):
    made = analysis(with_face())
    save(tmp_path / "scan-1", made.result, made.artefacts)
    written = json.loads((tmp_path / "scan-1/result.json").read_text())
    assert written == json.loads(made.result.model_dump_json())
    assert (tmp_path / written["frames"][0]["picture"]).is_file()
    files = {
        path.relative_to(tmp_path / "scan-1").as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert files == {"result.json", *made.artefacts}


def test_saving_deletes_an_earlier_picture_that_is_withheld_now(tmp_path):
    truth = with_face()
    made = analysis(truth)
    save(tmp_path, made.result, made.artefacts)
    scan = Scan(truth.frame.step, (truth.frame,), (), "0" * 64)
    again = pose.analyse_scan(scan, KnowingEstimator({}), scan_id="scan-1")
    save(tmp_path, again.result, again.artefacts)
    assert not list(tmp_path.rglob("*.jpg"))


def test_there_is_no_result_if_an_artefact_could_not_be_written(tmp_path):
    made = analysis(with_face())
    save(tmp_path, made.result, made.artefacts)
    (tmp_path / "frames/1").write_text("a file where a folder is needed")
    with pytest.raises(OSError):
        save(tmp_path, made.result, {**made.artefacts, "frames/1/pose.json": b"{}"})
    assert not (tmp_path / "result.json").exists()


def test_a_failed_scan_has_a_row_with_its_reason():
    file = io.StringIO(newline="")
    write_csv(file, [FailedScan("one", "there is no such folder")])
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    filled = {name: value for name, value in row.items() if value}
    assert filled == {"scan_id": "one", "status": "failed", "reason": "there is no such folder"}


def test_a_full_disk_leaves_the_older_files_and_puts_the_older_result_aside(tmp_path, monkeypatch):
    made = analysis(with_face())
    save(tmp_path, made.result, made.artefacts)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, made.result, made.artefacts)
    before[tmp_path / "result.older.json"] = before.pop(tmp_path / "result.json")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_files_of_the_user_and_of_no_run_remain_and_drafts_of_killed_runs_do_not(tmp_path):
    made = analysis(with_face())
    (tmp_path / "frames/0").mkdir(parents=True)
    (tmp_path / "frames/0/notes.txt").write_text("mine")
    (tmp_path / ".draft-killed/frames").mkdir(parents=True)
    (tmp_path / "result.older.json").write_text("{}")
    save(tmp_path, made.result, made.artefacts)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"frames/0/notes.txt", "result.json", *made.artefacts}
    assert not (tmp_path / ".draft-killed").exists()
