"""What the depth map shows around a head: hair and hats, or the hole that it leaves where nothing is shown.

All places are in pixels of the depth map, and `reach` is the radius there of the ball that holds the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.depthmap import DepthMap

# In head radii.
_HAIR: Final = 1.35  # hair and hats are looked for this far from the middle
_HOLE: Final = 2.5  # and holes this far
_HEAD_HOLE: Final = 1.6  # radius of the largest that a head alone leaves
_SHOWN: Final = 0.4  # of the head, by the depth map: with less of it the head is a hole
_BEHIND: Final = 0.9  # and this far behind the skin; the floor under a lying head is farther

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


def is_hole(depthmap: DepthMap, middle: NDArray[np.float64], reach: float) -> bool:
    """Whether the depth map shows next to nothing about a point."""
    values, away = _around(depthmap, middle, reach)
    near = values[np.linalg.norm(away, axis=-1) <= reach]
    return bool(near.size and (near > 0).mean() < _SHOWN)


def hole(depthmap: DepthMap, middles: Sequence[NDArray[np.float64]], reach: float) -> NDArray[np.float64]:
    """Points (N, 2) around the holes of the depth map where a head may have left them."""
    parts = [np.empty((0, 2))]
    for middle in middles:
        values, away = _around(depthmap, middle, _HOLE * reach)
        if values.size == 0:
            continue
        distance = np.linalg.norm(away, axis=-1)
        found = _touching(_blobs((values <= 0) & (distance <= _HOLE * reach), 0.4 * reach), distance <= reach)
        if found.sum() > np.pi * (_HEAD_HOLE * reach) ** 2:
            found &= distance <= _HEAD_HOLE * reach  # no head's alone: what is behind it is not seen either
        parts.append(_edge(found, away, middle))
    return np.concatenate(parts)


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
    """A mask without what is thinner than a radius: a body's rim is a hole in any depth map."""
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
