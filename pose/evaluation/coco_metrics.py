"""COCO's keypoint metrics of a top-down network, measured as the authors of HRNet measure theirs.

The network finds the keypoints in each box. A person's score combines those of box and keypoints; of several
boxes around one person the best is kept (`pose.evaluation.oks`). pycocotools computes the metrics.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidPicture
from pose.estimators.crop import PIXEL_STD, box_to_center_scale
from pose.evaluation.coco import PERSON, Annotations, FloatArray, InvalidDataset, Picture, Task
from pose.evaluation.oks import rescore, suppress
from pose.scan.pictures import MAX_BYTES, decode_picture

# In the order of pycocotools: average precision and recall over OKS of .5 to .95, at .5, at .75, and for
# people of medium (32² to 96² pixels) and large area.
METRICS: Final = ("AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")
_PICTURES_AT_ONCE: Final = 64  # in memory: about 60 MB of COCO's


class Poser(Protocol):
    """The network to evaluate: `pose.estimators.topdown.TopDown`, or a fake in a test."""

    @property
    def input_size(self) -> tuple[int, int]: ...

    def predict(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Return keypoints (n, 17, 2) in pixels and scores (n, 17) of the (n, 4) boxes of each picture."""
        ...


def find_pictures(annotations: Annotations, tasks: Sequence[Task], folder: Path | str) -> None:
    """Check that the pictures of all tasks are in the folder.

    Raises:
        InvalidDataset: some of them are not.
    """
    names = [annotations.pictures[task.image_id].file_name for task in tasks]
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        text = f"{len(missing)} of {len(names)} pictures are missing, the first is {missing[0]}"
        raise InvalidDataset(f"folder of images: {text}")


def predict(
    poser: Poser,
    annotations: Annotations,
    tasks: Sequence[Task],
    folder: Path | str,
    *,
    boxes_at_once: int = 128,
    progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Find the keypoints in all boxes. Return COCO's keypoint results, for `evaluate` or `json.dump`.

    Pictures are not turned. Only the pictures of `boxes_at_once` boxes, at most 64, are in memory at a time.

    Args:
        boxes_at_once: boxes for one call of the poser, unless a single picture has more.
        progress: called with the number of pictures done since its last call.

    Raises:
        InvalidDataset: a picture is missing.
        InvalidPicture: a picture cannot be decoded, or its size is not that in the annotations.
    """
    results: list[dict[str, Any]] = []
    for group in _groups(tasks, boxes_at_once):
        pictures = [_read_picture(annotations.pictures[task.image_id], Path(folder)) for task in group]
        found = poser.predict(pictures, [task.boxes for task in group])
        for task, (keypoints, scores) in zip(group, found, strict=True):
            results += _results(task, keypoints, scores, poser.input_size)
        if progress is not None:
            progress(len(group))
    return results


def evaluate(annotations: Annotations, results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return COCO's ten `METRICS` of keypoint results, in 0..1; -1 if no annotated person is of that size."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it ships no types
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    # pycocotools prints, and changes the records that it is given.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        copied = [dict(each) for each in annotations.record["annotations"]]
        truth.dataset = {**annotations.record, "annotations": copied}
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes([dict(each) for each in results]), "keypoints")
        run.params.catIds = [PERSON]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {name: float(value) for name, value in zip(METRICS, run.stats, strict=True)}


def _results(
    task: Task, keypoints: FloatArray, scores: FloatArray, input_size: tuple[int, int]
) -> list[dict[str, Any]]:
    person_scores = rescore(task.scores, scores)
    # The area of a person is that of the network's crop, as in the authors' code.
    areas = np.array([_crop_area(box, input_size) for box in task.boxes])
    flat = np.concatenate([keypoints, scores[..., None]], axis=-1).reshape(len(scores), -1)  # (n, 51)
    return [
        {
            "image_id": task.image_id,
            "category_id": PERSON,
            "keypoints": flat[i].tolist(),
            "score": float(person_scores[i]),
        }
        for i in suppress(keypoints, person_scores, areas)
    ]


def _crop_area(box: FloatArray, input_size: tuple[int, int]) -> float:
    _, scale = box_to_center_scale(box, input_size[0] / input_size[1])
    return float(np.prod(scale.astype(np.float64) * PIXEL_STD))


def _groups(tasks: Sequence[Task], boxes_at_once: int) -> Iterator[list[Task]]:
    group: list[Task] = []
    boxes = 0
    for task in tasks:
        if group and (boxes + len(task.boxes) > boxes_at_once or len(group) == _PICTURES_AT_ONCE):
            yield group
            group, boxes = [], 0
        group.append(task)
        boxes += len(task.boxes)
    if group:
        yield group


def _read_picture(picture: Picture, folder: Path) -> NDArray[np.uint8]:
    name = picture.file_name
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidDataset(f"{name}: {error.strerror or type(error).__name__}") from None
    rgb = decode_picture(data, name)
    height, width = rgb.shape[:2]
    if (width, height) != (picture.width, picture.height):
        said = f"{picture.width}x{picture.height}, as the annotations say"
        raise InvalidPicture(name, "size", f"{width}x{height}", said)
    return rgb
