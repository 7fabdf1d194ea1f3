"""A data set in COCO's keypoint format: its annotations, checked, and the boxes in which people are posed.

Formats: cocodataset.org, "Data format" (sections 1 and 4) and "Results format". Boxes are selected and
clipped as in the evaluation of HRNet's authors (github.com/leoxiaobin/deep-high-resolution-net.pytorch,
lib/dataset/coco.py), so that figures can be compared with theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pose import keypoints as kp
from pose.errors import PoseError
from pose.scan.names import is_safe_path

FloatArray = NDArray[np.float64]
Checked = TypeVar("Checked")

PERSON: Final = 1  # COCO's category
MIN_BOX_SCORE: Final = 0.0  # the authors' IMAGE_THRE


class InvalidDataset(PoseError):
    """Annotations, boxes or pictures of a data set that cannot be used."""


def _file_name(name: str) -> str:
    if not is_safe_path(name):
        raise ValueError("Input should be the name of a file inside the folder of images")
    return name


def _visibility(values: list[float]) -> list[float]:
    if not set(values[2::3]) <= {0, 1, 2}:
        raise ValueError("Input should be x, y and v (0, 1 or 2) of each keypoint")
    return values


def _flag(value: object) -> object:
    return int(value) if isinstance(value, bool | float) and value in (0, 1) else value


_Id = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
_Pixels = Annotated[int, Field(strict=True, ge=1, le=2**16)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Size = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
_Box = tuple[_Number, _Number, _Size, _Size]  # x, y, width, height
_Keypoints = Annotated[
    list[_Number], Field(min_length=3 * kp.COUNT, max_length=3 * kp.COUNT), AfterValidator(_visibility)
]


class Picture(BaseModel):
    """What the annotations say of a picture."""

    id: _Id
    file_name: Annotated[str, AfterValidator(_file_name)]
    width: _Pixels
    height: _Pixels


class Annotation(BaseModel):
    """One annotated object. `keypoints` and `num_keypoints` are needed for people only.

    `iscrowd` may be a boolean, or missing, which means 0.
    """

    id: Annotated[_Id, Field(ge=1)]  # pycocotools takes an annotation with id 0 as "not matched"
    image_id: _Id
    category_id: _Id
    bbox: _Box
    area: _Number
    keypoints: _Keypoints | None = None
    num_keypoints: Annotated[int, Field(strict=True, ge=0, le=kp.COUNT)] | None = None
    iscrowd: Annotated[int, Field(strict=True, ge=0, le=1), BeforeValidator(_flag)] | None = 0

    @model_validator(mode="after")
    def _check_person(self) -> Self:
        if self.category_id == PERSON:
            for name in ("keypoints", "num_keypoints", "iscrowd"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name}: missing, but needed for a person")
        return self


class _Category(BaseModel):
    id: _Id


class _File(BaseModel):
    images: list[Picture]
    annotations: list[Annotation]
    categories: list[_Category]


class _Detection(BaseModel):
    image_id: _Id
    category_id: _Id
    bbox: _Box
    score: _Number


_FILE: Final = TypeAdapter(_File)
_DETECTIONS: Final = TypeAdapter(list[_Detection])


@dataclass(frozen=True)
class Annotations:
    """A data set's annotations, checked.

    Attributes:
        record: the file's content, limited to `pictures`.
        annotated: its annotations.
        pictures: its pictures by their id, in the file's order.
        known: ids of all pictures of the file, also of those beyond the limit.
    """

    record: dict[str, Any]
    annotated: list[Annotation]
    pictures: dict[int, Picture]
    known: frozenset[int]


@dataclass(frozen=True, eq=False)
class Task:
    """A picture and the boxes in which the keypoints of people are looked for.

    Attributes:
        boxes: (n, 4) float64, x0, y0, x1, y1 in pixels; n > 0.
        scores: (n,) float64, the detector's confidence; 1 for annotated boxes.
    """

    image_id: int
    boxes: FloatArray
    scores: FloatArray


def read_annotations(path: Path | str, limit: int | None = None) -> Annotations:
    """Read `person_keypoints_*.json`.

    Args:
        limit: use only so many pictures, the first of the file.

    Raises:
        InvalidDataset: there is no such file, it is not JSON, or a field is missing or wrong.
    """
    path = Path(path)
    record = _read_json(path)
    file = _check(_FILE, record, path.name)
    if all(each.id != PERSON for each in file.categories):
        raise InvalidDataset(f"{path.name}: categories: none has id {PERSON}, which is COCO's person")
    _check_unique((each.id for each in file.images), f"{path.name}: images")
    _check_unique((each.id for each in file.annotations), f"{path.name}: annotations")
    pictures = {each.id: each for each in file.images}
    for number, each in enumerate(file.annotations):
        if each.image_id not in pictures:
            place = f"{path.name}: annotations[{number}].image_id"
            raise InvalidDataset(f"{place}: {each.image_id} is none of the file's images")
    chosen = dict(list(pictures.items())[:limit])
    kept = [
        {**each, "iscrowd": checked.iscrowd}  # pycocotools needs the field to evaluate
        for each, checked in zip(record["annotations"], file.annotations, strict=True)
        if checked.image_id in chosen
    ]
    return Annotations(
        {**record, "images": record["images"][:limit], "annotations": kept},
        [each for each in file.annotations if each.image_id in chosen],
        chosen,
        frozenset(pictures),
    )


def true_boxes(annotations: Annotations) -> list[Task]:
    """Return the annotated boxes of everybody who has keypoints and is not in a crowd, with score 1.

    Boxes are clipped to the picture as the authors do it: a box w wide ends w - 1 pixels after its first
    pixel. A box without any size after that is left out.

    Raises:
        InvalidDataset: there are no such boxes.
    """
    found: dict[int, list[tuple[float, ...]]] = {}
    for each in annotations.annotated:
        if each.category_id != PERSON or each.iscrowd or each.area <= 0 or max(each.keypoints or [0]) <= 0:
            continue
        picture = annotations.pictures[each.image_id]
        x, y, w, h = each.bbox
        x0, y0 = max(0.0, x), max(0.0, y)
        x1 = min(picture.width - 1, x0 + max(0.0, w - 1))
        y1 = min(picture.height - 1, y0 + max(0.0, h - 1))
        if x1 >= x0 and y1 >= y0 and (x1, y1) != (x0, y0):
            found.setdefault(each.image_id, []).append((x0, y0, x1, y1, 1.0))
    if not found:
        raise InvalidDataset("nobody in these pictures is annotated with keypoints: nothing to evaluate")
    return _tasks(found)


def detected_boxes(path: Path | str, annotations: Annotations) -> list[Task]:
    """Read a detector's boxes in COCO's results format: [{image_id, category_id, bbox, score}, …].

    Boxes of other categories than persons, below `MIN_BOX_SCORE`, and of pictures beyond the limit are left
    out. Boxes are not clipped to the picture.

    Raises:
        InvalidDataset: there is no such file, it is not JSON, a field is missing or wrong, a picture is not
            in the annotations, or no box is left.
    """
    path = Path(path)
    found: dict[int, list[tuple[float, ...]]] = {}
    detections = _check(_DETECTIONS, _read_json(path), path.name)
    for number, each in enumerate(detections):
        if each.image_id not in annotations.known:
            place = f"{path.name}: [{number}].image_id"
            raise InvalidDataset(f"{place}: {each.image_id} is not in the annotations")
        if each.category_id != PERSON or each.score < MIN_BOX_SCORE:
            continue
        x, y, w, h = each.bbox
        if w + h <= 0:
            raise InvalidDataset(f"{path.name}: [{number}].bbox: width and height are 0")
        if each.image_id in annotations.pictures:
            found.setdefault(each.image_id, []).append((x, y, x + w, y + h, each.score))
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


def _check(kind: TypeAdapter[Checked], record: Any, name: str) -> Checked:
    """Raises: InvalidDataset, with the file, the place in it, and what was expected there."""
    try:
        return kind.validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        no_object = first["type"] == "model_type"  # pydantic's text names the class
        expected = "Input should be an object" if no_object else first["msg"].removeprefix("Value error, ")
        got = "" if isinstance(first["input"], dict) else f", got {first['input']!r:.60}"
        raise InvalidDataset(": ".join(filter(None, [name, place.lstrip("."), expected + got]))) from None


def _check_unique(ids: Iterable[int], place: str) -> None:
    seen: set[int] = set()
    for number, each in enumerate(ids):
        if each in seen:
            raise InvalidDataset(f"{place}[{number}].id: {each} is there twice")
        seen.add(each)
