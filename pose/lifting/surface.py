"""Find the depth of the person's surface at each keypoint.

The depth pixel at a keypoint is not enough: it may be a hole in the depth map, a flying pixel between the
body and the background, or just outside the silhouette. So the depths in a window around each keypoint are
split into layers, and one layer for each joint is chosen such that all of them together form one body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.lifting import body_tree

# Metres, unless said otherwise. Tuned on rendered scans; the results change little near these values.
_WINDOW: Final = 0.08  # half the side of the window around a keypoint
_MAX_SAMPLES: Final = 12  # on either side of the keypoint: a window of more pixels is subsampled
_DISTANCE_SIGMA: Final = 0.022  # of the Gaussian weight of a sample's distance from the keypoint
_LAYER_GAP: Final = 0.05  # a larger step in depth separates two layers
_MAX_LAYERS: Final = 4
_FLYING_STEP: Final = 0.025  # a flying pixel has few neighbours that are closer than this in depth
_MIN_NEIGHBOURS: Final = 3
_MIN_LAYER_SHARE: Final = 0.02  # of the weight of all samples in a window
_QUANTILE: Final = 0.4  # a little nearer than the median: outside an edge, only farther depths are found
_BONE_SIGMA: Final = 0.22  # of the depth difference between joints that a bone connects
_BODY_SIGMA: Final = 0.45  # of the depth difference between a joint and the body as a whole
_MAX_PENALTY: Final = 9.0  # in squared sigmas
_MIN_DEPTH: Final = 0.15


@dataclass(frozen=True)
class Layer:
    """A surface near a keypoint.

    Attributes:
        depth: in metres.
        cost: of choosing it. It is higher for a layer that fills less of the window, that is farther from the
            keypoint, or whose depth is farther from that of the body.
        distance: |Δu| + |Δv| from the keypoint to the nearest sample of the layer, in depth pixels.
    """

    depth: float
    cost: float
    distance: float


@dataclass(frozen=True, eq=False)
class SurfaceDepth:
    """The surface at the 17 keypoints of a person.

    Attributes:
        layers: of each joint, at most four, those of the least cost first.
        depth: (17,) float64 metres, of the chosen layers. A joint without layers has the mean depth of its
            nearest neighbours in the body. NaN if no joint has any.
        distance: (17,) float64, `Layer.distance` of the chosen layer; inf for a joint without layers.
        observed: (17,) bool, whether the joint has a layer.
    """

    layers: tuple[tuple[Layer, ...], ...]
    depth: NDArray[np.float64]
    distance: NDArray[np.float64]
    observed: NDArray[np.bool_]


def surface_depth(depthmap: DepthMap, uv: NDArray[np.float64], scores: NDArray[np.float64]) -> SurfaceDepth:
    """Return the depth of the person's surface at each keypoint.

    Args:
        depthmap: a depth map of any size.
        uv: (17, 2) keypoints, in pixels of the depth map, possibly outside it.
        scores: (17,) of the keypoints. Those of higher scores have more weight in where the body is.
    """
    depth, distance = np.full(kp.COUNT, np.nan), np.full(kp.COUNT, np.inf)
    body = _body_depth(depthmap, uv, scores)
    if body is None:
        return SurfaceDepth(((),) * kp.COUNT, depth, distance, np.zeros(kp.COUNT, bool))
    layers = _layers(depthmap, uv, body, scores)
    depths = [np.array([layer.depth for layer in of_joint]) for of_joint in layers]
    costs = [np.array([layer.cost for layer in of_joint]) for of_joint in layers]
    chosen = body_tree.choose(
        costs, lambda joint, parent: _penalty(depths[joint][:, None] - depths[parent], _BONE_SIGMA)
    )
    for joint, choice in enumerate(chosen):
        if choice is not None:
            depth[joint] = layers[joint][choice].depth
            distance[joint] = layers[joint][choice].distance
    return SurfaceDepth(tuple(layers), body_tree.fill_missing(depth), distance, np.isfinite(depth))


def _body_depth(depthmap: DepthMap, uv: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    """Return the rough depth of the body: the median over the keypoints, weighted by score.

    The keypoints of the torso have double weight.
    """
    values, _, _ = _gather(depthmap.depth, uv, np.arange(-2, 3))  # (17, 25)
    known = np.where(values > _MIN_DEPTH, values, np.nan)
    measured = np.isfinite(known).any(axis=1)
    if not measured.any():
        return None
    # Not the median: around a keypoint outside the silhouette, most pixels are background.
    nearer = np.nanquantile(known[measured], 0.25, axis=1)
    weight = np.clip(scores, 0.05, 1.0)
    weight[list(kp.TORSO)] *= 2
    return _weighted_quantile(nearer, weight[measured], 0.5)


def _layers(
    depthmap: DepthMap, uv: NDArray[np.float64], body: float, scores: NDArray[np.float64]
) -> list[tuple[Layer, ...]]:
    """Return the layers around each keypoint; `body` is the rough depth of the body in metres."""
    metres_per_pixel = body / depthmap.intrinsics.fx
    extent = max(1, round(_WINDOW / metres_per_pixel))
    step = -(-extent // _MAX_SAMPLES)
    offsets = np.arange(-(extent // step), extent // step + 1) * step
    values, du, dv = _gather(depthmap.depth, uv, offsets)
    usable = (values > _MIN_DEPTH) & ~_flying_pixels(depthmap.depth, uv, offsets)
    squared = du**2 + dv**2
    weight = np.exp(-0.5 * squared * (metres_per_pixel / _DISTANCE_SIGMA) ** 2)
    distance = np.abs(du) + np.abs(dv)

    found: list[tuple[Layer, ...]] = []
    for joint in range(kp.COUNT):
        mask = usable[joint]
        order = np.argsort(values[joint, mask])
        depths, weights, distances = (each[joint, mask][order] for each in (values, weight, distance))
        if depths.size == 0:
            found.append(())
            continue
        cuts = np.flatnonzero(np.diff(depths) > _LAYER_GAP) + 1
        total = float(weights.sum())
        parts = zip(np.split(depths, cuts), np.split(weights, cuts), np.split(distances, cuts), strict=True)
        layers = []
        for part_depths, part_weights, part_distances in parts:
            share = float(part_weights.sum()) / total
            if share < _MIN_LAYER_SHARE:
                continue
            depth = _weighted_quantile(part_depths, part_weights, _QUANTILE)
            # A layer far from the rest of the body is probably the background, or something in front.
            off_body = min(((depth - body) / _BODY_SIGMA) ** 2, _MAX_PENALTY)
            cost = off_body * max(float(scores[joint]), 0.05) - float(np.log(share))
            layers.append(Layer(depth, cost, float(part_distances.min())))
        layers.sort(key=lambda layer: layer.cost)
        found.append(tuple(layers[:_MAX_LAYERS]))
    return found


def _gather(
    depth: NDArray[np.float32], uv: NDArray[np.float64], offsets: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the depths in a window around each point, 0 outside the map, and Δu, Δv: each (17, n * n)."""
    columns, rows = _window(uv, offsets)
    height, width = depth.shape
    in_map = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = np.where(in_map, depth[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)], 0)
    return values.astype(np.float32), columns - uv[:, :1], rows - uv[:, 1:]


def _window(uv: NDArray[np.float64], offsets: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return columns and rows of the pixels in a window around each point, each (17, n * n)."""
    nearest = np.rint(np.clip(uv, -1e6, 1e6)).astype(np.intp)
    dv, du = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
    return nearest[:, :1] + du, nearest[:, 1:] + dv


def _flying_pixels(
    depth: NDArray[np.float32], uv: NDArray[np.float64], offsets: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return which pixels of `_gather` are flying pixels: few of their eight neighbours have a similar depth.

    Time-of-flight sensors measure them at edges, somewhere between the body and the background.
    """
    columns, rows = _window(uv, offsets)
    height, width = depth.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    padded = np.pad(depth, 1, mode="edge")
    centre = padded[rows + 1, columns + 1]
    similar = np.zeros(centre.shape, np.intp)
    for dv in (0, 1, 2):
        for du in (0, 1, 2):
            if (dv, du) != (1, 1):
                similar += np.abs(padded[rows + dv, columns + du] - centre) < _FLYING_STEP
    return similar < _MIN_NEIGHBOURS


def _penalty(difference: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    return np.minimum((difference / sigma) ** 2, _MAX_PENALTY)


def _weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], quantile: float) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(cumulated, quantile * cumulated[-1]))])
