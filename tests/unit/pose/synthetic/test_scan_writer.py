"""A rendered scan can be read like any scan, and its ground truth is right."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import pose
from pose import keypoints as kp
from pose.geometry.orientation import STANDING_STEPS
from pose.synthetic import scan_writer
from pose.synthetic.scan_writer import write_scan

FRAMES = 2


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A standing and a lying scan, the latter with a second person."""
    folder = tmp_path_factory.mktemp("scans")
    return {
        "standing": write_scan(folder / "standing", 31, "standing", FRAMES),
        "lying": write_scan(folder / "lying", 32, "lying", FRAMES, second_person=True),
    }


@pytest.fixture(params=["standing", "lying"])
def scan(scans, request):
    return scans[request.param]


@pytest.fixture
def small_pictures(monkeypatch):
    """For tests to which the size of the pictures does not matter."""
    monkeypatch.setattr(scan_writer, "PICTURE_SIZE", (240, 180))


def truth_of(folder):
    return json.loads((folder / "truth.json").read_text())


def contents(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_it_can_be_read_like_any_scan(scan):
    read = pose.read_scan(scan)
    assert [frame.order for frame in read.frames] == [0, 1]
    assert read.broken == ()
    for frame in read.frames:
        assert frame.rgb.shape == (1080, 1440, 3)
        assert frame.depthmap.depth.shape == (180, 240)
        assert frame.depthmap.pose_known


def test_its_step_says_its_posture(scans):
    assert pose.read_scan(scans["standing"]).step in STANDING_STEPS
    assert pose.read_scan(scans["lying"]).declared == "lying"


def test_the_truth_has_exactly_the_published_shape(scan):
    truth = truth_of(scan)
    assert set(truth) == {"posture", "frames"}
    assert truth["posture"] == scan.name
    assert [frame["order"] for frame in truth["frames"]] == list(range(FRAMES))
    for frame in truth["frames"]:
        assert set(frame) == {"order", "people"}
        assert len(frame["people"]) == (2 if scan.name == "lying" else 1)
        for person in frame["people"]:
            assert set(person) == {"keypoints", "joints", "body_length_m"}
            assert [set(point) for point in person["keypoints"]] == [{"name", "u", "v", "visible"}] * 17
            assert [set(joint) for joint in person["joints"]] == [{"name", "x", "y", "z"}] * 17
            assert [point["name"] for point in person["keypoints"]] == list(kp.NAMES)
            assert [joint["name"] for joint in person["joints"]] == list(kp.NAMES)
            assert {type(point["visible"]) for point in person["keypoints"]} == {bool}
            assert 0.25 < person["body_length_m"] < 1.6


def test_keypoints_are_where_the_joints_project_to(scan):
    read, truth = pose.read_scan(scan), truth_of(scan)
    for frame, true in zip(read.frames, truth["frames"], strict=True):
        for person in true["people"]:
            # Joints' heights count from the floor, whose height in the world is found from the depth map.
            floor = pose.floor_height(frame.depthmap)
            joints = np.array([(j["x"], j["y"] + floor, j["z"]) for j in person["joints"]])
            u, v, depth = frame.depthmap.project(joints)
            uv = frame.view.to_picture(np.stack([u, v], axis=-1))
            expected = np.array([(point["u"], point["v"]) for point in person["keypoints"]])
            # A floor that is found 2 cm wrong moves a joint a metre away by some 20 pixels of 1440.
            before = depth > 0.2
            assert uv[before] == pytest.approx(expected[before], abs=35)
            assert np.median(np.abs(uv - expected)[before]) < 12


def test_visible_joints_lie_just_below_the_measured_surface(scan):
    read, truth = pose.read_scan(scan), truth_of(scan)
    for frame, true in zip(read.frames, truth["frames"], strict=True):
        floor = pose.floor_height(frame.depthmap)
        assert floor is not None
        points = frame.depthmap.points() - (0, floor, 0)
        person = true["people"][0]
        away = []
        for point, joint in zip(person["keypoints"], person["joints"], strict=True):
            column, row = frame.view.to_depth((point["u"], point["v"])).round().astype(int)
            if point["visible"] and frame.depthmap.depth[row, column] > 0:
                away.append(np.linalg.norm(points[row, column] - [joint["x"], joint["y"], joint["z"]]))
        assert len(away) > 5
        assert np.median(away) < 0.08
        assert max(away) < 0.2


def test_the_body_length_is_that_of_the_joints(scan):
    for person in truth_of(scan)["frames"][0]["people"]:
        joints = np.array([(j["x"], j["y"], j["z"]) for j in person["joints"]])
        chains = (joints[list(chain)] for chain in (kp.LEFT_CHAIN, kp.RIGHT_CHAIN))
        lengths = [np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() for chain in chains]
        assert person["body_length_m"] == pytest.approx(max(lengths), abs=1e-3)


def test_masks_of_faces_are_as_large_as_the_pictures_and_lie_at_the_eyes(scan):
    for frame in truth_of(scan)["frames"]:
        mask = np.asarray(cv2.imread(str(scan / f"truth/face_{frame['order']}.png"), cv2.IMREAD_UNCHANGED))
        assert mask.shape == (1080, 1440)
        assert set(np.unique(mask)) <= {0, 255}
        if mask.any():
            rows, columns = np.nonzero(mask)
            heads = [[(p["u"], p["v"]) for p in person["keypoints"][:5]] for person in frame["people"]]
            away = np.linalg.norm(np.array(heads).mean(axis=1) - (columns.mean(), rows.mean()), axis=1)
            assert away.min() < 150


@pytest.mark.usefixtures("small_pictures")
def test_the_same_arguments_give_the_same_bytes(tmp_path):
    one, other = (write_scan(tmp_path / name, 5, "lying", 1) for name in ("one", "other"))
    assert contents(one) == contents(other)
    assert set(contents(one)) != set(contents(write_scan(tmp_path / "third", 6, "lying", 1)))


def test_more_frames_leave_the_first_as_they_were(scans, tmp_path):
    single = contents(write_scan(tmp_path / "single", 31, "standing", 1))
    both = contents(scans["standing"])
    assert all(both[name] == data for name, data in single.items() if name != "truth.json")
    assert len(both) == len(single) + 3


def test_it_writes_what_a_phone_would_and_the_truth(scan):
    names = set(contents(scan))
    assert {name.split("/")[0] for name in names} == {
        "camera_calibration.txt", "depth", "rgb", "truth", "truth.json"
    }  # fmt: skip
    assert len(names) == 2 + 3 * FRAMES


@pytest.mark.usefixtures("small_pictures")
def test_an_empty_room_has_nobody_in_its_truth(tmp_path):
    folder = write_scan(tmp_path / "scan", 7, "empty", 1)
    assert truth_of(folder) == {"posture": "empty", "frames": [{"order": 0, "people": []}]}
    assert len(pose.read_scan(folder).frames) == 1


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_scan(tmp_path, 1, "standing", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("small_pictures")
def test_an_empty_folder_is_accepted(tmp_path):
    assert write_scan(str(tmp_path), 1, "standing", 1) == tmp_path
    assert (tmp_path / "truth.json").is_file()


@pytest.mark.parametrize(
    ("seed", "posture", "frames"),
    [(1, "standing", 0), (1, "standing", 100), (1, "sitting", 1), (-1, "lying", 1)],
)
def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path, seed, posture, frames):
    with pytest.raises(ValueError):
        write_scan(tmp_path / "scan", seed, posture, frames)
    assert not (tmp_path / "scan").exists()
