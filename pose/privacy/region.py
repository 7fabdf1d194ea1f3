"""Regions of a picture that must be redacted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray


class PlacedBy(StrEnum):
    """What told where a head is."""

    HEAD = "head"  # the head's own keypoints
    TRUNK = "trunk"  # the position and direction of the trunk
    OUTSIDE = "outside"  # the picture ends below the shoulders: nothing to redact
    LOW_CONFIDENCE = "low confidence"  # a low-confidence detection
    TEMPORAL = "temporal"  # another frame of the scan
    FACE_DETECTOR = "face detector"  # the face detector, in the picture


class HeadNotPlaced(Exception):
    """Raised when it is not certain where a person's head is. The text says why."""


@dataclass(frozen=True, eq=False)
class HeadRegion:
    """The region of one head, in pixels of the picture.

    Attributes:
        centre: u, v of the head's middle.
        radius_px: radius of the ball that holds the head.
        outline: (N, 2) int32, a convex polygon, maybe partly or wholly outside the picture; empty if the
            picture ends below the shoulders.
        placed_by: what told where the head is.
        radius: of the ball in metres; NaN if unknown.
        depth: of the ball's middle in metres; NaN if unknown.
        depth_confirmed: whether the depth map shows the head. If not, its place is a guess: the region is
            larger, and it is not propagated to other frames.
    """

    centre: tuple[float, float]
    radius_px: float
    outline: NDArray[np.int32]
    placed_by: PlacedBy
    radius: float = math.nan
    depth: float = math.nan
    depth_confirmed: bool = True


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of a frame.

    Attributes:
        regions: to redact.
        reason: why some head may be missing, for a person to read; None if all heads are known.
    """

    regions: tuple[HeadRegion, ...]
    reason: str | None = None


def region_mask(regions: Sequence[HeadRegion], picture_size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return an (H, W) bool mask, True on all pixels of the regions.

    Args:
        regions: in pixels of the picture.
        picture_size: width, height.
    """
    mask = np.zeros((picture_size[1], picture_size[0]), np.uint8)
    for region in regions:
        if len(region.outline):
            cv2.fillConvexPoly(mask, region.outline, 1)
    return mask.astype(bool)


def disc(centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the (48, 2) corners of a polygon that holds a whole circle."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.asarray(centre + radius * 1.003 * np.column_stack((np.cos(angle), np.sin(angle))))


def hull(points: NDArray[np.float64], picture_size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the convex hull (M, 2) of points (N, 2), in whole pixels of the picture.

    >>> sorted(hull(np.array([(0, 0), (4, 0), (1, 1), (0, 4)]), (8, 8)).tolist())
    [[0, 0], [0, 4], [4, 0]]
    """
    # Clip points far outside the picture: OpenCV overflows when it draws huge polygons.
    width, height = picture_size
    at = np.clip(points, (-width, -height), (2 * width, 2 * height))
    return np.asarray(cv2.convexHull(np.rint(at).astype(np.int32)).reshape(-1, 2))
