"""What the depth map shows around a head: hair and hats, or a hole where the sensor lost the head.

All pixels are those of the depth map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap

# In radii of the ball that holds the head.
_HAIR: Final = 1.35  # search hair and hats this far from the middle
_HAIR_BEHIND: Final = 0.9  # and this far behind the face; the floor under a lying head is farther
_FACE: Final = 0.7  # the inner part of the ball: the face, and the side of the neck and chest
_NECK: Final = 0.5  # if the shoulders are nearer than this, their direction is not known
_TOUCHING: Final = 1.2  # a hole that begins within this distance may be the head's,
_BELOW: Final = 0.3  # unless it lies farther down than this
_CROWN: Final = 0.8  # of a hole larger than a head, keep a disc this far above the middle
_CROWN_RADIUS: Final = 2.0  # and of this radius

# Radii of heads in metres.
_SMALLEST: Final = 0.045  # a narrower hole hides no head: the rim of a body is one
_LARGEST: Final = 0.20  # with hair, hat and what a sensor loses around them
_USUAL: Final = 0.11  # a head that left a hole is taken to be at least this large

_MIN_SEEN: Final = 0.4  # share of the inner ball at the head's depth; with less, the head is not confirmed


@dataclass(frozen=True, eq=False)
class HeadBall:
    """The ball that holds a head.

    Attributes:
        centre: (2,) u, v of its middle.
        radius_px: its radius in pixels of the depth map.
        radius: its radius in metres, as it follows from the body's size.
        surface_depth: metres from the camera to the head's surface.
    """

    centre: NDArray[np.float64]
    radius_px: float
    radius: float
    surface_depth: float


def hair_outline(
    depthmap: DepthMap, ball: HeadBall, shoulders: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Return an outline (N, 2) of what the depth map shows of the head beyond the ball: hair, a bun, a hat.

    Args:
        depthmap: of any size.
        ball: that holds the head.
        shoulders: (0 to 2, 2) u, v of the shoulders that are known. Towards them there is no hair, but a
            neck and a chest.

    Returns:
        The outline, and whether the depth map shows the head at all.
    """
    radius_px, depth, radius = ball.radius_px, ball.surface_depth, ball.radius
    limit = _HAIR * radius_px
    values, offsets = _window(depthmap, ball.centre, limit)
    if values.size == 0:
        return np.empty((0, 2)), True
    distance = np.linalg.norm(offsets, axis=-1)
    near = (values > depth - 2 * radius) & (values < depth + _HAIR_BEHIND * radius) & (distance <= limit)
    inner = distance <= _FACE * radius_px
    seen = bool(near[inner].sum() >= _MIN_SEEN * inner.sum())
    if len(shoulders):
        down = shoulders.mean(axis=0) - ball.centre
        length = float(np.linalg.norm(down))
        if length > _NECK * radius_px:
            near &= offsets @ (down / length) < _FACE * radius_px
    return _outline(_connected_to(inner, near), offsets, ball.centre), seen


def hole_outline(depthmap: DepthMap, ball: HeadBall, up: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return an outline (N, 2) of the hole that a head may have left at the upper end of a body.

    A network that sees a body without a head puts the head's keypoints into the neck or the chest. Then the
    hole above is the head. A hole larger than any head is cut to where the head can be.

    Args:
        depthmap: of any size.
        ball: that holds the head according to its keypoints.
        up: (2,) of length 1, from the hips to the shoulders; None if unknown: then a hole may lie anywhere.
    """
    radius_px = ball.radius_px
    pixels_per_metre = depthmap.intrinsics.fx / ball.surface_depth
    size = max(radius_px, _USUAL * pixels_per_metre)
    values, offsets = _window(depthmap, ball.centre, 2 * _CROWN_RADIUS * size)
    if values.size == 0:
        return np.empty((0, 2))
    up = np.zeros(2) if up is None else up
    above = offsets @ up >= -_BELOW * radius_px
    touching = above & (np.linalg.norm(offsets, axis=-1) <= _TOUCHING * radius_px)
    hole = _connected_to(touching, _without_thin_parts(values <= 0, _SMALLEST * pixels_per_metre))
    if hole.sum() > np.pi * (_LARGEST * pixels_per_metre) ** 2:  # what is behind the head has no depth either
        hole &= above & (np.linalg.norm(offsets - _CROWN * size * up, axis=-1) <= _CROWN_RADIUS * size)
    return _outline(hole, offsets, ball.centre)


def _window(
    depthmap: DepthMap, centre: NDArray[np.float64], half_side: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the depths (h, w) in a square, as far as the map reaches, and their offsets (h, w, 2)."""
    left, top = np.maximum(np.floor(centre - half_side), 0).astype(int)
    right, bottom = np.ceil(centre + half_side).astype(int) + 1
    values = depthmap.depth[top : max(bottom, 0), left : max(right, 0)]
    at = np.stack(np.meshgrid(np.arange(values.shape[1]) + left, np.arange(values.shape[0]) + top), axis=-1)
    return values, at - centre


def _connected_to(seed: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected components of a mask that touch the seed."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(mask & np.isin(labels, np.unique(labels[mask & seed])))


def _without_thin_parts(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return a mask without the parts that hold no disc of this radius (morphological opening)."""
    side = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0


def _outline(
    mask: NDArray[np.bool_], offsets: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return points (N, 2) around the masked pixels of a window."""
    if not mask.any():
        return np.empty((0, 2))
    # Go one pixel farther: a sensor loses the outermost pixel of what it sees.
    corners = np.array([(-1.5, 0), (1.5, 0), (0, -1.5), (0, 1.5)])
    edge = cv2.convexHull((offsets[mask] + centre).astype(np.float32)).reshape(-1, 2)
    return np.asarray((edge[:, None] + corners).reshape(-1, 2), np.float64)
