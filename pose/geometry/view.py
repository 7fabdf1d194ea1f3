"""A picture and its depth map, and the mapping between their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap


@dataclass(frozen=True, eq=False)
class View:
    """What one frame shows: a depth map, and the colour camera that took the picture with it.

    On most devices both cameras share one view. On those where they differ (Lenovo) their intrinsics count;
    the few millimetres between the two cameras do not.

    Attributes:
        depthmap: depth, its camera and its pose.
        color: the colour camera; its width and height are those of the picture.
    """

    depthmap: DepthMap
    color: Intrinsics

    @classmethod
    def of(cls, depthmap: DepthMap, picture_size: tuple[int, int], color: Intrinsics | None = None) -> View:
        """Return the view of a depth map and a picture of width, height.

        Without a colour camera both share the depth camera's view.
        """
        return cls(depthmap, color or depthmap.intrinsics.resized(*picture_size))

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.color.width, self.color.height

    @property
    def fits(self) -> bool:
        """Whether picture and depth map have the shape of what their cameras see: not turned, not cropped.

        A half turn or a mirror image cannot be told by this.
        """
        return self.color.is_square and self.depthmap.intrinsics.is_square

    def to_depth(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return where the rays of picture pixels (..., 2) meet the depth map.

        Returns:
            (..., 2) float64 u, v in the depth map, not rounded, maybe outside it.
        """
        return self.color.reproject(points, self.depthmap.intrinsics)

    def to_picture(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return where the rays of depth pixels (..., 2) meet the picture: the inverse of `to_depth`."""
        return self.depthmap.intrinsics.reproject(points, self.color)
