"""What the depth map shows around a head: hair and hats, or the hole that it leaves where nothing is shown.

All places are in pixels of the depth map, and `reach` is the radius there of the ball that holds the head.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap

# In head radii.
_HAIR: Final = 1.35  # hair and hats are looked for this far from the middle
_BEHIND: Final = 0.9  # and this far behind the skin; the floor under a lying head is farther
_TOUCHES: Final = 1.2  # a hole nearer to the middle than this may be the head's,
_BELOW: Final = 0.3  # unless it lies farther down than this
_ABOVE: Final = 0.8  # of a hole that is larger than a head a disc is taken, this far above the middle
_REACH: Final = 2.0  # and of this radius

# In metres.
_NARROW: Final = 0.045  # radius of the smallest head: a narrower hole hides none; a body's rim is one
_LARGEST: Final = 0.20  # and of the largest, with its hair, hat and what a sensor loses around it
_USUAL: Final = 0.11  # a head that is not seen is taken for at least so large

_SHOWN: Final = 0.4  # of the head, by the depth map: with less of it the head is not shown

_SHOULDERS: Final = np.array([kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER])


def hair(
    depthmap: DepthMap, centre: NDArray[np.float64], reach: float, depth: float, radius: float,
    at: NDArray[np.float64], trusted: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], bool]:  # fmt: skip
    """Points (N, 2) around what the depth map shows of the head beyond the ball: hair, a bun, a hat.

    Said too: whether it shows the head at all.
    """
    limit = _HAIR * reach
    values, away = _around(depthmap, centre, limit)
    if values.size == 0:
        return np.empty((0, 2)), True
    distance = np.linalg.norm(away, axis=-1)
    near = (values > depth - 2 * radius) & (values < depth + _BEHIND * radius) & (distance <= limit)
    inside = distance <= 0.7 * reach
    shown = bool(near[inside].sum() >= _SHOWN * inside.sum())
    if trusted[_SHOULDERS].any():
        # Towards the shoulders there is a neck and a chest, and no hair that would show a face.
        down = at[_SHOULDERS[trusted[_SHOULDERS]]].mean(axis=0) - centre
        length = float(np.linalg.norm(down))
        if length > 0.5 * reach:
            near &= away @ (down / length) < 0.7 * reach
    return _edge(_touching(near, inside), away, centre), shown


def hole(
    depthmap: DepthMap, centre: NDArray[np.float64], reach: float, metre: float,
    up: NDArray[np.float64] | None,
) -> NDArray[np.float64]:  # fmt: skip
    """Points (N, 2) around the hole that a head may have left at the upper end of a body.

    A network that sees a body without a head puts the head's keypoints into the neck or the chest. Then the
    head is the hole above. One that is no larger than a head is taken whole.

    Args:
        metre: pixels that a metre takes at the head.
        up: (2,) of length 1, from the hips to the shoulders; None where that is not known: then any way.
    """
    size = max(reach, _USUAL * metre)
    values, away = _around(depthmap, centre, 2 * _REACH * size)
    if values.size == 0:
        return np.empty((0, 2))
    way = np.zeros(2) if up is None else up
    upward = away @ way >= -_BELOW * reach
    touched = upward & (np.linalg.norm(away, axis=-1) <= _TOUCHES * reach)
    found = _touching(_blobs(values <= 0, _NARROW * metre), touched)
    if found.sum() > np.pi * (_LARGEST * metre) ** 2:  # what is behind the head is not seen either
        found &= upward & (np.linalg.norm(away - _ABOVE * size * way, axis=-1) <= _REACH * size)
    return _edge(found, away, centre)


def _around(
    depthmap: DepthMap, centre: NDArray[np.float64], limit: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Depths (h, w) of the square about a point, as far as the map reaches, and their places from it."""
    left, top = np.maximum(np.floor(centre - limit), 0).astype(int)
    right, bottom = np.ceil(centre + limit).astype(int) + 1
    values = depthmap.depth[top : max(bottom, 0), left : max(right, 0)]
    at = np.stack(np.meshgrid(np.arange(values.shape[1]) + left, np.arange(values.shape[0]) + top), axis=-1)
    return values, at - centre


def _touching(wanted: NDArray[np.bool_], seed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those connected parts of what is wanted that touch the seed."""
    _, labels = cv2.connectedComponents(wanted.astype(np.uint8), connectivity=8)
    return np.asarray(wanted & np.isin(labels, np.unique(labels[wanted & seed])))


def _blobs(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """A mask without what is thinner than a radius."""
    side = 2 * max(1, round(radius)) + 1
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, round_) > 0


def _edge(
    chosen: NDArray[np.bool_], away: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points (N, 2) around pixels of a square about a point."""
    if not chosen.any():
        return np.empty((0, 2))
    # A sensor loses the outermost pixel of what it sees.
    corners = np.array([(-1.5, 0), (1.5, 0), (0, -1.5), (0, 1.5)])
    edge = cv2.convexHull((away[chosen] + centre).astype(np.float32)).reshape(-1, 2)
    return np.asarray((edge[:, None] + corners).reshape(-1, 2), np.float64)
