"""The method of the original system, step by step: what `make bench` compares with.

Its networks are torchvision's Faster R-CNN and HRNet-w48 at 384x288, one frame at a time, in torch's eager
mode. The rest was pure Python; here it is NumPy and OpenCV, which is several times as fast.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pose.detectors import build_detector
from pose.estimators.detector import Detector
from pose.estimators.topdown import TopDown
from pose.geometry.depthmap import DepthMap
from pose.hrnet import build_hrnet
from pose.weights.registry import DEFAULT_DETECTOR

SIZE: Final = (640, 480)
_FLAT: Final = 0.5  # least |n_y| of an L1-normalised normal
_MIN_DEPTH: Final = 0.2
_COST_PER_METRE: Final = 10.0
_FACE: Final = 0.15  # metres, L1, from the middle of the eyes
_BLUR: Final = 20  # pixels


class EagerNetworks:
    """The published networks as the original runs them, with random weights.

    The time of a network does not depend on its weights; that of a detector's last steps does a little.
    """

    def __init__(self, device: str) -> None:
        self._detector = Detector(build_detector(DEFAULT_DETECTOR).state_dict(), DEFAULT_DETECTOR, device)
        self._pose = TopDown(build_hrnet("w48").state_dict(), 48, (384, 288), device, False, 1)

    @torch.inference_mode()
    def detect(self, picture: NDArray[np.uint8]) -> object:
        """Find the people in an upright picture (H, W, 3)."""
        return self._detector.detect([picture])

    @torch.inference_mode()
    def keypoints(self, picture: NDArray[np.uint8]) -> object:
        """Find the keypoints of one person, whose box is a part of the picture."""
        height, width = picture.shape[:2]
        box = np.array([[0.2 * width, 0.1 * height, 0.8 * width, 0.9 * height]])
        return self._pose.predict([picture], [box])


def rest_of_frame(
    rgb: NDArray[np.uint8], depthmap: DepthMap, keypoints: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, bytes]:
    """Return joints (17, 3) in metres, the height of the floor, and the JPEG file of the blurred picture.

    Args:
        rgb: (H, W, 3) uint8.
        depthmap: of the same view.
        keypoints: (17, 2) in pixels of the picture.
    """
    smooth = _smoothed(depthmap.depth)
    floor = _floor(depthmap, smooth)
    width, height = SIZE
    whole = DepthMap(
        smooth, None, depthmap.intrinsics, depthmap.rotation, depthmap.translation, depthmap.pose_known
    )
    large = whole.resized(width, height)
    picture = cv2.resize(rgb, SIZE)
    at = keypoints * (width / rgb.shape[1], height / rgb.shape[0])
    joints = np.array([_lifted(large, u, v) for u, v in at])
    blurred = _blurred(np.asarray(picture, np.uint8), large, joints[1:3].mean(axis=0))
    joints[:, 1] -= floor
    data: Any = cv2.imencode(".jpg", cv2.cvtColor(blurred, cv2.COLOR_RGB2BGR))[1]
    return joints, floor, data.tobytes()


def _smoothed(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over a 5-point cross; a pixel with an invalid neighbour becomes invalid."""
    padded = np.pad(depth, 1)
    cross = [padded[1:-1, 1:-1], padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    stacked = np.stack(cross)
    return np.where((stacked > 0).all(axis=0), stacked.mean(axis=0), 0).astype(np.float32)


def _floor(depthmap: DepthMap, depth: NDArray[np.float32]) -> float:
    """Return the median height of the pixels whose normal points up or down."""
    points = depthmap.unproject(np.arange(depthmap.width), np.arange(depthmap.height)[:, None], depth)
    normal = np.cross(points[1:, 1:] - points[1:, :-1], points[1:, 1:] - points[:-1, 1:])
    share = np.abs(normal[..., 1]) / np.maximum(np.abs(normal).sum(axis=2), 1e-12)
    flat = (share > _FLAT) & (depth[1:, 1:] > 0)
    return float(np.median(points[1:, 1:, 1][flat])) if flat.any() else 0.0


def _lifted(depthmap: DepthMap, u: float, v: float) -> NDArray[np.float64]:
    """Return the world point of the pixel with the least |Δu| + |Δv| + 10 depth."""
    depth = depthmap.depth
    columns, rows = np.arange(depthmap.width), np.arange(depthmap.height)[:, None]
    cost = np.abs(columns - u) + np.abs(rows - v) + _COST_PER_METRE * depth
    row, column = np.unravel_index(np.argmin(np.where(depth >= _MIN_DEPTH, cost, np.inf)), depth.shape)
    return depthmap.unproject(column, row, depth[row, column])


def _blurred(picture: NDArray[np.uint8], depthmap: DepthMap, head: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the picture with the mean of 20x20 pixels where a pixel's point is near the head."""
    near = (np.abs(depthmap.points() - head).sum(axis=2) < _FACE) & (depthmap.depth > 0)
    return np.where(near[..., None], cv2.blur(picture, (_BLUR, _BLUR)), picture).astype(np.uint8)
