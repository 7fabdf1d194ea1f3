"""Cut boxes out of pictures on a GPU, to the last bit as `crop` does on the CPU.

Of each picture only what the box needs is uploaded. OpenCV's `warpAffine` rounds positions to 1/32 of a
pixel and computes with integers, and so does this. A crop is not turned against its picture: columns of the
crop depend on columns of the picture only, and rows on rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose.estimators.crop import box_to_center_scale, crop_matrix
from pose.estimators.gpu import as_stored

Picture = NDArray[np.uint8]
Integers = NDArray[np.int64]

_PARTS: Final = 32  # of a pixel: OpenCV's INTER_TAB_SIZE
_SCALE: Final = 1024  # its AB_SCALE: positions are summed as integers of this fraction of a pixel


class GPUCropper:
    """Cuts boxes out of pictures on a device, beside what the device computes at the time.

    Args:
        input_size: width and height of the crops.
        device: a GPU; or the CPU, in a test.
    """

    def __init__(self, input_size: tuple[int, int], device: torch.device) -> None:
        self._size = input_size
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, pictures: Sequence[Picture], boxes: Sequence[NDArray[np.float64]]) -> Tensor:
        """Return the crops (N, height, width, 3) uint8 on the device, one for each picture and its box.

        Raises:
            ValueError: a box is invalid, see `crop`.
        """
        packed = _pack(pictures, boxes, self._size, pinned=self._stream is not None)
        if self._stream is None:
            return _cut(*packed)
        with torch.cuda.stream(self._stream):
            crops = _cut(*(each.to(self._device, non_blocking=True) for each in packed))
        here = torch.cuda.current_stream(self._device)
        here.wait_stream(self._stream)
        crops.record_stream(here)
        return crops


def _pack(
    pictures: Sequence[Picture], boxes: Sequence[NDArray[np.float64]], size: tuple[int, int], pinned: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put what the boxes need of their pictures into one piece of memory.

    Returns:
        The pixels (bytes,); of each box the positions (N, width) and (N, height) in its part of the picture,
        in 1/32 pixels; and of each part (N, 5) the place of its pixel in the first row and column, the steps
        to the next row and to the next column in bytes, and its numbers of rows and columns.
    """
    lines, layouts, across, down = [], [], [], []
    used = 0
    for picture, box in zip(pictures, boxes, strict=True):
        positions = _positions(box, size)
        stored, swapped, backwards = as_stored(picture)
        outer, inner = (1, 0) if swapped else (0, 1)  # axes of the picture, in the order of its memory
        needed, positions[outer] = _needed(positions[outer], picture.shape[outer])
        first, last = _range(positions[inner], picture.shape[inner])
        positions[inner] -= first * _PARTS
        count, step, start = last - first, 3, used
        if outer in backwards:
            needed = picture.shape[outer] - 1 - needed
        if inner in backwards:
            first, step, start = picture.shape[inner] - last, -step, start + 3 * (count - 1)
        lines.append((stored[:, first : first + count], needed))
        # In the order of the axes: rows, columns.
        steps, counts = [3 * count, step], [len(needed), count]
        layouts.append([start, *steps[:: -1 if swapped else 1], *counts[:: -1 if swapped else 1]])
        down.append(positions[0])
        across.append(positions[1])
        used += 3 * count * len(needed)
    pixels, used = torch.empty(used, dtype=torch.uint8, pin_memory=pinned), 0
    for part, needed in lines:
        shape = (len(needed), *part.shape[1:])
        end = used + int(np.prod(shape))
        torch.index_select(
            torch.from_numpy(part), 0, torch.from_numpy(needed), out=pixels[used:end].view(shape)
        )
        used = end
    tables = (torch.from_numpy(np.array(each, np.int64)) for each in (across, down, layouts))
    across_, down_, layout = (each.pin_memory() if pinned else each for each in tables)
    return pixels, across_, down_, layout


def _positions(box: NDArray[np.float64], size: tuple[int, int]) -> list[Integers]:
    """Return where rows (height,) and columns (width,) of a crop are in the picture, in 1/32 pixels.

    As OpenCV rounds them (modules/imgproc/src/imgwarp.cpp, `WarpAffineInvoker`).
    """
    centre, scale = box_to_center_scale(box, size[0] / size[1])
    back = cv2.invertAffineTransform(crop_matrix(centre, scale, size))
    columns, rows = np.arange(size[0]), np.arange(size[1])
    # Columns are rounded before they are added, rows after that.
    across = np.rint(back[0, 0] * columns * _SCALE) + np.rint(back[0, 2] * _SCALE)
    down = np.rint((back[1, 1] * rows + back[1, 2]) * _SCALE)
    half = _SCALE // _PARTS // 2
    return [(each.astype(np.int64) + half) // (_SCALE // _PARTS) for each in (down, across)]


def _needed(positions: Integers, length: int) -> tuple[Integers, Integers]:
    """Return the pixels of an axis that positions (1/32 pixels) need, and the positions among these alone.

    A crop that is smaller than its box needs two of each few pixels: less has to be copied.
    """
    pixels = positions // _PARTS
    needed = np.unique(np.clip(np.concatenate([pixels, pixels + 1]), 0, length - 1))
    numbers = np.where(pixels < 0, pixels, np.searchsorted(needed, pixels))
    return needed, numbers * _PARTS + positions % _PARTS


def _range(positions: Integers, length: int) -> tuple[int, int]:
    """Return the first pixel that is needed and the one after the last: at least one, in the picture."""
    first = int(np.clip(positions[0] // _PARTS, 0, length - 1))
    return first, int(np.clip(positions[-1] // _PARTS + 2, first + 1, length))


def _cut(pixels: Tensor, across: Tensor, down: Tensor, layout: Tensor) -> Tensor:
    """What `_pack` returns, on a device -> the crops (N, height, width, 3) uint8."""
    first, by_row, by_column, rows, columns = (each[:, None] for each in layout.unbind(1))
    channels = torch.arange(3, device=pixels.device)
    total = torch.full((1,), _PARTS * _PARTS // 2, dtype=torch.int32, device=pixels.device)
    for row_places, row_weights in _neighbours(down, rows):
        for column_places, column_weights in _neighbours(across, columns):
            start = first + row_places * by_row
            places = start[:, :, None] + (column_places * by_column)[:, None]
            weights = row_weights[:, :, None] * column_weights[:, None]
            total = total + pixels[places[..., None] + channels].int() * weights[..., None]
    return (total // (_PARTS * _PARTS)).to(torch.uint8)


def _neighbours(positions: Tensor, count: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Positions (N, n) in 1/32 pixels -> the two pixels beside each, and their weights in 1/32.

    Beyond the edge the weight is 0. (The picture is black there.)
    """
    place, part = positions // _PARTS, positions % _PARTS
    found = []
    for pixel, weight in ((place, _PARTS - part), (place + 1, part)):
        inside = (pixel >= 0) & (pixel < count)
        found.append((torch.minimum(pixel.clamp_min(0), count - 1), (weight * inside).int()))
    return found
