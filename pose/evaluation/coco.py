"""A data set of COCO's keypoint benchmark: its annotations, checked, and the boxes to look for people in.

Formats: cocodataset.org, "Data format" (sections 1 and 4) and "Results format". Which boxes count, and how
they are cut, is as in the evaluation of HRNet's authors
(github.com/leoxiaobin/deep-high-resolution-net.pytorch, lib/dataset/coco.py), so that figures can be compared
with theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.errors import PoseError
from pose.scan.manifest import is_safe_path

FloatArray = NDArray[np.float64]

PERSON: Final = 1  # COCO's category
MIN_BOX_SCORE: Final = 0.0  # the authors' IMAGE_THRE


class InvalidDataset(PoseError):
    """Annotations, boxes or pictures of a data set that cannot be used."""


@dataclass(frozen=True)
class Annotations:
    """A data set's annotations, checked.

    Attributes:
        record: as the file has it, cut to `pictures`.
        pictures: what it says of each picture, by its id: file_name, width, height. In the file's order.
        known: ids of all the file's pictures, also of those that were cut off.
    """

    record: dict[str, Any]
    pictures: dict[int, dict[str, Any]]
    known: frozenset[int]


@dataclass(frozen=True, eq=False)
class Task:
    """A picture and the boxes in which people are looked for.

    Attributes:
        boxes: (n, 4) float64, x0, y0, x1, y1 in pixels; n > 0.
        scores: (n,) float64, how sure the detector is; 1 for annotated boxes.
    """

    image_id: int
    boxes: FloatArray
    scores: FloatArray


def read_annotations(path: Path | str, limit: int | None = None) -> Annotations:
    """Reads `person_keypoints_*.json`.

    Args:
        limit: take the file's first so many pictures only.

    Raises:
        InvalidDataset: no such file, no JSON, or a field that is missing or wrong.
    """
    path = Path(path)
    record = _read_json(path)
    if not isinstance(record, dict):
        raise InvalidDataset(f"{path.name}: not COCO's annotations, expected an object with images, …")
    for key in ("images", "annotations", "categories"):
        if not isinstance(record.get(key), list):
            raise InvalidDataset(f"{path.name}: {key}: missing or no list")
    if not any(isinstance(each, dict) and each.get("id") == PERSON for each in record["categories"]):
        raise InvalidDataset(f"{path.name}: categories: none has id {PERSON}, which is COCO's person")
    pictures = _pictures(record["images"], path.name)
    _check_annotations(record["annotations"], pictures, path.name)
    chosen = dict(list(pictures.items())[:limit])
    kept = [each for each in record["annotations"] if each["image_id"] in chosen]
    cut = {**record, "images": list(chosen.values()), "annotations": kept}
    return Annotations(cut, chosen, frozenset(pictures))


def true_boxes(annotations: Annotations) -> list[Task]:
    """The annotated boxes of everybody who has keypoints and is no crowd, cut to the picture, with score 1.

    They are cut as the authors do it: a box w wide ends w - 1 pixels after its first. One that has no size
    then is left out.

    Raises:
        InvalidDataset: there are none.
    """
    found: dict[int, list[tuple[float, ...]]] = {}
    for annotation in annotations.record["annotations"]:
        if annotation["category_id"] != PERSON or annotation["iscrowd"] or not annotation["area"] > 0:
            continue
        picture = annotations.pictures[annotation["image_id"]]
        x, y, w, h = annotation["bbox"]
        x0, y0 = max(0.0, x), max(0.0, y)
        x1 = min(picture["width"] - 1, x0 + max(0.0, w - 1))
        y1 = min(picture["height"] - 1, y0 + max(0.0, h - 1))
        if x1 >= x0 and y1 >= y0 and (x1, y1) != (x0, y0) and max(annotation["keypoints"]) > 0:
            found.setdefault(annotation["image_id"], []).append((x0, y0, x1, y1, 1.0))
    if not found:
        raise InvalidDataset("nobody in these pictures is annotated with keypoints: nothing to evaluate")
    return _tasks(found)


def detected_boxes(path: Path | str, annotations: Annotations) -> list[Task]:
    """Boxes of a detector in COCO's results format: [{image_id, category_id, bbox, score}, …].

    Boxes of other categories than persons, below `MIN_BOX_SCORE`, and of pictures that a limit has cut off
    are left out. They are not cut to the picture.

    Raises:
        InvalidDataset: no such file, no JSON, a wrong field, a picture that the annotations do not know, or
            no box that counts.
    """
    path = Path(path)
    record = _read_json(path)
    if not isinstance(record, list):
        raise InvalidDataset(f"{path.name}: not COCO's detections, expected a list of image_id, bbox, …")
    found: dict[int, list[tuple[float, ...]]] = {}
    for number, detection in enumerate(record):
        at = f"{path.name}: [{number}]"
        _need(detection, at, image_id=_ID, category_id=_ID, bbox=_BOX, score=_NUMBER)
        if detection["image_id"] not in annotations.known:
            raise InvalidDataset(f"{at}: image_id {detection['image_id']} is not in the annotations")
        if detection["category_id"] != PERSON or detection["score"] < MIN_BOX_SCORE:
            continue
        x, y, w, h = detection["bbox"]
        if w + h <= 0:
            raise InvalidDataset(f"{at}: bbox: is {detection['bbox']}, which has no size")
        if detection["image_id"] in annotations.pictures:
            found.setdefault(detection["image_id"], []).append((x, y, x + w, y + h, detection["score"]))
    if not found:
        raise InvalidDataset(f"{path.name}: no box of a person (category {PERSON}) in these pictures")
    return _tasks(found)


def _tasks(found: dict[int, list[tuple[float, ...]]]) -> list[Task]:
    arrays = {image_id: np.array(rows, np.float64) for image_id, rows in found.items()}
    return [Task(image_id, rows[:, :4], rows[:, 4]) for image_id, rows in arrays.items()]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidDataset(f"{path.name}: {error.strerror or type(error).__name__}") from None
    except (ValueError, RecursionError) as error:
        problem = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InvalidDataset(f"{path.name}: not JSON ({problem})") from None


def _pictures(listed: list[Any], name: str) -> dict[int, dict[str, Any]]:
    pictures: dict[int, dict[str, Any]] = {}
    for number, picture in enumerate(listed):
        at = f"{name}: images[{number}]"
        _need(picture, at, id=_ID, file_name=_NAME, width=_SIZE, height=_SIZE)
        if picture["id"] in pictures:
            raise InvalidDataset(f"{at}: id: {picture['id']} stands there twice")
        pictures[picture["id"]] = picture
    return pictures


def _check_annotations(listed: list[Any], pictures: dict[int, dict[str, Any]], name: str) -> None:
    seen: set[int] = set()
    for number, each in enumerate(listed):
        at = f"{name}: annotations[{number}]"
        _need(each, at, id=_POSITIVE, image_id=_ID, category_id=_ID, bbox=_BOX, area=_NUMBER)
        if each["category_id"] == PERSON:
            _need(each, at, keypoints=_KEYPOINTS, num_keypoints=_COUNT, iscrowd=_FLAG)
        if each["image_id"] not in pictures:
            raise InvalidDataset(f"{at}: image_id: {each['image_id']} is none of the file's images")
        if each["id"] in seen:
            raise InvalidDataset(f"{at}: id: {each['id']} stands there twice")
        seen.add(each["id"])


def _need(record: Any, at: str, **fields: _Kind) -> None:
    """Raises InvalidDataset unless `record` is an object whose fields are of these kinds."""
    if not isinstance(record, dict):
        raise InvalidDataset(f"{at}: no object, expected one with {', '.join(fields)}")
    for key, (fits, expected) in fields.items():
        if key not in record:
            raise InvalidDataset(f"{at}: {key}: missing, expected {expected}")
        if not fits(record[key]):
            raise InvalidDataset(f"{at}: {key}: is {record[key]!r:.60}, expected {expected}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)) and min(value[2:]) >= 0


def _is_keypoints(value: Any) -> bool:
    whole = isinstance(value, list) and len(value) == 3 * kp.COUNT and all(map(_is_number, value))
    return whole and all(label in (0, 1, 2) for label in value[2::3])


_Kind = tuple[Callable[[Any], bool], str]  # whether a value fits, and what an error says is expected
_MAX_ID: Final = 2**63 - 1
_ID: Final[_Kind] = (lambda value: _is_whole(value, 0, _MAX_ID), "a whole number from 0")
# pycocotools takes an annotation with id 0 for one that nothing was matched to.
_POSITIVE: Final[_Kind] = (lambda value: _is_whole(value, 1, _MAX_ID), "a whole number from 1")
_SIZE: Final[_Kind] = (lambda value: _is_whole(value, 1, 2**16), "a number of pixels")
_COUNT: Final[_Kind] = (
    lambda value: _is_whole(value, 0, kp.COUNT),
    f"a number of keypoints, 0 to {kp.COUNT}",
)
_FLAG: Final[_Kind] = (lambda value: _is_whole(value, 0, 1), "0 or 1")
_NUMBER: Final[_Kind] = (_is_number, "a number")
_BOX: Final[_Kind] = (_is_box, "a list of x, y, width and height")
_KEYPOINTS: Final[_Kind] = (_is_keypoints, f"a list of {kp.COUNT} times x, y and v (0, 1 or 2)")
_NAME: Final[_Kind] = (is_safe_path, "the name of a file inside the folder of images")
