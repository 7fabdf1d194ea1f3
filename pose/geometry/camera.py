"""Pinhole cameras: project points to pixels, and unproject pixels with depth to points.

Camera axes: x to the right of the picture, y up; the camera looks along -z. Depth is measured along that
axis, not along the ray. Hartley and Zisserman, "Multiple View Geometry in Computer Vision", 2004,
chapter 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.checks import check_points, check_size

# Cameras have square pixels, fx = fy. If a 4:3 picture was turned, or cropped to 16:9, after the calibration,
# fx / fy is off by a factor of 1.78 or 1.33.
MAX_STRETCH: Final = 1.1

# Of the side of the picture: a view of 169 degrees. What is less is a normalised focal length.
MIN_FOCAL: Final = 0.05

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of a picture of width x height.

    Pixel (u, v) is column, row; (0, 0) is the centre of the top left pixel.

    Attributes:
        fx, fy: focal lengths.
        cx, cy: the principal point, column and row. The row counts from the top.
        width, height: the picture's size.

    Raises:
        ValueError: a number is not finite, a focal length is not positive or not in pixels, or a side is less
            than a pixel.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        check_size((self.width, self.height), "size of the picture")
        try:
            right = self.fx > 0 and self.fy > 0 and math.isfinite(self.fx * self.fy * self.cx * self.cy)
        except TypeError:
            right = False
        if not right:
            came = f"fx, fy, cx, cy = {self.fx!r:.20}, {self.fy!r:.20}, {self.cx!r:.20}, {self.cy!r:.20}"
            raise ValueError(f"{came}, expected finite numbers of pixels, fx and fy above 0")
        if self.fx < MIN_FOCAL * self.width or self.fy < MIN_FOCAL * self.height:
            raise ValueError(
                f"fx, fy = {self.fx:g}, {self.fy:g} in a picture of {self.width} x {self.height}, expected "
                "pixels; multiply the numbers of a calibration file by width and height"
            )

    @property
    def is_square(self) -> bool:
        """Whether the pixels are square. If not, the picture was turned or cropped after the calibration."""
        return 1 / MAX_STRETCH < self.fx / self.fy < MAX_STRETCH

    def resized(self, width: int, height: int) -> Intrinsics:
        """Return the camera for the same picture scaled to width x height.

        The centre of the lower left pixel stays in place: a calibration file (`scan.calibration`) counts
        from there.

        >>> Intrinsics(100, 100, 32, 24, 64, 48).resized(128, 96)
        Intrinsics(fx=200.0, fy=200.0, cx=64.0, cy=49.0, width=128, height=96)
        """
        x, y = width / self.width, height / self.height
        cy = height - 1 - (self.height - 1 - self.cy) * y
        return Intrinsics(self.fx * x, self.fy * y, self.cx * x, cy, width, height)

    def unproject(self, u: ArrayLike, v: ArrayLike, depth: ArrayLike) -> FloatArray:
        """Return the points, in camera axes, that pixels with these depths show.

        Args:
            u, v, depth: columns, rows and metres, of shapes that broadcast together. u and v may be
                fractions, and may lie outside the picture.

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
            points: (..., 3) metres in camera axes.

        Returns:
            u, v, each (...,) float64, not rounded, possibly outside the picture. NaN for a point that is not
            in front of the camera.

        >>> u, v = Intrinsics(100, 100, 32, 24, 64, 48).project([1, 0, -2])
        >>> float(u), float(v)
        (82.0, 24.0)
        """
        local = check_points(points, 3)
        ahead: FloatArray = np.where(local[..., 2] < 0, -local[..., 2], np.nan)
        return local[..., 0] / ahead * self.fx + self.cx, self._rows(local[..., 1] / ahead)

    def slopes(self) -> tuple[FloatArray, FloatArray]:
        """Return x per metre of depth for each column (W,), and y per metre of depth for each row (H,)."""
        columns, rows = np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64)
        return (columns - self.cx) / self.fx, (self.cy - rows) / self.fy

    def reproject(self, points: ArrayLike, other: Intrinsics) -> FloatArray:
        """Return where another camera at the same position sees what pixels (..., 2) of this one show.

        Returns:
            (..., 2) float64 u, v, not rounded, possibly outside the other picture.

        >>> small = Intrinsics(100, 100, 32, 24, 64, 48)
        >>> small.reproject([[10, 47]], small.resized(128, 96))
        array([[20., 95.]])
        """
        uv = check_points(points, 2)
        x, y = (uv[..., 0] - self.cx) / self.fx, (self.cy - uv[..., 1]) / self.fy
        return np.stack((x * other.fx + other.cx, other._rows(y)), axis=-1)

    def _rows(self, y: FloatArray) -> FloatArray:
        """Return the rows of points with this y per metre of depth: cy - y * fy.

        Computed from the lower edge. The order of the operations decides how a row exactly between two pixels
        is rounded, and results must stay the same from version to version.
        """
        bottom = self.height - 1
        return bottom - (y * self.fy + (bottom - self.cy))
