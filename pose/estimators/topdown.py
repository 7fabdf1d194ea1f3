"""HRNet on boxes: pictures and boxes in, keypoints in pixels of the pictures out.

The steps, and all numbers in them, are those of HRNet's authors (lib/dataset/JointsDataset.py,
lib/core/function.py `validate` and lib/core/inference.py of
github.com/leoxiaobin/deep-high-resolution-net.pytorch), and those of
mmpose's `td-hm_hrnet-*` configurations, which are equal: crop, normalise with ImageNet's mean and deviation,
network, highest cell plus a quarter of a cell towards the larger neighbour, back to the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pose import keypoints as kp
from pose.checks import check_pictures
from pose.errors import InvalidWeights
from pose.estimators.crop import box_to_center_scale, crop, crop_inverse, transform_points
from pose.estimators.gpu import FixedBatches, Precision, exact_float32
from pose.estimators.gpu_crop import GPUCropper
from pose.estimators.gpu_network import to_gpu
from pose.estimators.heatmap import maxima
from pose.estimators.runtime import Converted
from pose.hrnet import HRNet, build_hrnet
from pose.weights.checkpoint import Checkpoint
from pose.weights.convert import hrnet_state

FloatArray = NDArray[np.float64]
Picture = NDArray[np.uint8]
Network = Callable[[Tensor], Tensor]

BATCH: Final = 32  # crops
STRIDE: Final = 4
# Of ImageNet's pictures, RGB in 0..1: the networks were pretrained on them.
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)


class TopDown:
    """Finds the keypoints of people whose boxes are known.

    Args:
        weights: a checkpoint, or its state dict with the authors' or mmpose's names; or a network of your
            own, (N, 3, H, W) -> (N, 17, H/4, W/4).
        width: of the HRNet, 32 or 48; None takes that of the weights. Not used for your own network.
        input_size: width and height of the network's input, such as (288, 384).
        device: where the network runs.
        flip_test: average the heatmaps of a crop and of its mirror image; twice the time.
        batch_size: crops in one batch.
        runtime: "torch", or "openvino" on the device "cpu", see `pose.estimators.runtime`.
        converted_in: the folder of the stored weights, where a converted network is kept; None keeps none.
        precision: of an HRNet on a GPU. There, crops are cut and heatmaps are read on the GPU too.

    Attributes:
        input_size, flip_test, batch_size, runtime, precision: as given.

    Raises:
        InvalidWeights: a tensor is missing, unknown, or has another shape; or the width is another.
        ValueError: the batch size is not positive, or the input size is not a multiple of 32.
    """

    def __init__(
        self,
        weights: Checkpoint | Mapping[str, Tensor] | Network,
        width: int | None = None,
        input_size: tuple[int, int] = (288, 384),
        device: torch.device | str = "cpu",
        flip_test: bool = False,
        batch_size: int = BATCH,
        runtime: str = "torch",
        converted_in: Path | None = None,
        precision: Precision = "fp32",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        if any(side < 32 or side % 32 for side in input_size):
            raise ValueError(f"input size {input_size}, expected width and height in multiples of 32")
        self.input_size = input_size
        self.flip_test = flip_test
        self.batch_size = batch_size
        self.runtime = runtime
        self.precision = precision
        self._device = torch.device(device)
        self._mean, self._deviation = (
            torch.tensor(v, device=self._device)[:, None, None] for v in (MEAN, DEVIATION)
        )
        self._mirrored = torch.tensor(kp.MIRRORED, device=self._device)
        self._keypoints: Callable[[Tensor], Tensor] = self._find_keypoints
        self._cropper: GPUCropper | None = None
        if isinstance(weights, Checkpoint):
            weights = weights.tensors
        network = _load(weights, width) if isinstance(weights, Mapping) else weights
        self._network: Network
        if runtime == "openvino" and isinstance(network, nn.Module):
            converted = Converted(network.eval(), 3, "hrnet", converted_in)
            self._network = lambda inputs: converted(inputs)[0]
        elif self._device.type == "cuda" and isinstance(network, HRNet):
            self._network = to_gpu(network, self._device, precision)
            self._cropper = GPUCropper(input_size, self._device)
            shape = (input_size[1], input_size[0], 3)
            self._keypoints = FixedBatches(
                self._find_keypoints,
                shape,
                torch.uint8,
                self._device,
                batch_size,
                tune=precision == "fp16",
            )
        else:
            self._network = network.eval().to(self._device) if isinstance(network, nn.Module) else network

    @torch.inference_mode()
    def heatmaps(self, inputs: Tensor) -> Tensor:
        """Network input (N, 3, H, W) float32, from `network_input` -> heatmaps (N, 17, H/4, W/4)."""
        inputs = inputs.to(self._device)
        with exact_float32():
            heat = self._network(inputs)
            if not self.flip_test:
                return heat
            mirrored = self._network(inputs.flip(-1)).flip(-1).index_select(1, self._mirrored)
        # Mirrored back, cells are about one too far to the left, since cell c is at pixel 4 * c and not
        # in the middle of its four. (SHIFT_HEATMAP of the authors; the first column stays.)
        mirrored[..., 1:] = mirrored[..., :-1].clone()
        return (heat + mirrored) * 0.5

    def network_input(self, crops: Tensor) -> Tensor:
        """Crops (N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 on the device, normalised."""
        batch = crops.to(self._device).permute(0, 3, 1, 2)
        # A network that is made ready for a GPU takes them in the order in which they are.
        batch = (batch if self._cropper else batch.contiguous()).float().div(255)
        return batch.sub_(self._mean).div_(self._deviation)

    def _find_keypoints(self, crops: Tensor) -> Tensor:
        """Crops (N, H, W, 3) uint8 RGB -> column, row (cells) and score (N, 17, 3) float64 on the device."""
        return maxima(self.heatmaps(self.network_input(crops)))

    @torch.inference_mode()
    def predict(
        self, pictures: Sequence[Picture], boxes: Sequence[ArrayLike]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Find the keypoints of the person in each box. A batch may have boxes of several pictures.

        Args:
            pictures: (H, W, 3) uint8 RGB each, of any size, upright.
            boxes: for each picture (n, 4), x0, y0, x1, y1 in its pixels; n may be 0.

        Returns:
            For each picture keypoints (n, 17, 2) float64, u and v in pixels, and scores (n, 17) float64: the
            maxima of the heatmaps, which may be slightly outside 0..1.

        Raises:
            ValueError: a picture is none, the numbers of pictures and of arrays of boxes differ, or a box is
                invalid.
        """
        check_pictures(pictures)
        shaped = [_boxes(of_one) for of_one in boxes]
        if len(pictures) != len(shaped):
            raise ValueError(
                f"{len(pictures)} pictures and {len(shaped)} arrays of boxes, expected equal numbers"
            )
        found = [
            (np.zeros((len(of_one), kp.COUNT, 2)), np.zeros((len(of_one), kp.COUNT))) for of_one in shaped
        ]
        places = [(i, j) for i, of_one in enumerate(shaped) for j in range(len(of_one))]
        answers = []
        for batch in self._batches(places):
            crops = self._crops([pictures[i] for i, _ in batch], [shaped[i][j] for i, j in batch])
            answers.append(self._keypoints(crops))
        # Only now a GPU is waited for: it works on a batch while the next one is uploaded.
        numbers = np.concatenate([answer.cpu().numpy() for answer in answers] or [np.zeros((0, kp.COUNT, 3))])
        for (i, j), of_one in zip(places, numbers, strict=True):
            found[i][0][j] = self._to_picture(of_one[:, :2], shaped[i][j])
            found[i][1][j] = of_one[:, 2]
        return found

    def _crops(self, pictures: Sequence[Picture], boxes: Sequence[FloatArray]) -> Tensor:
        """Return the crops (N, H, W, 3) uint8 RGB, one for each picture and its box."""
        if self._cropper is not None:
            return self._cropper(pictures, boxes)
        crops = [crop(picture, box, self.input_size) for picture, box in zip(pictures, boxes, strict=True)]
        return torch.from_numpy(np.stack(crops))

    def _batches(self, places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        for first in range(0, len(places), self.batch_size):
            yield places[first : first + self.batch_size]

    def _to_picture(self, cells: FloatArray, box: FloatArray) -> FloatArray:
        """Cells (17, 2) of the heatmaps of a box -> pixels of its picture."""
        width, height = self.input_size
        centre, scale = box_to_center_scale(box, width / height)
        return transform_points(cells, crop_inverse(centre, scale, (width // STRIDE, height // STRIDE)))


def _boxes(boxes: ArrayLike) -> FloatArray:
    array = np.asarray(boxes, np.float64)
    if array.size and (array.ndim > 2 or array.shape[-1] != 4):
        raise ValueError(f"boxes of a picture have the shape {array.shape}, expected (n, 4): x0, y0, x1, y1")
    return array.reshape(-1, 4)


def input_size_of(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return width and height of an HRNet's input, from its checkpoint ("288x384").

    Raises:
        InvalidWeights: the checkpoint does not tell them.
    """
    width, _, height = checkpoint.facts.get("input_size", "").partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidWeights(
            f"weights of {checkpoint.facts.get('name', 'an HRNet')}: the input size is unknown; "
            "name the variant, such as hrnet-w48-384x288"
        )
    return int(width), int(height)


def _load(state: Mapping[str, Tensor], width: int | None) -> nn.Module:
    tensors, found = hrnet_state(state)
    if width not in (None, found):
        raise InvalidWeights(f"weights of an HRNet of width {found}, expected {width}")
    network = build_hrnet(f"w{found}")
    network.load_state_dict(tensors)
    return network
