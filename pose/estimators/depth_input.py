"""Depth map -> input of the depth network, and its keypoints -> depth map."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap
from pose.geometry.orientation import turn_points, unturn_points

INPUT_SIZE: Final = (
    224,
    192,
)  # rows, columns; the upright map is resized to this, without keeping its aspect
CHANNELS: Final = 3
STRIDE: Final = 4

_MIDDLE, _SPREAD = 1.2, 0.6  # metres: children are scanned at 0.5 to 1.5 m
_HIGHEST = 2.0  # metres above the floor: no child is taller


def network_input(depthmap: DepthMap, turns: float, floor: float | None) -> NDArray[np.float32]:
    """Return (3, 224, 192) float32: depth, whether there is a measurement, height above the floor.

    All three are 0 where there is no measurement. Without a floor the third is 0 everywhere; the network then
    works less well. Values are scaled for the network: `depth_of` returns metres.

    Args:
        depthmap: of any size, sensor orientation.
        turns: clockwise quarter turns that make it upright. After 1 or 3 the map fills the input. After
            others it keeps its aspect, and its corners can be cut off if it is turned by a fraction.
        floor: world y of the floor in metres, or None.
    """
    depth = depthmap.depth
    there = (depth > 0).astype(np.float32)
    layers = [depth, there]
    if floor is not None:
        layers.append(_heights(depthmap, floor) * there)
    # The mean of measured pixels only: a hole (depth 0) must not bring its neighbours closer to the phone.
    shrunk = [_turned(layer, turns) for layer in layers]
    weight = shrunk[1]
    valid = weight > 0.3
    safe = np.where(valid, weight, 1)
    out = np.zeros((CHANNELS, *INPUT_SIZE), np.float32)
    out[0] = np.where(valid, np.clip((shrunk[0] / safe - _MIDDLE) / _SPREAD, -2, 4), 0)
    out[1] = valid
    if floor is not None:
        out[2] = np.where(valid, np.clip(shrunk[2] / safe, -0.5, _HIGHEST) * 2, 0)
    return out


def depth_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return metres (224, 192) from a network input (3, 224, 192); NaN where there is no measurement.

    Depths were limited to 0 to 3.6 m.
    """
    return np.where(image[1] > 0, image[0] * _SPREAD + _MIDDLE, np.nan).astype(np.float32)


def _turned(layer: NDArray[np.float32], turns: float) -> NDArray[np.float32]:
    """Return a layer (H, W) turned upright and resized to the input, 0 beyond its border."""
    size = (INPUT_SIZE[1], INPUT_SIZE[0])
    if turns % 2 == 1:
        upright = np.ascontiguousarray(np.rot90(layer, -int(turns)))
        shrinks = upright.shape[0] >= size[1] and upright.shape[1] >= size[0]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(upright, size, interpolation=way), np.float32)
    affine = _affine(turns, layer.shape[1], layer.shape[0])
    return np.asarray(cv2.warpAffine(layer, affine, size, flags=cv2.INTER_LINEAR), np.float32)


def _affine(turns: float, width: int, height: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from pixels of the depth map to pixels of the network input."""
    size = np.array([INPUT_SIZE[1], INPUT_SIZE[0]])
    # The longer side fits into the width. A pixel is stretched a little, as in a 4:3 map after 1 or 3 turns.
    longer = max(width, height)
    scale = size / np.array([longer, longer * 4 / 3])
    c, s = np.cos(turns * np.pi / 2), np.sin(turns * np.pi / 2)
    linear = scale[:, None] * np.array([[c, -s], [s, c]])  # v points down: this turns clockwise
    offset = (size - 1) / 2 - linear @ np.array([width - 1, height - 1]) / 2
    return np.column_stack((linear, offset))


def _heights(depthmap: DepthMap, floor: float) -> NDArray[np.float32]:
    """Height of each pixel's point above the floor (H, W), metres: one row of the world point's formula."""
    a, b, c = depthmap.rotation[1]
    across, up = depthmap.intrinsics.slopes()
    slope = (a * across + (b * up)[:, None] - c).astype(np.float32)
    return np.asarray(slope * depthmap.depth + np.float32(depthmap.translation[1] - floor), np.float32)


def picture_to_input(
    points: NDArray[np.float64], turns: float, width: int, height: int
) -> NDArray[np.float64]:
    """Pixels (..., 2) of a width x height depth map, sensor orientation -> pixels of the network input."""
    if turns % 2 != 1:
        affine = _affine(turns, width, height)
        return np.asarray(points @ affine[:, :2].T + affine[:, 2])
    upright = turn_points(points, int(turns), width, height)
    return (upright + 0.5) * (INPUT_SIZE[1] / height, INPUT_SIZE[0] / width) - 0.5


def input_to_picture(
    points: NDArray[np.float64], turns: float, width: int, height: int
) -> NDArray[np.float64]:
    """Return the exact inverse of `picture_to_input`, for the same arguments."""
    if turns % 2 != 1:
        affine = _affine(turns, width, height)
        return np.asarray((points - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T)
    upright = (points + 0.5) * (height / INPUT_SIZE[1], width / INPUT_SIZE[0]) - 0.5
    return unturn_points(upright, int(turns), width, height)
