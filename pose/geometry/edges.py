"""Edges of pictures and depth maps, as fields that can be compared with each other.

A field is (H, W, 2) float32: strength x (cos 2a, sin 2a), where a is the direction of the gradient. Doubling
the angle makes an edge from dark to bright equal to one from bright to dark: a picture and a depth map need
only agree on where an edge lies and how it runs (normalised gradient fields: Haber and Modersitzki,
"Intensity gradient based registration and fusion of multi-modal images", 2006).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
_Floats = NDArray[np.float32]

_BLUR: Final = 1.1  # pixels: how far two edges may be apart and still support each other

# Depth: relative steps of the inverse depth from one pixel to the next. Below the first value they are noise,
# above the second they are edges.
_STEP: Final = (0.006, 0.02)
_SLOPE_SIGMA: Final = 3.0  # slopes of floors and walls are constant over so many pixels, and are removed
_OF_STRONGEST: Final = 0.4  # weaker edges close to a strong one are side lobes of it
_MEASURED: Final = 0.3  # share of a pixel's measurements that must be there
_WIDE: Final = np.ones((7, 7), np.uint8)  # a hole in which this fits is wide
_FAR: Final = 2.0  # percentile of the inverse depths that a background out of range gets
_RIM: Final = 0.15  # share of each side in which some phones do not measure
_MARGIN: Final = 3  # pixels at the border of the depth map, where gradients are wrong

# Picture: the gradient is relative to the mean around it, so that dim parts count as much as bright ones.
_NOISE: Final = 0.7  # sigma of the blur against noise
_AROUND: Final = 6.0
_FLAT: Final = 4.0  # squared grey levels; a picture without any edges stays without


def depth_edges(depth: _Floats, size: tuple[int, int]) -> Field:
    """Return the edges of a depth map (H, W) in metres, 0 = no measurement.

    The field has `size`, width and height. Holes are filled from the nearest measurements: most lie along the
    outlines of things, and then the edge is in the middle of the hole. Wide ones that reach the border are
    taken for a background out of range. The border of the measured area is no edge.
    """
    measured = cv2.resize((depth > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # The inverse depth of a plane is linear over the picture: it has a slope, but no edges.
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 0.05), 0).astype(np.float32)
    mean = np.asarray(cv2.resize(inverse, size, interpolation=cv2.INTER_AREA) / np.maximum(measured, 1e-6))
    holes = measured <= _MEASURED
    if holes.all():
        return np.zeros((*holes.shape, 2), np.float32)
    wide = _wide_at_border(holes)
    filled = _fill_from_nearest(mean.astype(np.float32), holes)
    filled[wide] = np.percentile(mean[~holes], _FAR)
    relative = filled / np.median(mean[~holes])
    smooth = cv2.GaussianBlur(cv2.medianBlur(relative.astype(np.float32), 3), (0, 0), 0.7)
    slopes = cv2.GaussianBlur(smooth, (0, 0), _SLOPE_SIGMA)
    edges, strength = _gradient(np.asarray(smooth - slopes, np.float32))

    low, high = _STEP
    weight = np.clip((strength - low) / (high - low), 0, 1)
    weight *= strength > _OF_STRONGEST * cv2.dilate(strength, np.ones((9, 9), np.uint8))
    weight *= _local_maxima(strength, edges)
    weight[_border(wide)] = 0
    return np.asarray(cv2.GaussianBlur(edges * weight[..., None], (0, 0), _BLUR), np.float32)


def picture_edges(picture: NDArray[np.uint8]) -> Field:
    """Return the edges of a picture (H, W, 3) uint8."""
    smooth = np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _NOISE), np.float32)
    across, down = _sobel(smooth)
    xx, yy, xy = (across * across).sum(2), (down * down).sum(2), (across * down).sum(2)  # over the colours
    energy = xx + yy
    weight = np.sqrt(energy / (energy + cv2.GaussianBlur(energy, (0, 0), _AROUND) + _FLAT))
    edges = np.stack([xx - yy, 2 * xy], axis=-1) / (energy + 1e-9)[..., None]
    weight *= _local_maxima(energy, edges)
    return np.asarray(cv2.GaussianBlur(edges * weight[..., None], (0, 0), _BLUR), np.float32)


def mirrored(edges: Field) -> Field:
    """Return the edges of the mirror image, left and right exchanged."""
    return np.ascontiguousarray(edges[:, ::-1] * np.array([1, -1], np.float32))


def half_turned(edges: Field) -> Field:
    """Return the edges of the picture turned by half."""
    return np.ascontiguousarray(edges[::-1, ::-1])


def zoomed(edges: Field, factor: float) -> Field:
    """Return the edges of the picture zoomed about its middle, at the same size."""
    height, width = edges.shape[:2]
    x, y = (1 - factor) * (width - 1) / 2, (1 - factor) * (height - 1) / 2
    matrix = np.array([[factor, 0, x], [0, factor, y]])
    return np.asarray(cv2.warpAffine(edges, matrix, (width, height)), np.float32)


def _sobel(values: _Floats) -> tuple[_Floats, _Floats]:
    """Return the gradient per pixel, across and down."""
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _gradient(values: _Floats) -> tuple[Field, _Floats]:
    """Return the directions of the gradient (H, W, 2), double angle, and its strength (H, W)."""
    across, down = _sobel(values)
    squared = across * across + down * down + 1e-24
    edges = np.stack([across * across - down * down, 2 * across * down], axis=-1) / squared[..., None]
    return np.asarray(edges, np.float32), np.asarray(np.sqrt(squared), np.float32)


def _local_maxima(strength: _Floats, edges: Field) -> NDArray[np.bool_]:
    """Return (H, W) bool: where the strength is a maximum along the gradient, as in Canny's detector."""
    angle = np.arctan2(edges[..., 1], edges[..., 0]) / 2
    x, y = np.cos(angle), np.sin(angle)
    rows, columns = np.indices(strength.shape, np.float32)
    ahead = cv2.remap(strength, columns + x, rows + y, cv2.INTER_LINEAR)
    behind = cv2.remap(strength, columns - x, rows - y, cv2.INTER_LINEAR)
    return np.asarray((strength >= ahead) & (strength >= behind))


def _fill_from_nearest(values: _Floats, holes: NDArray[np.bool_]) -> _Floats:
    """Return the values (H, W), those of holes taken from the nearest pixel that is none."""
    _, nearest = cv2.distanceTransformWithLabels(
        holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(nearest.max() + 1, np.float32)
    of_label[nearest[~holes]] = values[~holes]
    return of_label[nearest]


def _wide_at_border(holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (H, W) bool: the wide parts of holes that reach the border."""
    _, labels = cv2.connectedComponents(holes.astype(np.uint8), connectivity=4)
    at_border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    reaching = np.isin(labels, at_border[at_border > 0]).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(reaching, cv2.MORPH_OPEN, _WIDE) > 0)


def _border(wide: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (H, W) bool: a frame about the depth map, and the edges of wide holes near it."""
    border = cv2.dilate(wide.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    rows, columns = (round(side * _RIM) for side in wide.shape)
    border[rows:-rows, columns:-columns] = False
    border[:_MARGIN] = border[-_MARGIN:] = True
    border[:, :_MARGIN] = border[:, -_MARGIN:] = True
    return np.asarray(border)
