"""The floor's height in the world, from the pixels that face upwards."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap

Method = Literal["lowest", "median"]

MIN_PIXELS: Final = 50
MIN_SHARE: Final = 0.005  # of all pixels: fewer than this are no floor

# For "lowest". Widths are in metres.
_REACH: Final = 3  # pixels between the points that make a normal: one pixel is lost in a sensor's noise
_UPWARD: Final = 0.85  # n_y of a unit normal; about 32 degrees off the vertical
_BIN: Final = 0.01
_LEVEL: Final = (0.5, 1.0, 0.5)  # how three bins make a level: with more a thin mat joins the floor
_SUBSTANTIAL: Final = 0.05  # of the strongest level
_AROUND: Final = 0.02  # heights this near belong to a level
_BELOW_CAMERA: Final = 0.2
_DEEPEST: Final = 4.0  # below the camera; a phone in a hand is not higher


def normals(depthmap: DepthMap, reach: int = 1) -> NDArray[np.float32]:
    """Unit normals of the surface at each pixel, pointing towards the camera, in world axes.

    The depth is smoothed with a 5-point cross first. A normal comes from a pixel and those `reach` pixels
    to its left and above it.

    Args:
        depthmap: of any size.
        reach: at least 1; larger is steadier and blurs edges.

    Returns:
        (H, W, 3) float32; 0, 0, 0 where one of the pixels or a neighbour of it has no depth, and along
        the upper and left borders.
    """
    return _surface(depthmap, reach)[1]


def floor_height(depthmap: DepthMap, method: Method = "lowest") -> float | None:
    """World y of the floor in metres.

    Args:
        depthmap: with its pose.
        method: "median" is what the original system does: the median height of all pixels whose
            L1-normalised normal has |n_y| > 0.5. Tables, beds and a child's flat parts pull it up.
            "lowest" is the lowest level, at least 0.2 m below the camera, that holds a substantial part
            of the upward-facing pixels (5 % of the level that holds the most). It is still wrong where
            next to nothing of the floor is seen, and up to 3 cm too high on a thin mat with little around
            it; mirror images below a polished floor could pull it down.

    Returns:
        None where the pose is unknown, so that nothing tells which way is up, or where too few pixels
        face upwards.
    """
    if method not in ("lowest", "median"):
        raise ValueError(f"method is {method!r}, expected 'lowest' or 'median'")
    if not depthmap.pose_known:
        return None
    enough = max(MIN_PIXELS, MIN_SHARE * depthmap.depth.size)
    if method == "median":
        height, normal = _surface(depthmap, 1)
        flat = np.abs(normal[..., 1]) > 0.5 * np.abs(normal).sum(axis=2)
        return float(np.median(height[flat])) if np.count_nonzero(flat) >= enough else None
    height, normal = _surface(depthmap, _REACH)
    return _lowest_level(height[normal[..., 1] > _UPWARD], float(depthmap.translation[1]), enough)


def _lowest_level(heights: NDArray[np.float32], camera: float, enough: float) -> float | None:
    heights = heights[(heights < camera - _BELOW_CAMERA) & (heights > camera - _DEEPEST)]
    if heights.size < enough:
        return None
    bottom = float(heights.min())
    counts = np.bincount(((heights - bottom) / _BIN).astype(np.intp), minlength=len(_LEVEL))
    levels = np.convolve(counts, _LEVEL, mode="same")
    wanted = max(enough, _SUBSTANTIAL * float(levels.max()))
    at = int(np.argmax(levels >= wanted))
    if levels[at] < wanted:
        return None
    # The first one that is full enough lies on the peak's lower flank.
    while at + 1 < levels.size and levels[at + 1] > levels[at]:
        at += 1
    level = bottom + (at + 0.5) * _BIN
    for _ in range(2):  # the second time around what the first found
        level = float(np.median(heights[np.abs(heights - level) <= _AROUND]))
    return level


def _surface(depthmap: DepthMap, reach: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """World y (H, W) and unit normals (H, W, 3) of the smoothed depth."""
    depth = _smoothed(depthmap.depth)
    height, width = depth.shape
    across, up = (slope.astype(np.float32) for slope in depthmap.intrinsics.slopes())
    x, y = across * depth, up[:, None] * depth
    rotation = depthmap.rotation.astype(np.float32)
    world_y = rotation[1, 0] * x + rotation[1, 1] * y - rotation[1, 2] * depth
    world_y += np.float32(depthmap.translation[1])

    normal = np.zeros((height, width, 3), np.float32)
    if height <= reach or width <= reach:
        return world_y, normal
    # In camera axes, which is a third of the work: the cross product turns with the camera.
    here, left, above = np.s_[reach:, reach:], np.s_[reach:, :-reach], np.s_[:-reach, reach:]
    ax, ay, az = x[here] - x[above], y[here] - y[above], depth[above] - depth[here]
    bx, by, bz = x[here] - x[left], y[here] - y[left], depth[left] - depth[here]
    cross = np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1)
    length = np.sqrt(np.einsum("ijk,ijk->ij", cross, cross))
    known = (depth[here] > 0) & (depth[left] > 0) & (depth[above] > 0) & (length > 0)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=known)
    normal[here] = (cross * scale[..., None]) @ rotation.T
    return world_y, normal


def _smoothed(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over a 5-point cross; 0 where one of the five has no depth. The border repeats outwards."""
    padded = np.pad(depth, 1, mode="edge")
    cross = (depth, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    total = depth.copy()
    known = depth > 0
    for neighbour in cross[1:]:
        total += neighbour
        known &= neighbour > 0
    total *= np.float32(0.2)
    total[~known] = 0
    return total
