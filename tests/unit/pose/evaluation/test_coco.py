"""Annotations and boxes are read as the authors of HRNet read COCO's, or refused with a reason."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from pose.evaluation.coco import InvalidDataset, detected_boxes, read_annotations, true_boxes

POINTS = [10.0, 20.0, 2] * 17


def person(number=1, image=7, bbox=(10, 20, 30, 40), **other):
    fixed = {"id": number, "image_id": image, "category_id": 1, "bbox": list(bbox), "area": 500.0}
    return fixed | {"keypoints": POINTS, "num_keypoints": 17, "iscrowd": 0} | other


def data_set(*people):
    return {
        "images": [
            {"id": 7, "file_name": "000000000007.jpg", "width": 100, "height": 80},
            {"id": 3, "file_name": "sub/3.jpg", "width": 64, "height": 48},
        ],
        "annotations": list(people),
        "categories": [{"id": 1, "name": "person"}],
    }


@pytest.fixture
def read(tmp_path):
    """Reads a record as annotations; a text is written as it is."""

    def read(record, limit=None):
        path = tmp_path / "annotations.json"
        path.write_text(record if isinstance(record, str) else json.dumps(record))
        return read_annotations(path, limit)

    return read


@pytest.fixture
def detect(tmp_path, read):
    """Reads detections for a data set with one person, all of it or only its first picture."""

    def detect(record, limit=None):
        path = tmp_path / "detections.json"
        path.write_text(json.dumps(record))
        return detected_boxes(path, read(data_set(person()), limit))

    return detect


def detection(image=7, bbox=(10, 20, 30, 40), score=0.5, category=1):
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score}


def cut_by_the_authors(bbox, width, height):
    """x, y, width and height of `clean_bbox`, from their definition."""
    x, y, w, h = bbox
    left, top = max(0, x), max(0, y)
    right = min(width - 1, left + max(0, w - 1))
    bottom = min(height - 1, top + max(0, h - 1))
    return left, top, right - left, bottom - top


def test_pictures_are_in_the_order_of_the_file(read):
    annotations = read(data_set(person()))
    assert list(annotations.pictures) == [7, 3]
    assert annotations.known == {7, 3}


def test_a_limit_applies_to_pictures_and_their_annotations(read):
    annotations = read(data_set(person(1, 7), person(2, 3)), limit=1)
    assert list(annotations.pictures) == [7]
    assert [each["id"] for each in annotations.record["annotations"]] == [1]
    assert annotations.known == {7, 3}


@pytest.mark.parametrize(
    "bbox", [(10, 20, 30, 40), (-5, -8.5, 30, 40), (90, 70, 30, 40), (10.25, 0, 0.5, 9), (0, 0, 100, 80)]
)
def test_true_boxes_are_clipped_as_the_authors_clip_them(read, bbox):
    (task,) = true_boxes(read(data_set(person(bbox=bbox))))
    x, y, w, h = cut_by_the_authors(bbox, 100, 80)
    assert task.image_id == 7
    assert task.boxes == pytest.approx(np.array([[x, y, x + w, y + h]]))
    assert task.scores.tolist() == [1.0]


def test_true_boxes_of_one_picture_are_one_task(read):
    first, second = true_boxes(read(data_set(person(1, 3), person(2, 7), person(3, 3, (1, 2, 3, 4)))))
    assert (first.image_id, second.image_id) == (3, 7)
    assert first.boxes.tolist() == [[10, 20, 39, 47], [1, 2, 3, 5]]


@pytest.mark.parametrize(
    "other",
    [
        {"iscrowd": 1},
        {"iscrowd": True},
        {"iscrowd": 1.0},
        {"keypoints": [0, 0, 0] * 17, "num_keypoints": 0},
        {"area": 0},
        {"bbox": [150, 20, 30, 40]},  # outside the picture
        {"bbox": [10, 20, 1, 1]},
        {"category_id": 2},
    ],
)
def test_crowds_and_people_without_keypoints_or_size_have_no_true_box(read, other):
    (task,) = true_boxes(read(data_set(person(1), person(2, **other))))
    assert len(task.boxes) == 1
    with pytest.raises(InvalidDataset, match="nobody"):
        true_boxes(read(data_set(person(2, **other))))


def without_crowd(each):
    return {name: value for name, value in each.items() if name != "iscrowd"}


@pytest.mark.parametrize("one", [person(iscrowd=False), person(iscrowd=0.0), without_crowd(person())])
def test_who_is_in_no_crowd_may_be_told_by_a_boolean_or_not_at_all(read, one):
    annotations = read(data_set(one))
    assert len(true_boxes(annotations)) == 1
    assert annotations.record["annotations"] == [person()]  # pycocotools needs the field


def test_another_category_needs_no_keypoints(read):
    thing = {"id": 2, "image_id": 7, "category_id": 18, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    assert len(true_boxes(read(data_set(person(), thing)))) == 1


def test_detected_boxes_keep_their_scores_and_reach_beyond_the_picture(detect):
    first, second = detect([detection(bbox=(-9, 20, 200, 40)), detection(3, score=0.25), detection()])
    assert first.boxes.tolist() == [[-9, 20, 191, 60], [10, 20, 40, 60]]
    assert first.scores.tolist() == [0.5, 0.5]
    assert (second.image_id, second.scores.tolist()) == (3, [0.25])


def test_only_people_of_the_chosen_pictures_and_no_negative_scores_are_taken(detect):
    wrong = [detection(category=2), detection(score=-0.1), detection(3)]
    (task,) = detect([*wrong, detection(score=0.0)], limit=1)
    assert (task.image_id, task.scores.tolist()) == (7, [0.0])
    with pytest.raises(InvalidDataset, match=r"detections\.json: no box of a person"):
        detect(wrong, limit=1)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"image_id": 7, "bbox": [1, 2, 3, 4], "score": 1}, ".category_id: Field required"),
        ([], ": Input should be an object, got []"),
        (detection(image=99), ".image_id: 99 is not in the annotations"),
        (detection(image="7"), ".image_id: Input should be a valid integer, got '7'"),
        (detection(bbox=(1, 2, 3)), ".bbox[3]: Field required, got [1, 2, 3]"),
        (detection(bbox=(1, 2, -3, 4)), ".bbox[2]: Input should be greater than or equal to 0, got -3"),
        (detection(bbox=(1, 2, 0, 0)), ".bbox: width and height are 0"),
        (detection(score=None), ".score: Input should be a valid number, got None"),
        (detection(score=float("nan")), ".score: Input should be a finite number, got nan"),
    ],
)
def test_wrong_detections_are_refused_with_their_place(detect, wrong, reason):
    with pytest.raises(InvalidDataset, match="^" + re.escape(f"detections.json: [1]{reason}")):
        detect([detection(), wrong])


def test_detections_must_be_a_list(detect):
    with pytest.raises(InvalidDataset, match=r"detections\.json: Input should be a valid list"):
        detect({"annotations": []})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"id": 0}, ".id: Input should be greater than or equal to 1, got 0"),
        ({"id": True}, ".id: Input should be a valid integer, got True"),
        ({"id": 1}, ".id: 1 is there twice"),
        ({"image_id": 99}, ".image_id: 99 is none of the file's images"),
        ({"keypoints": POINTS[:-1]}, ".keypoints: List should have at least 51 items"),
        ({"keypoints": [*POINTS, 0]}, ".keypoints: List should have at most 51 items"),
        ({"keypoints": [*POINTS[:-1], 3]}, ".keypoints: Input should be x, y and v (0, 1 or 2)"),
        ({"keypoints": [True, *POINTS[1:]]}, ".keypoints[0]: Input should be a valid number, got True"),
        ({"num_keypoints": 18}, ".num_keypoints: Input should be less than or equal to 17, got 18"),
        ({"iscrowd": 2}, ".iscrowd: Input should be less than or equal to 1, got 2"),
        ({"iscrowd": "0"}, ".iscrowd: Input should be a valid integer, got '0'"),
        ({"bbox": [1, 2, 3, float("inf")]}, ".bbox[3]: Input should be a finite number, got inf"),
        ({"area": "9"}, ".area: Input should be a valid number, got '9'"),
        *(
            ({key: None}, f": {key}: missing, but needed for a person")
            for key in ("keypoints", "num_keypoints", "iscrowd")
        ),
    ],
)
def test_wrong_annotations_are_refused_with_their_place(read, other, reason):
    with pytest.raises(InvalidDataset, match="^" + re.escape(f"annotations.json: annotations[1]{reason}")):
        read(data_set(person(1), person(2) | other))


@pytest.mark.parametrize("key", ["keypoints", "num_keypoints", "area", "bbox", "category_id"])
def test_a_missing_field_is_named(read, key):
    without = {name: value for name, value in person().items() if name != key}
    with pytest.raises(InvalidDataset, match=rf"annotations\[0\](: |\.){key}: (missing|Field required)"):
        read(data_set(without))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"id": 7}, ".id: 7 is there twice"),
        ({"file_name": "../secret.jpg"}, ".file_name: Input should be the name of a file inside the folder"),
        ({"file_name": "/etc/passwd"}, ".file_name: Input should be the name of a file inside the folder"),
        ({"width": 0}, ".width: Input should be greater than or equal to 1, got 0"),
        ({"height": 2.5}, ".height: Input should be a valid integer, got 2.5"),
    ],
)
def test_wrong_pictures_are_refused_with_their_place(read, other, reason):
    record = data_set(person())
    record["images"][1] |= other
    with pytest.raises(InvalidDataset, match=re.escape(f"annotations.json: images[1]{reason}")):
        read(record)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_each_list_must_be_there(read, key):
    with pytest.raises(InvalidDataset, match=f"{key}: Field required"):
        read({name: value for name, value in data_set().items() if name != key})


def test_the_category_of_people_must_be_there(read):
    with pytest.raises(InvalidDataset, match="none has id 1"):
        read(data_set() | {"categories": [{"id": 2, "name": "person"}]})


@pytest.mark.parametrize("text", ["{", "", "\ud800", "[" * 100_000])
def test_a_file_that_is_not_json_is_refused(tmp_path, text):
    path = tmp_path / "annotations.json"
    path.write_text(text, errors="surrogatepass")
    with pytest.raises(InvalidDataset, match=r"^annotations\.json: not JSON"):
        read_annotations(path)


def test_a_file_that_is_no_object_is_refused(read):
    with pytest.raises(InvalidDataset, match=r"^annotations\.json: Input should be an object, got \[\]"):
        read([])


def test_a_file_that_is_not_there_is_named_without_its_folder(tmp_path):
    with pytest.raises(InvalidDataset, match=r"^none\.json: No such file") as refused:
        read_annotations(tmp_path / "none.json")
    assert str(tmp_path) not in str(refused.value)
