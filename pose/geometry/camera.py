"""Pinhole cameras: from pixels to points in front of the camera, and back.

The camera's axes are those of the phone: x to the right of the picture, y up, and the camera looks along -z.
A depth is measured along that axis. Hartley and Zisserman, "Multiple View Geometry in Computer Vision", 2004,
chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The pixels of a camera are square. Those of a 4:3 picture seem to be stretched by 1.78 once it is turned,
# and by 1.33 once it is cropped to 16:9.
MAX_STRETCH: Final = 1.1

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of a picture of width x height.

    Pixel (u, v) is column, row; (0, 0) is the middle of the top left one.

    Attributes:
        fx, fy: focal lengths.
        cx, cy: the principal point, column and row. The row counts from the top.
        width, height: the picture's size.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @property
    def is_square(self) -> bool:
        """Whether the pixels are square. Those of a turned or cropped picture seem not to be."""
        return 1 / MAX_STRETCH < self.fx / self.fy < MAX_STRETCH

    def resized(self, width: int, height: int) -> Intrinsics:
        """Return the same camera for its picture scaled to width x height.

        The lower left corner stays where it is, as in a calibration file (`scan.calibration`).
        """
        x, y = width / self.width, height / self.height
        cy = height - 1 - (self.height - 1 - self.cy) * y
        return Intrinsics(self.fx * x, self.fy * y, self.cx * x, cy, width, height)

    def unproject(self, u: ArrayLike, v: ArrayLike, depth: ArrayLike) -> FloatArray:
        """Return the points, in the camera's axes, that pixels with these depths show.

        Args:
            u, v, depth: columns, rows and metres, of shapes that broadcast together. u and v need not be
                integers, nor lie inside the picture.

        Returns:
            (..., 3) float64 metres.

        >>> Intrinsics(100, 100, 32, 24, 64, 48).unproject(82, 24, 2.0)
        array([ 1.,  0., -2.])
        """
        columns, rows, z = (np.asarray(values, np.float64) for values in (u, v, depth))
        x = (columns - self.cx) / self.fx * z
        y = (self.cy - rows) / self.fy * z
        points = np.empty((*np.broadcast_shapes(x.shape, y.shape), 3))
        points[..., 0], points[..., 1], points[..., 2] = x, y, -z
        return points

    def project(self, points: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return the pixels that show points: the inverse of `unproject`.

        Args:
            points: (..., 3) metres in the camera's axes.

        Returns:
            u, v, each (...,) float64, not rounded, maybe outside the picture. NaN where a point is not in
            front of the camera.
        """
        local = np.asarray(points, np.float64)
        ahead: FloatArray = np.where(local[..., 2] < 0, -local[..., 2], np.nan)
        return local[..., 0] / ahead * self.fx + self.cx, self._rows(local[..., 1] / ahead)

    def slopes(self) -> tuple[FloatArray, FloatArray]:
        """Return x per metre of depth for each column (W,), and y per metre of depth for each row (H,)."""
        columns, rows = np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64)
        return (columns - self.cx) / self.fx, (self.cy - rows) / self.fy

    def reproject(self, points: ArrayLike, other: Intrinsics) -> FloatArray:
        """Return where another camera that stands in the same place sees pixels (..., 2) of this one.

        Returns:
            (..., 2) float64 u, v, not rounded, maybe outside the other picture.
        """
        uv = np.asarray(points, np.float64)
        x, y = (uv[..., 0] - self.cx) / self.fx, (self.cy - uv[..., 1]) / self.fy
        return np.stack((x * other.fx + other.cx, other._rows(y)), axis=-1)

    def _rows(self, y: FloatArray) -> FloatArray:
        """Return the rows of points with this y per metre of depth: cy - y * fy.

        Computed from the lower edge: that decides how a row is rounded that lies exactly between two pixels,
        and equal scans must go on giving equal results.
        """
        bottom = self.height - 1
        return bottom - (y * self.fy + (bottom - self.cy))
