"""Finds the boxes of people in pictures, with torchvision's detectors and their published weights.

Ren, He, Girshick, Sun: "Faster R-CNN", NIPS 2015 (arXiv 1506.01497), on a feature pyramid (arXiv 1612.03144);
SSDLite as in "Searching for MobileNetV3" (arXiv 1905.02244).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose.checks import check_pictures
from pose.detectors import build_detector
from pose.errors import InvalidWeights
from pose.estimators.converted_detector import convert_detector
from pose.estimators.gpu import Precision, exact_float32, upload_picture
from pose.weights.checkpoint import Checkpoint

FloatArray = NDArray[np.float64]
Picture = NDArray[np.uint8]
PERSON: Final = 1
MIN_SCORE: Final = 0.9


class Detector:
    """Finds the boxes of people in pictures.

    Args:
        weights: a checkpoint, or its state dict with torchvision's names.
        name: one of `pose.detectors.DETECTORS`.
        device: where the network runs.
        batch_size: pictures in one batch.
        min_score: boxes with a score above it count as people, 0..1.
        low_confidence_score: boxes with a score above it are returned too; None means `min_score`.
        runtime: "torch", or "openvino" on the device "cpu", see `pose.estimators.runtime`. It runs the part
            of the network that sees the whole picture; proposals and boxes are torchvision's in both.
        converted_in: the folder of the stored weights, where a converted network is kept; None keeps none.
        precision: of the network on a GPU. With "fp16", layers compute in float16 where torch's autocast
            takes it; the choice of proposals and boxes stays in float32.

    Attributes:
        name: as given.
        version: of the weights, from the checkpoint; "own" for a state dict.
        batch_size, min_score, low_confidence_score: as given.

    Raises:
        InvalidWeights: a tensor is missing, unknown, or has another shape.
        ValueError: there is no such detector, or the batch size is not positive.
    """

    def __init__(
        self,
        weights: Checkpoint | Mapping[str, Tensor],
        name: str = "fasterrcnn-resnet50-fpn",
        device: torch.device | str = "cpu",
        batch_size: int = 4,
        min_score: float = MIN_SCORE,
        low_confidence_score: float | None = None,
        runtime: str = "torch",
        converted_in: Path | None = None,
        precision: Precision = "fp32",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        network = build_detector(name)
        try:
            network.load_state_dict(weights.tensors if isinstance(weights, Checkpoint) else weights)
        except RuntimeError as error:
            raise InvalidWeights(f"weights of {name}: {error}") from error
        self.name = name
        self.version = weights.facts["version"] if isinstance(weights, Checkpoint) else "own"
        self.batch_size = batch_size
        self.min_score = min_score
        self.low_confidence_score = min_score if low_confidence_score is None else low_confidence_score
        self._device = torch.device(device)
        self._half = precision == "fp16"
        self._network = network.eval().to(self._device)
        if self._half:
            self._network = self._network.to(memory_format=torch.channels_last)
        if runtime == "openvino":
            convert_detector(self._network, name, converted_in)

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Picture]) -> list[tuple[FloatArray, FloatArray]]:
        """Find the people in each picture, the highest score first.

        Args:
            pictures: (H, W, 3) uint8 RGB each, of any size, upright.

        Returns:
            For each picture boxes (n, 4) float64, x0, y0, x1, y1 in pixels within it, and scores (n,) float64
            above `low_confidence_score`; n is 0 if nobody is found.

        Raises:
            ValueError: a picture is none.
        """
        check_pictures(pictures)
        empty = np.zeros((0, 4)), np.zeros(0)
        found = [empty for _ in pictures]
        for batch in self._batches(pictures):
            inputs = [self._to_tensor(pictures[i]) for i in batch]
            with exact_float32(), torch.autocast(self._device.type, torch.float16, enabled=self._half):
                answers = self._network(inputs)
            for i, answer in zip(batch, answers, strict=True):
                found[i] = self._persons(answer)
        return found

    def _batches(self, pictures: Sequence[Picture]) -> Iterator[list[int]]:
        """Yield the indices of each batch: pictures of one size only.

        torchvision pads a batch to its largest picture, and padding changes the result slightly. The result
        of a picture must not depend on other pictures.
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(i)
        for alike in by_size.values():
            for first in range(0, len(alike), self.batch_size):
                yield alike[first : first + self.batch_size]

    def _to_tensor(self, picture: Picture) -> Tensor:
        """Return (3, H, W) float32 in 0..1; the network itself normalises and resizes it."""
        return upload_picture(picture, self._device).permute(2, 0, 1).contiguous().float().div(255)

    def _persons(self, answer: dict[str, Tensor]) -> tuple[FloatArray, FloatArray]:
        labels = answer["labels"].cpu().numpy()
        boxes, scores = (answer[key].double().cpu().numpy() for key in ("boxes", "scores"))
        found = np.flatnonzero((labels == PERSON) & (scores > self.low_confidence_score))
        best_first = found[np.argsort(-scores[found], kind="stable")]
        return boxes[best_first], scores[best_first]
