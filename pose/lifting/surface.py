"""How far the person's skin is at each keypoint.

A keypoint alone does not tell: it may lie in a hole of the depth map, on a pixel that flies between the
body and the wall, or just past the silhouette. So the depths around each keypoint are parted into layers,
and of the layers of all joints those are taken that make one body together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.lifting import body_tree

# Metres, unless said otherwise. Found on rendered scans; none of them is sharp.
_WINDOW: Final = 0.08  # half the side of the square that is looked at
_MAX_REACH: Final = 12  # samples on either side: larger windows are thinned out
_NEAR_WEIGHT: Final = 0.022  # the sigma with which a sample's weight falls off with its distance
_GAP: Final = 0.05  # depths further apart than this are different layers
_MAX_LAYERS: Final = 4
_FLYING: Final = 0.025  # a pixel is flying when too few neighbours are this near in depth
_FLYING_NEIGHBOURS: Final = 3
_QUANTILE: Final = 0.4  # a little nearer than the median: past an edge there is only farther
_BONE: Final = 0.22  # depth differences between neighbouring joints of about this are usual
_BODY: Final = 0.45  # and this of a joint from the middle of the body
_MAX_PENALTY: Final = 9.0
_MIN_DEPTH: Final = 0.15


@dataclass(frozen=True)
class Layer:
    """A surface near a keypoint.

    Attributes:
        depth: in metres.
        cost: of taking it; the less of the surroundings it fills, and the less near, the more.
        distance: |Δu| + |Δv| from the keypoint to its nearest sample, in depth pixels.
    """

    depth: float
    cost: float
    distance: float


@dataclass(frozen=True, eq=False)
class SurfaceDepth:
    """What `find` found.

    Attributes:
        layers: of each joint, the cheapest first, at most four.
        middle: rough depth of the whole body in metres; NaN where nothing at all was found.
        depth: (17,) float64 metres, of the layers that make one body; for joints without any, that of the
            nearest ones along the body. NaN where nothing at all was found.
        distance: (17,) float64, of that layer; inf where there is none.
        observed: (17,) bool, where there is one.
    """

    layers: tuple[tuple[Layer, ...], ...]
    middle: float
    depth: NDArray[np.float64]
    distance: NDArray[np.float64]
    observed: NDArray[np.bool_]


def surface_depth(depthmap: DepthMap, at: NDArray[np.float64], scores: NDArray[np.float64]) -> SurfaceDepth:
    """Depth of the skin at each keypoint.

    Args:
        depthmap: of any size.
        at: (17, 2) u, v in pixels of the depth map, maybe outside of it.
        scores: (17,) of the keypoints: the surer ones say where the body is.
    """
    middle = _body_depth(depthmap, at, scores)
    if middle is None:
        nothing = np.full(kp.COUNT, np.nan)
        none: tuple[tuple[Layer, ...], ...] = ((),) * kp.COUNT
        return SurfaceDepth(none, np.nan, nothing, np.full(kp.COUNT, np.inf), np.zeros(kp.COUNT, bool))
    layers = _layers(depthmap, at, middle, scores)
    depths = [np.array([layer.depth for layer in found]) for found in layers]
    costs = [np.array([layer.cost for layer in found]) for found in layers]
    chosen = body_tree.choose(
        costs, lambda joint, parent: _penalty(depths[joint][:, None] - depths[parent], _BONE)
    )
    depth, distance = np.full(kp.COUNT, np.nan), np.full(kp.COUNT, np.inf)
    for joint, choice in enumerate(chosen):
        if choice is not None:
            depth[joint] = layers[joint][choice].depth
            distance[joint] = layers[joint][choice].distance
    observed = np.isfinite(depth)
    return SurfaceDepth(tuple(layers), middle, body_tree.spread(depth), distance, observed)


def _body_depth(depthmap: DepthMap, at: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    """Rough depth of the body: weighted median over the keypoints, the trunk's counting double."""
    reach = np.arange(-2, 3)
    values, _, _ = _gather(depthmap.depth, at, reach)  # (17, 25)
    known = np.where(values > _MIN_DEPTH, values, np.nan)
    has = np.isfinite(known).any(axis=1)
    if not has.any():
        return None
    # Near the near end of what is there: a keypoint past the edge sees more of the wall than of the body.
    each = np.nanquantile(known[has], 0.25, axis=1)
    weight = np.clip(scores, 0.05, 1.0)
    weight[list(kp.TORSO)] *= 2
    return _weighted_quantile(each, weight[has], 0.5)


def _layers(
    depthmap: DepthMap, at: NDArray[np.float64], middle: float, scores: NDArray[np.float64]
) -> list[tuple[Layer, ...]]:
    """The layers of depth around each keypoint, each with what it costs to take it."""
    pixel = middle / depthmap.intrinsics.fx  # metres a pixel, about
    extent = max(1, round(_WINDOW / pixel))
    step = -(-extent // _MAX_REACH)
    offsets = np.arange(-(extent // step), extent // step + 1) * step
    values, du, dv = _gather(depthmap.depth, at, offsets)
    keep = (values > _MIN_DEPTH) & ~_flying(depthmap.depth, at, offsets)
    squared = du**2 + dv**2
    weight = np.exp(-0.5 * squared * (pixel / _NEAR_WEIGHT) ** 2)
    away = np.abs(du) + np.abs(dv)

    found: list[tuple[Layer, ...]] = []
    for joint in range(kp.COUNT):
        mask = keep[joint]
        depths = values[joint, mask]
        if depths.size == 0:
            found.append(())
            continue
        order = np.argsort(depths)
        depths, weights, distances = depths[order], weight[joint, mask][order], away[joint, mask][order]
        cuts = np.flatnonzero(np.diff(depths) > _GAP) + 1
        total = float(weights.sum())
        parts = zip(np.split(depths, cuts), np.split(weights, cuts), np.split(distances, cuts), strict=True)
        layers = []
        for part_depths, part_weights, part_distances in parts:
            share = float(part_weights.sum()) / total
            if share < 0.02:
                continue
            depth = _weighted_quantile(part_depths, part_weights, _QUANTILE)
            # Far from the rest of the body: rather what is behind or before it.
            astray = min(((depth - middle) / _BODY) ** 2, _MAX_PENALTY) * max(float(scores[joint]), 0.05)
            layers.append(Layer(depth, astray - float(np.log(share)), float(part_distances.min())))
        layers.sort(key=lambda layer: layer.cost)
        found.append(tuple(layers[:_MAX_LAYERS]))
    return found


def _gather(
    depth: NDArray[np.float32], at: NDArray[np.float64], offsets: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Depths in a square about each point, 0 outside the map, and their distances in u and v: (17, n·n)."""
    columns, rows = _square(at, offsets)
    height, width = depth.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = np.where(inside, depth[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)], 0)
    return values.astype(np.float32), columns - at[:, :1], rows - at[:, 1:]


def _square(at: NDArray[np.float64], offsets: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows of the pixels in a square about each point, each (17, n·n)."""
    nearest = np.rint(np.clip(at, -1e6, 1e6)).astype(np.intp)
    down, right = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
    return nearest[:, :1] + right, nearest[:, 1:] + down


def _flying(
    depth: NDArray[np.float32], at: NDArray[np.float64], offsets: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which pixels of `_gather` hang in the air: few of their eight neighbours are near in depth."""
    columns, rows = _square(at, offsets)
    height, width = depth.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    padded = np.pad(depth, 1, mode="edge")
    here = padded[rows + 1, columns + 1]
    near = np.zeros(here.shape, np.intp)
    for dv in (0, 1, 2):
        for du in (0, 1, 2):
            if (dv, du) != (1, 1):
                near += np.abs(padded[rows + dv, columns + du] - here) < _FLYING
    return near < _FLYING_NEIGHBOURS


def _penalty(difference: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    return np.minimum((difference / usual) ** 2, _MAX_PENALTY)


def _weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], quantile: float) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(cumulated, quantile * cumulated[-1]))])
