"""A network that returns the annotated keypoints of a data set, for tests of the COCO evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose.estimators.crop import box_to_center_scale, crop_matrix, transform_points
from pose.estimators.heatmap import draw_gaussians
from pose.estimators.topdown import TopDown
from pose.evaluation.coco import Annotations, Task

FloatArray = NDArray[np.float64]

INPUT = (192, 256)
CELLS = (48, 64)


def people(data_set: Annotations) -> list[tuple[FloatArray, float]]:
    """Return keypoints (17, 3) and area of each annotated person, in the order of `true_boxes`."""
    listed = data_set.record["annotations"]
    pictures = dict.fromkeys(each["image_id"] for each in listed if each["num_keypoints"])
    return [
        (np.array(each["keypoints"], float).reshape(17, 3), each["area"])
        for picture in pictures
        for each in listed
        if each["image_id"] == picture and each["num_keypoints"]
    ]


class DrawingNetwork:
    """Draws Gaussians at the true keypoints of each crop: a perfect network that ignores its input.

    Args:
        truths: keypoints (17, 2) of each crop, in the order in which the crops will come.
        boxes: of the crops.
        height: of the Gaussians, hence the keypoints' scores.
    """

    def __init__(self, truths: Iterable[FloatArray], boxes: FloatArray, height: float = 0.9) -> None:
        centres = [
            transform_points(truth, crop_matrix(*box_to_center_scale(box), CELLS))
            for truth, box in zip(truths, boxes, strict=True)
        ]
        self.centres = torch.tensor(np.array(centres))
        self.height = height
        self.batches: list[int] = []

    def __call__(self, inputs: Tensor) -> Tensor:
        assert inputs.shape[1:] == (3, INPUT[1], INPUT[0])
        centres = self.centres[sum(self.batches) : sum(self.batches) + len(inputs)]
        self.batches.append(len(inputs))
        present = torch.ones((len(centres), 1, 17), dtype=torch.bool)
        return self.height * draw_gaussians(centres[:, None], present, (CELLS[1], CELLS[0]), sigma=2)


def drawing(
    tasks: Sequence[Task], truths: Iterable[FloatArray], batch_size: int = 8
) -> tuple[TopDown, DrawingNetwork]:
    """Return a `TopDown` with a drawing network for all boxes of these tasks, and the network."""
    network = DrawingNetwork(truths, np.concatenate([task.boxes for task in tasks]))
    return TopDown(network, input_size=INPUT, batch_size=batch_size), network
