"""Sensor model of a time-of-flight camera: from true depth to a measured depth map.

It imitates the artefacts of real phones' depth maps (see the plush scans of the format description): an
effective resolution of about half the map's, no depth at edges, small steps that are smoothed away (feet and
floor), low reflectance of hair and dark cloth, a border without measurements, a maximum range, and noise that
grows with distance. Each scan draws the strength of each artefact.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.synthetic.raycast import Hits, Shape

DepthArray = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> DepthArray:
    """Return smooth noise (H, W) with mean 0 and deviation about 1; `cell` is its scale in pixels."""
    rows, columns = (max(int(n / cell) + 2, 2) for n in shape)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    out = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(out * 1.3, np.float32)


def simulate_sensor(
    hits: Hits,
    shapes: list[Shape],
    scan_rng: np.random.Generator,
    frame_rng: np.random.Generator,
    *,
    careful: bool = False,
) -> tuple[DepthArray, DepthArray]:
    """Return the depth map that the phone would write.

    Args:
        hits: true depth of each pixel, and the index of its shape in `shapes`.
        scan_rng: draws what is constant within a scan: the phone's artefacts, dark clothes and furniture.
        frame_rng: draws what changes with each frame.
        careful: a phone without an unmeasured border, with a range of at least three metres.

    Returns:
        depth (H, W) float32 metres, 0 where nothing was measured, and confidence (H, W) float32 0..1.
    """
    shape = hits.depth.shape
    unit = shape[1] / 240  # sizes below are in pixels of a map with 240 columns
    depth = np.where(np.isfinite(hits.depth), hits.depth, 0).astype(np.float32)
    seen = depth > 0

    wrinkle = np.array([s.wrinkle for s in shapes] + [0.0], np.float32)[hits.index]
    depth += wrinkle * smooth_noise(frame_rng, shape, 5 * unit)
    depth, edges = _reduce_resolution(depth, seen, scan_rng, unit)

    a, b = scan_rng.uniform(0.0008, 0.004), scan_rng.uniform(0.0005, 0.004)
    grain = cv2.GaussianBlur(frame_rng.standard_normal(shape).astype(np.float32), (0, 0), 0.6) * 1.7
    depth += grain * (a + b * depth**2) + smooth_noise(frame_rng, shape, 40 * unit) * scan_rng.uniform(
        0, 0.006
    )

    lost = edges | ~seen
    lost |= _low_reflectance(hits, shapes, scan_rng, frame_rng, unit)
    max_range = (
        scan_rng.uniform(1.4, 2.6) if scan_rng.random() < 0.4 and not careful else scan_rng.uniform(3.0, 6.0)
    )
    lost |= depth * (1 + 0.04 * smooth_noise(frame_rng, shape, 12 * unit)) > max_range
    if not careful:
        lost |= _unmeasured_border(shape, scan_rng)
    if frame_rng.random() < 0.4:
        lost |= smooth_noise(frame_rng, shape, 9 * unit) > frame_rng.uniform(2.3, 3.2)
    depth[lost] = 0

    stray = frame_rng.random(shape) < scan_rng.uniform(0, 0.0015)
    depth[stray & ~lost] *= frame_rng.uniform(0.6, 1.3)
    depth = np.round(np.clip(depth, 0, 12), 3).astype(np.float32)
    reflectance = np.array([_REFLECTANCE.get(s.part, 0.6) for s in shapes] + [0.0], np.float32)[hits.index]
    confidence = reflectance / np.maximum(depth, 0.3) * 0.5 * (1 + 0.2 * grain)
    return depth, np.clip(np.where(depth > 0, np.maximum(confidence, 1 / 7), 0), 0, 1).astype(np.float32)


_REFLECTANCE = {"skin": 0.9, "head": 0.9, "floor": 0.35, "hair": 0.2, "wall": 0.8}
# Share of the scans in which a part returns next to no light. The order is that of the draws.
_DARK_PROBABILITY = {"hair": 0.45, "hat": 0.08, "top": 0.06, "bottom": 0.08}
_DARK_PROBABILITY |= {"shoe": 0.1, "furniture": 0.1, "mat": 0.03}


def _reduce_resolution(
    depth: DepthArray, seen: NDArray[np.bool_], scan_rng: np.random.Generator, unit: float
) -> tuple[DepthArray, NDArray[np.bool_]]:
    """Return depth at a lower resolution, and (H, W) bool: edges, where depth is lost."""
    height, width = depth.shape
    size = (width // 2, height // 2) if scan_rng.random() < 0.65 else (width, height)
    small = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
    valid = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    filled = np.where(valid > 0, small, 20.0).astype(np.float32)
    # Second differences, as a slanted floor has constant first differences and no edge.
    kernel = np.array([[1, -2, 1]], np.float32)
    bend = np.maximum(np.abs(cv2.filter2D(filled, -1, kernel)), np.abs(cv2.filter2D(filled, -1, kernel.T)))
    edges = bend > scan_rng.uniform(0.03, 0.09)
    if scan_rng.random() < 0.5:
        edges = cv2.dilate(edges.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    if scan_rng.random() < 0.4:  # the light source is beside the lens: shadows fall to one side
        by = round(scan_rng.integers(1, 5) * unit * size[0] / width) * int(scan_rng.choice([-1, 1]))
        edges |= np.roll(edges, by, axis=int(scan_rng.integers(0, 2)))
    if scan_rng.random() < 0.2:
        edges &= np.zeros_like(edges)  # a phone that fills holes: flying pixels remain
    sigma = scan_rng.uniform(0.3, 1.6) * max(unit * size[0] / width, 0.5)
    smooth = cv2.GaussianBlur(small, (0, 0), sigma)
    smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    lost = cv2.resize(edges.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(smooth, np.float32), lost


def _low_reflectance(
    hits: Hits,
    shapes: list[Shape],
    scan_rng: np.random.Generator,
    frame_rng: np.random.Generator,
    unit: float,
) -> NDArray[np.bool_]:
    """Return (H, W) bool: pixels of hair and dark clothes that return too little light."""
    weak = {
        part: scan_rng.uniform(0.2, 2.2)
        for part, chance in _DARK_PROBABILITY.items()
        if scan_rng.random() < chance
    }
    level = np.array([weak.get(s.part, -9.0) for s in shapes] + [-9.0], np.float32)[hits.index]
    return np.asarray(smooth_noise(frame_rng, hits.depth.shape, 6 * unit) < level - 0.7, np.bool_)


def _unmeasured_border(shape: tuple[int, int], scan_rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (H, W) bool: a border with rounded corners without measurements; every second phone has one."""
    height, width = shape
    out = np.zeros(shape, np.bool_)
    if scan_rng.random() < 0.5:
        return out
    top, bottom, left, right = (scan_rng.uniform(0, 0.09, 4) * scan_rng.uniform(0.3, 1.0)).tolist()
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    v, u = v / height, u / width
    out |= (v < top) | (v > 1 - bottom) | (u < left) | (u > 1 - right)
    corner = scan_rng.uniform(0.0, 0.12)
    x = np.maximum(np.maximum(left + corner - u, u - (1 - right - corner)), 0)
    y = np.maximum(np.maximum(top + corner - v, v - (1 - bottom - corner)), 0)
    return np.asarray(out | (np.hypot(x, y) > corner), np.bool_)
