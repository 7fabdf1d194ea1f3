"""The estimator that is part of the package: a small HRNet that finds people in depth maps.

The network returns a heatmap for each keypoint, one for the middle of the trunk and one for the middle of the
head. A person is a peak in the trunk's heatmap. A head without a trunk is a person too, since it must be
redacted. Training and accuracy: `pose.training.train`, `data/MODEL_CARD.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.checks import check_each
from pose.errors import InvalidWeights
from pose.estimators.base import Detections, Estimator, Person
from pose.estimators.depth_input import (
    CHANNELS,
    INPUT_SIZE,
    STRIDE,
    depth_of,
    input_to_picture,
    network_input,
)
from pose.estimators.gpu import FixedBatches, Precision, exact_float32, upload
from pose.estimators.gpu_network import to_gpu
from pose.estimators.head_peaks import may_be_head
from pose.estimators.heatmap import cells_to_pixels, peaks
from pose.estimators.runtime import Converted, runtime_version
from pose.estimators.upright import TurnedFrame, detect_upright
from pose.hrnet import build_hrnet
from pose.scan.frame import Frame
from pose.weights.checkpoint import embedded_path, read_checkpoint

FloatArray = NDArray[np.float64]

BATCH: Final = 16  # depth maps
CPU_BATCH: Final = 4  # larger ones are not faster on a CPU, and need 60 MB more

BODY_MAP: Final = kp.COUNT
HEAD_MAP: Final = kp.COUNT + 1
MAPS: Final = kp.COUNT + 2
_MIRRORED_MAPS: Final = [*kp.MIRRORED, BODY_MAP, HEAD_MAP]

# A peak of the trunk below this is nobody. `python -m pose.evaluation.estimator` measures what it finds in
# empty rooms.
PERSON_SCORE: Final = 0.35
_HEAD_SCORE: Final = 0.5  # for a head without a trunk: it has few pixels
_PEAKS: Final = 3  # people in one frame, at most
_HEADS: Final = 5  # peaks of the head's heatmap that are used
_HEAD_APART: Final = 0.16 * INPUT_SIZE[0]  # pixels: peaks nearer than this are one head
_CORNERS: Final = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
# A joint belongs to the nearest person. This many pixels are as far as a metre of depth: about the size of a
# metre at a distance of a metre.
_PIXELS_PER_METRE: Final = 0.75 * INPUT_SIZE[1]


class DepthHRNet(Estimator):
    """Finds people in depth maps; the pictures are not used.

    Args:
        weights: a safetensors file from `pose.training.train`; None takes the one in the package.
        device: where the network runs.
        batch_size: frames in one batch.
        runtime: "torch", or "openvino" on the device "cpu", see `pose.estimators.runtime`.
        converted_in: the folder of the stored weights, where the converted network is kept; None keeps none.
        precision: of the network on a GPU. There, heatmaps are read on the GPU too.

    Attributes:
        name, version: of the weights, from their file.

    Raises:
        InvalidWeights: the file is missing, damaged, or of another network.
        ValueError: the batch size is not positive.
    """

    # Lower than that of RGB models: hidden joints get lower scores here.
    min_score = 0.35
    uses_depth = True

    def __init__(
        self,
        weights: Path | str | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = BATCH,
        runtime: str = "torch",
        converted_in: Path | None = None,
        precision: Precision = "fp32",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        checkpoint = read_checkpoint(embedded_path() if weights is None else weights)
        self.name = checkpoint.facts["name"]
        self.version = checkpoint.facts["version"]
        self._device = torch.device(device)
        self._batch_size = batch_size
        try:
            network = build_hrnet(checkpoint.facts["variant"], in_channels=CHANNELS, out_channels=MAPS)
            network.load_state_dict(checkpoint.tensors)
        except (RuntimeError, ValueError) as error:
            raise InvalidWeights(f"weights of {self.name}: {error}") from error
        self.runtime = runtime_version(runtime, precision)
        self._mirrored = torch.tensor(_MIRRORED_MAPS, device=self._device)
        self._peaks: Callable[[torch.Tensor], torch.Tensor] = self._find_peaks
        self._network: Callable[[torch.Tensor], torch.Tensor]
        if runtime == "openvino":
            converted = Converted(network.eval(), CHANNELS, self.name, converted_in)
            self._network = lambda inputs: converted(inputs)[0]
        elif self._device.type == "cuda":
            self._network = to_gpu(network, self._device, precision)
            shape = (CHANNELS, *INPUT_SIZE)
            self._peaks = FixedBatches(self._find_peaks, shape, torch.float32, self._device, batch_size)
        else:
            self._network = network.eval().to(self._device).to(memory_format=torch.channels_last)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return people, and as low-confidence detections every place where a head may be.

        The heads of `people` are among the low-confidence detections too. A frame is turned upright first; if
        step and gravity do not tell how, several turns are compared (`upright.detect_upright`).

        Raises:
            ValueError: `frames` are no frames.
        """
        check_each(frames, Frame, "frames")
        return detect_upright(frames, self._detect_turned)

    @torch.inference_mode()
    def _detect_turned(self, views: Sequence[TurnedFrame]) -> list[Detections]:
        answers = []
        for first in range(0, len(views), self._batch_size):
            inputs = np.stack([self.network_input(view) for view in views[first : first + self._batch_size]])
            answers.append((inputs, self._peaks(upload(torch.from_numpy(inputs), self._device))))
        # Only now a GPU is waited for: it works on a batch while the next one is made.
        found: list[Detections] = []
        for inputs, answer in answers:
            batch = views[len(found) : len(found) + len(inputs)]
            for view, image, peaks_ in zip(batch, inputs, answer.cpu().numpy(), strict=True):
                pixels, scores = cells_to_pixels(peaks_[..., :2], STRIDE), peaks_[..., 2]
                people = _people(view, image, pixels[:, :_PEAKS], scores[:, :_PEAKS])
                heads = _possible_heads(view, people, pixels[HEAD_MAP], scores[HEAD_MAP])
                found.append(Detections(people, heads))
        return found

    @staticmethod
    def network_input(view: TurnedFrame) -> NDArray[np.float32]:
        """Return (3, 224, 192) float32, see `depth_input.network_input`."""
        return network_input(view.frame.depthmap, view.turns, view.frame.floor)

    @torch.inference_mode()
    def heatmaps(self, inputs: NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
        """(N, 3, 224, 192) float32 -> (N, 19, 56, 48) in 0..1, on the device: 17 keypoints, trunk, head.

        The mean over the input and its mirror image ("flip test" of HRNet's authors): a second pass, for 1 to
        2 % more correct keypoints.
        """
        batch = torch.as_tensor(inputs).to(self._device)
        both = torch.cat([batch, batch.flip(-1)]).contiguous(memory_format=torch.channels_last)
        with exact_float32():
            heat, mirrored = self._network(both).sigmoid().chunk(2)
        mean: torch.Tensor = (heat + mirrored.flip(-1).index_select(1, self._mirrored)) / 2
        return mean

    def _find_peaks(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, 3, 224, 192) -> column, row (cells) and score of peaks (N, 19, 5, 3) float64, on the device."""
        return peaks(self.heatmaps(batch), _HEADS)


def _people(
    view: TurnedFrame, image: NDArray[np.float32], pixels: FloatArray, scores: FloatArray
) -> list[Person]:
    """Peaks -> people, the highest score first.

    Args:
        image: (3, 224, 192), the network's input.
        pixels: (19, peaks, 2), positions in it.
        scores: (19, peaks), the highest of each heatmap first.
    """
    trunks = [i for i in range(scores.shape[1]) if scores[BODY_MAP, i] >= PERSON_SCORE]
    people, heads = [], []
    for number, trunk in enumerate(trunks):
        points, values = _joints_of(number, trunks, image, pixels, scores)
        people.append(_person(view, points[: kp.COUNT], values[: kp.COUNT], float(scores[BODY_MAP, trunk])))
        heads.append(points[HEAD_MAP])
    for i in range(scores.shape[1]):
        at, value = pixels[HEAD_MAP, i], float(scores[HEAD_MAP, i])
        if value < _HEAD_SCORE or any(np.linalg.norm(at - head) < _HEAD_APART for head in heads):
            continue
        points, values = _head_at(at, pixels, scores)
        people.append(_person(view, points, values, value))
        heads.append(at)
    return sorted(people, key=lambda person: -person.box_score)


def _possible_heads(
    view: TurnedFrame, people: Sequence[Person], pixels: FloatArray, scores: FloatArray
) -> list[Person]:
    """Peaks (peaks, 2) of the head's heatmap and their scores -> heads: all five keypoints in the middle."""
    found = []
    for at, score in zip(pixels, scores.tolist(), strict=True):
        if not may_be_head(_to_picture(view, at), score, people, view.frame.picture_size):
            continue
        corners = _to_picture(view, at + 0.7 * _HEAD_APART * _CORNERS)  # about an adult's head at 1 m
        values = np.zeros(kp.COUNT)
        values[list(kp.HEAD)] = score
        head = _person(view, np.tile(at, (kp.COUNT, 1)), values, score)
        low, high = corners.min(axis=0), corners.max(axis=0)
        found.append(replace(head, box=(float(low[0]), float(low[1]), float(high[0]), float(high[1]))))
    return found


def _joints_of(
    number: int, trunks: list[int], image: NDArray[np.float32], pixels: FloatArray, scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the peaks (19, 2) and scores (19,) that belong to the trunk `trunks[number]`.

    A single person has the highest peak of each heatmap. Of several people, each has the highest of the peaks
    that are nearer to it than to the others, in the picture and in depth.
    """
    if len(trunks) == 1:
        return pixels[:, 0], scores[:, 0]
    places = np.concatenate([pixels, _PIXELS_PER_METRE * _depth_at(image, pixels)[..., None]], axis=2)
    away = places[:, :, None] - places[BODY_MAP, trunks]  # (19, peaks, people, 3)
    # Without the depth of either, only the distance in the picture counts.
    nearest = np.linalg.norm(np.nan_to_num(away), axis=3).argmin(axis=2)  # (19, peaks)
    own = np.where(nearest == number, scores, -1.0)
    best = own.argmax(axis=1)
    rows = np.arange(len(best))
    values = np.maximum(own[rows, best], 0.0)
    points = np.where((values > 0)[:, None], pixels[rows, best], pixels[BODY_MAP, trunks[number]])
    points[BODY_MAP], values[BODY_MAP] = pixels[BODY_MAP, trunks[number]], scores[BODY_MAP, trunks[number]]
    return points, values


def _depth_at(image: NDArray[np.float32], pixels: FloatArray) -> FloatArray:
    """Return metres at positions (..., 2) of the network input; NaN where there is no depth."""
    rows, columns = INPUT_SIZE
    u = np.clip(np.rint(pixels[..., 0]), 0, columns - 1).astype(int)
    v = np.clip(np.rint(pixels[..., 1]), 0, rows - 1).astype(int)
    return depth_of(image)[v, u].astype(np.float64)


def _head_at(at: FloatArray, pixels: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return keypoints of a head without a trunk: nose, eyes and ears nearby; the others with score 0."""
    points, values = np.tile(at, (kp.COUNT, 1)), np.zeros(kp.COUNT)
    for joint in kp.HEAD:
        distance = np.linalg.norm(pixels[joint] - at, axis=1)
        near = np.where(distance < _HEAD_APART, scores[joint], -1.0)
        best = int(near.argmax())
        if near[best] > 0:
            points[joint], values[joint] = pixels[joint, best], near[best]
    return points, values


def _person(view: TurnedFrame, points: FloatArray, scores: FloatArray, box_score: float) -> Person:
    keypoints = _to_picture(view, points)
    seen = keypoints[scores > 0.1] if (scores > 0.1).any() else keypoints
    low, high = seen.min(axis=0), seen.max(axis=0)
    margin = 0.08 * float((high - low).max()) + 1
    width, height = view.frame.picture_size
    box = np.clip(np.concatenate([low - margin, high + margin]), 0, (width - 1, height - 1) * 2)
    return Person(keypoints, scores, (float(box[0]), float(box[1]), float(box[2]), float(box[3])), box_score)


def _to_picture(view: TurnedFrame, points: FloatArray) -> FloatArray:
    """Return where points (..., 2) of the network input are in the picture."""
    depthmap = view.frame.depthmap
    return view.frame.view.to_picture(input_to_picture(points, view.turns, depthmap.width, depthmap.height))
