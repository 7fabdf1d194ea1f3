"""Measure whether a picture and a depth map show the same view.

The outlines of things are edges in both. So the edges of the depth map are laid over those of the picture:
where the calibration says, at all other places up to a quarter of the picture away, and over the picture
zoomed, mirrored and turned. If one of these fits clearly better than the place that the calibration says,
picture and depth map are misaligned. If one of them shows no edges at all, every place fits alike.

The score of a place is the correlation of the two fields of edges (`geometry.edges`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.geometry import edges
from pose.geometry.edges import Field
from pose.geometry.view import View

# Standard deviations. Of rendered pictures as they are, about 0.5 % are below (`make alignment`).
LIMIT: Final = -0.8

_SIDE: Final = 160  # pixels of the longer side of a field
_REACH: Final = 0.25  # shifts that are tried, of each side
# Pixels of a field. Real cameras are up to 2 pixels off their calibration; from the second value on, a place
# is another one.
_SAME_PLACE: Final = 2.0
_OTHER_PLACE: Final = 2.8
_ZOOMS: Final = (0.8, 0.9, 1.1, 1.25)

# What may have been done to the picture, and the edges of the picture after it was undone.
_CHANGES: Final[dict[str, Callable[[Field], Field]]] = {
    "shift": lambda field: field,
    "mirror": edges.mirrored,
    "mirror upside down": lambda field: edges.half_turned(edges.mirrored(field)),
    "half turn": edges.half_turned,
    **{f"zoom {zoom:g}": partial(edges.zoomed, factor=1 / zoom) for zoom in _ZOOMS},
}


@dataclass(frozen=True)
class Alignment:
    """How well a picture and a depth map agree. Scores are in standard deviations over all places.

    Attributes:
        score: of the place that the calibration says.
        other: the highest score of any other place, or of the picture changed.
        change: the change of the picture with that score: "shift", "zoom 1.25", "mirror", ….
    """

    score: float
    other: float
    change: str

    @property
    def margin(self) -> float:
        """How much better the calibration's place fits than any other; negative if another fits better."""
        return self.score - self.other

    @property
    def misaligned(self) -> bool:
        """Whether another place fits better than the calibration's, by more than chance."""
        return self.margin < LIMIT


def measure_alignment(picture: NDArray[np.uint8], view: View) -> Alignment:
    """Return how well a picture (H, W, 3) uint8 agrees with its depth map.

    The figures mean nothing for a view that does not fit its calibration (`View.fits`).
    """
    height, width = view.depthmap.depth.shape
    scale = _SIDE / max(width, height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    depth = edges.depth_edges(view.depthmap.depth, size)
    shown = edges.picture_edges(_picture_in_depth_pixels(picture, view, size))

    padded = tuple(cv2.getOptimalDFTSize(side + round(side * _REACH)) for side in size)
    of_depth = _spectrum(depth, padded)
    scores = {}
    for change, undo in _CHANGES.items():
        spectrum = cv2.mulSpectrums(_spectrum(undo(shown), padded), of_depth, 0, conjB=True)
        scores[change] = _within_reach(np.asarray(cv2.idft(spectrum)[..., 0], np.float32), size)

    changed = np.stack([scores[change] for change in scores if change != "shift"])
    mean, deviation = float(changed.mean()), float(changed.std()) + 1e-6
    distance = _distances(size)
    best = {change: float(of_change.max()) for change, of_change in scores.items()}
    best["shift"] = float(scores["shift"][distance >= _OTHER_PLACE].max())
    change = max(best, key=best.__getitem__)
    here = float(scores["shift"][distance <= _SAME_PLACE].max())
    return Alignment((here - mean) / deviation, (best[change] - mean) / deviation, change)


def _picture_in_depth_pixels(
    picture: NDArray[np.uint8], view: View, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return what the picture shows at the pixels of the depth map, resized to `size`, (h, w, 3) uint8."""
    width, height = size
    # Resizing keeps the picture's corners in place, and so half a pixel more than the outer pixels' centres.
    step = np.array([view.depthmap.width / width, view.depthmap.height / height])
    corners = (np.array([(0.0, 0.0), (1.0, 1.0)]) + 0.5) * step - 0.5
    first, second = view.to_picture(corners)  # the mapping is linear along each axis
    per_pixel = second - first
    shrunk_size = [
        int(np.clip(round(side / by), 16, side))
        for side, by in zip(view.picture_size, per_pixel.tolist(), strict=True)
    ]
    shrunk = cv2.resize(picture, shrunk_size, interpolation=cv2.INTER_AREA)
    by = np.array(shrunk_size) / view.picture_size
    (x, y), (dx, dy) = (first + 0.5) * by - 0.5, per_pixel * by
    return np.asarray(
        cv2.warpAffine(
            shrunk,
            np.array([[dx, 0, x], [0, dy, y]]),
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def _spectrum(field: Field, padded: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the Fourier transform of a field, padded with zeros to a width and height."""
    canvas = np.zeros((padded[1], padded[0], 2), np.float32)
    canvas[: field.shape[0], : field.shape[1]] = field
    return np.asarray(cv2.dft(canvas, nonzeroRows=field.shape[0]), np.float32)


def _reach(size: tuple[int, int]) -> tuple[int, int]:
    return round(size[0] * _REACH), round(size[1] * _REACH)


def _within_reach(scores: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the scores of all shifts within reach, with no shift in the middle."""
    x, y = _reach(size)
    return np.roll(scores, (y, x), axis=(0, 1))[: 2 * y + 1, : 2 * x + 1]


def _distances(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the length of each shift within reach, in pixels of a field."""
    x, y = _reach(size)
    return np.hypot(np.arange(-x, x + 1), np.arange(-y, y + 1)[:, None])
