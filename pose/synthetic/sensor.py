"""The time-of-flight sensor: what becomes of true depth on its way into a depth map.

The habits are those of real phones' depth maps (see the plush scans of the format description): an effective
resolution of about half the map's, edges that return nothing, small steps that melt into one another (feet
into the floor), hair and dark cloth that return little, a frame around the map without any measurement, a
far limit, noise that grows with distance. Every scan draws its own strength of each.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.synthetic.raycast import Hits, Shape

DepthArray = NDArray[np.float32]


def blobs(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> DepthArray:
    """Smooth noise (H, W) with mean 0 and deviation about 1; `cell` is the size of its blobs in pixels."""
    rows, columns = (max(int(n / cell) + 2, 2) for n in shape)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    out = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(out * 1.3, np.float32)


def sense(
    hits: Hits,
    shapes: list[Shape],
    scan: np.random.Generator,
    frame: np.random.Generator,
    *,
    careful: bool = False,
) -> tuple[DepthArray, DepthArray]:
    """A depth map as the phone would write it.

    Args:
        hits: true depth of each pixel, and the number of its shape in `shapes`.
        scan: draws what belongs to the phone, the clothes and the room; `frame` what changes each time.
        careful: a phone that measures up to its map's borders and as far as the room goes.

    Returns:
        depth (H, W) float32 metres, 0 where nothing was measured, and confidence (H, W) float32 0..1.
    """
    shape = hits.depth.shape
    unit = shape[1] / 240  # widths below are meant for 240 columns
    depth = np.where(np.isfinite(hits.depth), hits.depth, 0).astype(np.float32)
    seen = depth > 0

    wrinkle = np.array([s.wrinkle for s in shapes] + [0.0], np.float32)[hits.index]
    depth += wrinkle * blobs(frame, shape, 5 * unit)
    depth, edges = _melt(depth, seen, scan, unit)

    a, b = scan.uniform(0.0008, 0.004), scan.uniform(0.0005, 0.004)
    grain = cv2.GaussianBlur(frame.standard_normal(shape).astype(np.float32), (0, 0), 0.6) * 1.7
    depth += grain * (a + b * depth**2) + blobs(frame, shape, 40 * unit) * scan.uniform(0, 0.006)

    lost = edges | ~seen
    lost |= _unreflecting(hits, shapes, scan, frame, unit)
    reach = scan.uniform(1.4, 2.6) if scan.random() < 0.4 and not careful else scan.uniform(3.0, 6.0)
    lost |= depth * (1 + 0.04 * blobs(frame, shape, 12 * unit)) > reach
    if not careful:
        lost |= _frame_of_nothing(shape, scan)
    if frame.random() < 0.4:
        lost |= blobs(frame, shape, 9 * unit) > frame.uniform(2.3, 3.2)
    depth[lost] = 0

    stray = frame.random(shape) < scan.uniform(0, 0.0015)
    depth[stray & ~lost] *= frame.uniform(0.6, 1.3)
    depth = np.round(np.clip(depth, 0, 12), 3).astype(np.float32)
    light = np.array([_REFLECTS.get(s.part, 0.6) for s in shapes] + [0.0], np.float32)[hits.index]
    confidence = light / np.maximum(depth, 0.3) * 0.5 * (1 + 0.2 * grain)
    return depth, np.clip(np.where(depth > 0, np.maximum(confidence, 1 / 7), 0), 0, 1).astype(np.float32)


_REFLECTS = {"skin": 0.9, "head": 0.9, "floor": 0.35, "hair": 0.2, "wall": 0.8}
# In what share of the scans a part returns next to nothing, in this order of draws.
_DARK = {"hair": 0.45, "hat": 0.08, "top": 0.06, "bottom": 0.08}
_DARK |= {"shoe": 0.1, "furniture": 0.1, "mat": 0.03}


def _melt(
    depth: DepthArray, seen: NDArray[np.bool_], scan: np.random.Generator, unit: float
) -> tuple[DepthArray, NDArray[np.bool_]]:
    """Lowers the resolution; steps too high to be smoothed over become edges without depth."""
    height, width = depth.shape
    half = scan.random() < 0.65
    size = (width // 2, height // 2) if half else (width, height)
    small = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
    there = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    filled = np.where(there > 0, small, 20.0).astype(np.float32)
    # The second difference: a slanted floor has steps between its pixels too, but even ones.
    kernel = np.array([[1, -2, 1]], np.float32)
    bend = np.maximum(np.abs(cv2.filter2D(filled, -1, kernel)), np.abs(cv2.filter2D(filled, -1, kernel.T)))
    edges = bend > scan.uniform(0.03, 0.09)
    if scan.random() < 0.5:
        edges = cv2.dilate(edges.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    if scan.random() < 0.4:  # the light source sits beside the lens: its shadow falls to one side
        by = round(scan.integers(1, 5) * unit * size[0] / width) * int(scan.choice([-1, 1]))
        edges |= np.roll(edges, by, axis=int(scan.integers(0, 2)))
    if scan.random() < 0.2:
        edges &= np.zeros_like(edges)  # a phone that fills in, so that flying pixels stay
    sigma = scan.uniform(0.3, 1.6) * max(unit * size[0] / width, 0.5)
    smooth = cv2.GaussianBlur(small, (0, 0), sigma)
    back = (width, height)
    smooth = cv2.resize(smooth, back, interpolation=cv2.INTER_LINEAR)
    lost = cv2.resize(edges.astype(np.uint8), back, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(smooth, np.float32), lost


def _unreflecting(
    hits: Hits, shapes: list[Shape], scan: np.random.Generator, frame: np.random.Generator, unit: float
) -> NDArray[np.bool_]:
    """Hair, and at times a dark garment, that sends too little light back."""
    weak = {part: scan.uniform(0.2, 2.2) for part, chance in _DARK.items() if scan.random() < chance}
    level = np.array([weak.get(s.part, -9.0) for s in shapes] + [-9.0], np.float32)[hits.index]
    return np.asarray(blobs(frame, hits.depth.shape, 6 * unit) < level - 0.7, np.bool_)


def _frame_of_nothing(shape: tuple[int, int], scan: np.random.Generator) -> NDArray[np.bool_]:
    """Rounded margins in which a phone measures nothing."""
    height, width = shape
    out = np.zeros(shape, np.bool_)
    if scan.random() < 0.5:
        return out
    top, bottom, left, right = (scan.uniform(0, 0.09, 4) * scan.uniform(0.3, 1.0)).tolist()
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    v, u = v / height, u / width
    out |= (v < top) | (v > 1 - bottom) | (u < left) | (u > 1 - right)
    corner = scan.uniform(0.0, 0.12)
    x = np.maximum(np.maximum(left + corner - u, u - (1 - right - corner)), 0)
    y = np.maximum(np.maximum(top + corner - v, v - (1 - bottom - corner)), 0)
    return np.asarray(out | (np.hypot(x, y) > corner), np.bool_)
