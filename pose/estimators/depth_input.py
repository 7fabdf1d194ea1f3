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


def network_input(depthmap: DepthMap, turns: int, floor: float | None) -> NDArray[np.float32]:
    """Return (3, 224, 192) float32: depth, whether there is a measurement, height above the floor.

    All three are 0 where there is no measurement. Without a floor the third is 0 everywhere; the network then
    works less well. Values are scaled for the network: `depth_of` returns metres.

    Args:
        depthmap: of any size, sensor orientation.
        turns: clockwise quarter turns that make it upright (`orientation.turns_for_step`).
        floor: world y of the floor in metres, or None.
    """
    depth = depthmap.depth
    there = (depth > 0).astype(np.float32)
    layers = [depth, there]
    if floor is not None:
        layers.append(_heights(depthmap, floor) * there)
    upright = [np.ascontiguousarray(np.rot90(layer, -turns)) for layer in layers]
    size = (INPUT_SIZE[1], INPUT_SIZE[0])
    # The mean of measured pixels only: a hole (depth 0) must not bring its neighbours closer to the phone.
    shrunk = [cv2.resize(layer, size, interpolation=_interpolation(upright[0].shape)) for layer in upright]
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


def _interpolation(shape: tuple[int, ...]) -> int:
    return cv2.INTER_AREA if shape[0] >= INPUT_SIZE[0] and shape[1] >= INPUT_SIZE[1] else cv2.INTER_LINEAR


def _heights(depthmap: DepthMap, floor: float) -> NDArray[np.float32]:
    """Height of each pixel's point above the floor (H, W), metres: one row of the world point's formula."""
    a, b, c = depthmap.rotation[1]
    across, up = depthmap.intrinsics.slopes()
    slope = (a * across + (b * up)[:, None] - c).astype(np.float32)
    return np.asarray(slope * depthmap.depth + np.float32(depthmap.translation[1] - floor), np.float32)


def picture_to_input(points: NDArray[np.float64], turns: int, width: int, height: int) -> NDArray[np.float64]:
    """Pixels (..., 2) of a width x height depth map, sensor orientation -> pixels of the network input."""
    upright = turn_points(points, turns, width, height)
    w, h = (height, width) if turns % 2 else (width, height)
    return (upright + 0.5) * (INPUT_SIZE[1] / w, INPUT_SIZE[0] / h) - 0.5


def input_to_picture(points: NDArray[np.float64], turns: int, width: int, height: int) -> NDArray[np.float64]:
    """Return the exact inverse of `picture_to_input`, for the same arguments."""
    w, h = (height, width) if turns % 2 else (width, height)
    upright = (points + 0.5) * (w / INPUT_SIZE[1], h / INPUT_SIZE[0]) - 0.5
    return unturn_points(upright, turns, width, height)
