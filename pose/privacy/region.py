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
    TRUNK = "trunk"  # where the trunk ends
    OUTSIDE = "outside"  # the picture ends below the shoulders: nothing to redact
    LOW_CONFIDENCE = "low confidence"  # a detection that counts as nobody
    TEMPORAL = "temporal"  # the frames before and after
    FACE_DETECTOR = "face detector"  # the face detector, in the picture


class HeadNotPlaced(Exception):
    """It is not certain where a person's head is. The text says why."""


@dataclass(frozen=True, eq=False)
class HeadRegion:
    """What must be covered of one person's head, in pixels of the picture.

    Attributes:
        centre: u, v of the head's middle.
        radius_px: of the ball.
        outline: (N, 2) int32, a convex polygon, maybe partly or wholly outside the picture; empty if the
            picture ends below the shoulders.
        placed_by: what told where the head is.
        radius: of the ball in metres, NaN where it is not known.
        depth: of its middle in metres, NaN where it is not known.
        shown: whether the depth map shows it. Of one that it does not show the place is a guess, which is
            covered widely, and tells other frames nothing.
    """

    centre: tuple[float, float]
    radius_px: float
    outline: NDArray[np.int32]
    placed_by: PlacedBy
    radius: float = math.nan
    depth: float = math.nan
    shown: bool = True


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of a frame.

    Attributes:
        regions: to be covered.
        reason: why it is not certain that these are all, for a person to read; None if it is.
    """

    regions: tuple[HeadRegion, ...]
    reason: str | None = None


def region_mask(regions: Sequence[HeadRegion], picture_size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool, True on all pixels of the regions."""
    mask = np.zeros((picture_size[1], picture_size[0]), np.uint8)
    for region in regions:
        if len(region.outline):
            cv2.fillConvexPoly(mask, region.outline, 1)
    return mask.astype(bool)


def disc(centre: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """(48, 2) corners of a polygon around a circle, not in it."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.asarray(centre + radius * 1.003 * np.column_stack((np.cos(angle), np.sin(angle))))


def hull(points: NDArray[np.float64], picture_size: tuple[int, int]) -> NDArray[np.int32]:
    """Convex hull in whole pixels of the picture."""
    # Far outside the picture a polygon says no more than just outside; huge ones overflow when drawn.
    width, height = picture_size
    at = np.clip(points, (-width, -height), (2 * width, 2 * height))
    return np.asarray(cv2.convexHull(np.rint(at).astype(np.int32)).reshape(-1, 2))
