"""Rendered people in COCO's format are what COCO's own reader takes, and lie where the annotations say."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it ships no types
from typer.testing import CliRunner

from pose import keypoints as kp
from pose.synthetic.coco_writer import ANNOTATIONS, IMAGES, main, write_coco

COUNT = 18
SEED = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco") / "made", COUNT, SEED)


@pytest.fixture(scope="module")
def data_set(folder):
    return json.loads((folder / ANNOTATIONS).read_text())


@pytest.fixture(scope="module")
def people(data_set):
    """Each person's annotation, its picture's and its keypoints (17, 3)."""
    pictures = {picture["id"]: picture for picture in data_set["images"]}
    return [
        (each, pictures[each["image_id"]], np.array(each["keypoints"], float).reshape(17, 3))
        for each in data_set["annotations"]
    ]


def contents(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def test_pycocotools_reads_it(folder, capsys):
    read = COCO(str(folder / ANNOTATIONS))
    assert len(read.getImgIds()) == COUNT
    assert len(read.getAnnIds(catIds=[1], iscrowd=False)) > COUNT // 2
    (person,) = read.loadCats(read.getCatIds())
    assert (person["name"], person["keypoints"]) == ("person", list(kp.NAMES))


def test_its_pictures_are_there_and_as_large_as_it_says(folder, data_set):
    assert sorted(path.name for path in (folder / IMAGES).iterdir()) == sorted(
        picture["file_name"] for picture in data_set["images"]
    )
    for picture in data_set["images"]:
        pixels = cv2.imread(str(folder / IMAGES / picture["file_name"]))
        assert pixels is not None
        assert pixels.shape == (picture["height"], picture["width"], 3)
        assert picture["height"] > picture["width"]  # upright, not as the sensor saw it


def test_people_stand_on_their_feet_where_they_stand(people):
    standing = [points for each, picture, points in people if (picture["id"] - SEED) % 2 == 0]
    upright = [
        points[kp.NOSE, 1] < points[list(kp.LEFT_CHAIN[2:]), 1].min()
        for points in standing
        if (points[[kp.NOSE, *kp.LEFT_CHAIN[2:]], 2] > 0).all()
    ]
    assert len(upright) > 4
    assert np.mean(upright) > 0.9


def test_labelled_keypoints_are_counted_and_lie_in_the_picture(people):
    for each, picture, points in people:
        labelled = points[:, 2] > 0
        assert each["num_keypoints"] == labelled.sum()
        assert (points[labelled, :2] >= 0).all()
        assert (points[labelled, :2] <= (picture["width"] - 1, picture["height"] - 1)).all()
        assert not points[~labelled].any()


def test_all_three_kinds_of_visibility_occur(people):
    assert {int(v) for _, _, points in people for v in points[:, 2]} == {0, 1, 2}


def test_labelled_keypoints_lie_in_the_persons_box(people):
    for each, _, points in people:
        x, y, w, h = each["bbox"]
        labelled = points[points[:, 2] > 0, :2]
        # A keypoint is seen at the nearest pixel; the box holds whole pixels.
        assert (labelled >= (x - 0.5, y - 0.5)).all()
        assert (labelled <= (x + w - 0.5, y + h - 0.5)).all()


def test_boxes_lie_in_the_picture_and_are_not_emptier_than_people_are(people):
    for each, picture, _ in people:
        x, y, w, h = each["bbox"]
        assert min(x, y) >= 0 and min(w, h) > 0
        assert x + w <= picture["width"] and y + h <= picture["height"]
        assert 0.05 * w * h < each["area"] <= w * h
        assert each["iscrowd"] == 0


def test_some_pictures_show_two_people_and_some_nobody(people, data_set):
    counts = [
        sum(each["image_id"] == picture["id"] for each, _, _ in people) for picture in data_set["images"]
    ]
    assert set(counts) == {0, 1, 2}


def test_people_of_medium_and_of_large_size_occur(people):
    areas = np.array([each["area"] for each, _, _ in people])
    assert ((areas > 32**2) & (areas < 96**2)).any()
    assert (areas > 96**2).any()


def test_the_same_arguments_give_the_same_bytes_and_more_pictures_leave_the_first(folder, tmp_path):
    one, other = (write_coco(tmp_path / name, 2, SEED) for name in ("one", "other"))
    assert contents(one) == contents(other)
    first = {name: data for name, data in contents(one).items() if name.endswith(".jpg")}
    assert len(first) == 2
    assert first.items() <= contents(folder).items()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_coco(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (100_001, 0), (1, -1)])
def test_numbers_out_of_range_are_refused_before_anything_is_written(tmp_path, count, seed):
    with pytest.raises(ValueError, match="expected"):
        write_coco(tmp_path / "made", count, seed)
    assert not (tmp_path / "made").exists()


def test_its_command_says_where_the_data_set_is_and_never_overwrites_one(tmp_path):
    app = typer.Typer()
    app.command()(main)
    arguments = [str(tmp_path / "made"), "--count", "1", "--seed", str(SEED)]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout[:13]) == (0, "--annotations")
    assert len(contents(tmp_path / "made")) == 2
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "not empty" in again.stderr
