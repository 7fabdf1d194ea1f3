"""Find the floor: its height in the world, from the pixels whose surface faces upwards."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pose.checks import check_choice, check_type
from pose.geometry.depthmap import DepthMap

Method = Literal["lowest", "median"]

MIN_PIXELS: Final = 50
MIN_SHARE: Final = 0.005  # of all pixels: with fewer, no floor is found

# For "lowest". Lengths are in metres.
_SPACING: Final = 3  # pixels between the points of a normal: over one pixel, noise hides the slope
_UPWARD: Final = 0.85  # least n_y of a unit normal: about 32 degrees off the vertical
_BIN: Final = 0.01  # of the histogram of heights
_KERNEL: Final = (0.5, 1.0, 0.5)  # smooths the histogram; a wider one would merge a thin mat with the floor
_MIN_OF_HIGHEST: Final = 0.05  # the floor's peak has at least this share of the highest peak
_TOLERANCE: Final = 0.02  # heights this close to a peak belong to it
_MIN_BELOW_CAMERA: Final = 0.2
_MAX_BELOW_CAMERA: Final = 4.0  # nobody holds a phone higher above the floor


def floor_height(depthmap: DepthMap, method: Method = "lowest") -> float | None:
    """Return the floor's height: its world y in metres.

    Args:
        depthmap: a depth map with its pose.
        method: "lowest" takes the lowest peak in the histogram of the heights of upward-facing pixels, at
            least 0.2 m below the camera and with at least 5 % of the pixels of the highest peak. It can
            still be wrong if almost no floor is seen, up to 3 cm too high on a thin mat with little floor
            around it, and too low if a polished floor mirrors the room. "median" is the method of the
            original system: the median height of all pixels whose L1-normalised normal has |n_y| > 0.5.
            Tables, beds and flat parts of the child pull it up.

    Returns:
        None if the pose is unknown, so that gravity is unknown too, or if too few pixels face upwards.

    Raises:
        ValueError: there is no such method, or `depthmap` is none.
    """
    check_type(depthmap, DepthMap, "depthmap")
    check_choice(method, get_args(Method), "method")
    if not depthmap.pose_known:
        return None
    enough = max(MIN_PIXELS, MIN_SHARE * depthmap.depth.size)
    if method == "median":
        height, normal = heights_and_normals(depthmap, 1)
        flat = np.abs(normal[..., 1]) > 0.5 * np.abs(normal).sum(axis=2)
        return float(np.median(height[flat])) if np.count_nonzero(flat) >= enough else None
    height, normal = heights_and_normals(depthmap, _SPACING)
    return _lowest_peak(height[normal[..., 1] > _UPWARD], float(depthmap.translation[1]), enough)


def _lowest_peak(heights: NDArray[np.float32], camera: float, enough: float) -> float | None:
    heights = heights[(heights < camera - _MIN_BELOW_CAMERA) & (heights > camera - _MAX_BELOW_CAMERA)]
    if heights.size < enough:
        return None
    bottom = float(heights.min())
    counts = np.bincount(((heights - bottom) / _BIN).astype(np.intp), minlength=len(_KERNEL))
    smoothed = np.convolve(counts, _KERNEL, mode="same")
    threshold = max(enough, _MIN_OF_HIGHEST * float(smoothed.max()))
    index = int(np.argmax(smoothed >= threshold))
    if smoothed[index] < threshold:
        return None
    # The lowest bin above the threshold is on the lower side of the peak: climb to the top.
    while index + 1 < smoothed.size and smoothed[index + 1] > smoothed[index]:
        index += 1
    floor = bottom + (index + 0.5) * _BIN
    for _ in range(2):  # the second pass is centred on the median of the first
        floor = float(np.median(heights[np.abs(heights - floor) <= _TOLERANCE]))
    return floor


def heights_and_normals(depthmap: DepthMap, spacing: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the height and the unit normal of the surface at each pixel, in world axes.

    The depth is smoothed with a 5-point cross first.

    Args:
        depthmap: a depth map of any size, with its pose.
        spacing: a normal comes from three pixels: one, and those so many pixels to its left and above it. A
            larger value gives less noise and more blur at edges.

    Returns:
        World y, (H, W) float32 metres, and unit normals towards the camera, (H, W, 3) float32. A normal is
        0, 0, 0 if one of its three pixels or of their neighbours has no depth, and along the upper and left
        borders.
    """
    depth = _smoothed(depthmap.depth)
    height, width = depth.shape
    x_slope, y_slope = (slope.astype(np.float32) for slope in depthmap.intrinsics.slopes())
    x, y = x_slope * depth, y_slope[:, None] * depth
    rotation = depthmap.rotation.astype(np.float32)
    world_y = rotation[1, 0] * x + rotation[1, 1] * y - rotation[1, 2] * depth
    world_y += np.float32(depthmap.translation[1])

    normal = np.zeros((height, width, 3), np.float32)
    if height <= spacing or width <= spacing:
        return world_y, normal
    # Take the cross product in camera axes and rotate it: a third of the work of rotating the points.
    pixel, left, above = np.s_[spacing:, spacing:], np.s_[spacing:, :-spacing], np.s_[:-spacing, spacing:]
    ax, ay, az = x[pixel] - x[above], y[pixel] - y[above], depth[above] - depth[pixel]
    bx, by, bz = x[pixel] - x[left], y[pixel] - y[left], depth[left] - depth[pixel]
    cross = np.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), axis=-1)
    length = np.sqrt(np.einsum("ijk,ijk->ij", cross, cross))
    known = (depth[pixel] > 0) & (depth[left] > 0) & (depth[above] > 0) & (length > 0)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=known)
    normal[pixel] = (cross * scale[..., None]) @ rotation.T
    return world_y, normal


def _smoothed(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over a 5-point cross, 0 if one of the five has no depth. The border is repeated."""
    padded = np.pad(depth, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    total = depth.copy()
    known = depth > 0
    for neighbour in neighbours:
        total += neighbour
        known &= neighbour > 0
    total *= np.float32(0.2)
    total[~known] = 0
    return total
