"""Persons in a picture: torchvision's detectors with the weights that torchvision publishes for them.

Ren, He, Girshick, Sun: "Faster R-CNN", NIPS 2015 (arXiv 1506.01497), on a feature pyramid (arXiv 1612.03144);
SSDLite as in "Searching for MobileNetV3" (arXiv 1905.02244). A network is built as torchvision's own function
builds it when it is given weights (its batch norms are then frozen ones), only that none are downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose.detectors import build_detector
from pose.errors import InvalidWeights
from pose.weights.checkpoint import Checkpoint

FloatArray = NDArray[np.float64]
Picture = NDArray[np.uint8]
PERSON: Final = 1
MIN_SCORE: Final = 0.9


class Detector:
    """Persons in pictures.

    Args:
        weights: a checkpoint, or its state dict with torchvision's names.
        name: one of `DETECTORS`.
        device: where the network runs.
        batch_size: pictures that go through the network at once.
        min_score: a person's score is above it, 0..1.
        low_confidence_score: boxes with a score above it are returned too; None means `min_score`.

    Attributes:
        name: as given.
        version: of the weights as the checkpoint says; "own" of a state dict.
        batch_size, min_score, low_confidence_score: as given.

    Raises:
        InvalidWeights: a tensor is missing, is too many or has another shape.
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
        self._network = network.eval().to(self._device)

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Picture]) -> list[tuple[FloatArray, FloatArray]]:
        """Persons of each picture, the surest first.

        Args:
            pictures: (H, W, 3) uint8 RGB each, of any size, upright.

        Returns:
            For each picture boxes (n, 4) float64, x0, y0, x1, y1 in its pixels and within it, and scores (n,)
            float64 above `low_confidence_score`; n is 0 where nobody is.
        """
        empty = np.zeros((0, 4)), np.zeros(0)
        found = [empty for _ in pictures]
        for batch in self._batches(pictures):
            answers = self._network([self._to_tensor(pictures[i]) for i in batch])
            for i, answer in zip(batch, answers, strict=True):
                found[i] = self._persons(answer)
        return found

    def _batches(self, pictures: Sequence[Picture]) -> Iterator[list[int]]:
        """Numbers of pictures that go through the network together: of one size only.

        torchvision pads a batch to its largest picture, and what is padded changes the answer a little: a
        picture's persons must not depend on what else there is.
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(i)
        for alike in by_size.values():
            for first in range(0, len(alike), self.batch_size):
                yield alike[first : first + self.batch_size]

    def _to_tensor(self, picture: Picture) -> Tensor:
        """(3, H, W) float32 in 0..1; the network normalises and scales it itself."""
        whole = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        return whole.permute(2, 0, 1).contiguous().float().div(255)

    def _persons(self, answer: dict[str, Tensor]) -> tuple[FloatArray, FloatArray]:
        labels = answer["labels"].cpu().numpy()
        boxes, scores = (answer[key].double().cpu().numpy() for key in ("boxes", "scores"))
        found = np.flatnonzero((labels == PERSON) & (scores > self.low_confidence_score))
        best_first = found[np.argsort(-scores[found], kind="stable")]
        return boxes[best_first], scores[best_first]
