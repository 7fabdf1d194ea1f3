"""A picture and its depth map, and the mapping between their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose.geometry.camera import Intrinsics, through
from pose.geometry.depthmap import DepthMap


@dataclass(frozen=True, eq=False)
class View:
    """A picture and its depth map, between whose pixels points go back and forth."""

    depthmap: DepthMap
    picture_size: tuple[int, int]
    color: Intrinsics | None

    @property
    def fits(self) -> bool:
        """Whether both have the shape of what their cameras see (`Frame.fits_calibration`)."""
        color = self.color or self.depthmap.intrinsics.resized(*self.picture_size)
        return color.is_square and self.depthmap.intrinsics.is_square

    def to_depth(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return to_depth_pixels(points, self.picture_size, self.depthmap, self.color)

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return to_picture_pixels(points, self.picture_size, self.depthmap, self.color)


def to_depth_pixels(
    points: NDArray[np.float64],
    picture_size: tuple[int, int],
    depthmap: DepthMap,
    color: Intrinsics | None = None,
) -> NDArray[np.float64]:
    """Where the rays of points (..., 2) of a picture meet the depth map, (..., 2), not rounded."""
    camera = color or depthmap.intrinsics.resized(*picture_size)
    return through(points, camera, depthmap.intrinsics)


def to_picture_pixels(
    points: NDArray[np.float64],
    picture_size: tuple[int, int],
    depthmap: DepthMap,
    color: Intrinsics | None = None,
) -> NDArray[np.float64]:
    """The exact inverse of `to_depth_pixels`, with the same arguments but for the points."""
    camera = color or depthmap.intrinsics.resized(*picture_size)
    return through(points, depthmap.intrinsics, camera)
