"""One frame's picture and depth map, and the mapping between their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose.checks import check_type
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap


@dataclass(frozen=True, eq=False)
class View:
    """A depth map, and the colour camera that took the picture with it.

    On most devices both cameras have one view. On devices with two different cameras (Lenovo), pixels are
    mapped by both intrinsics; the few millimetres between the cameras are ignored.

    Attributes:
        depthmap: depth, its camera and its pose.
        color: the colour camera; its width and height are those of the picture.
    """

    depthmap: DepthMap
    color: Intrinsics

    @classmethod
    def of(cls, depthmap: DepthMap, picture_size: tuple[int, int], color: Intrinsics | None = None) -> View:
        """Return the view of a depth map and a picture of this size (width, height).

        Without `color`, the picture has the depth camera's view.

        Raises:
            ValueError: `color` is the camera of a picture of another size.
        """
        if color is not None:
            check_type(color, Intrinsics, "color")
            if (color.width, color.height) != picture_size:
                came = f"color is the camera of {color.width} x {color.height} pixels"
                raise ValueError(
                    f"{came}, expected that of a picture of {picture_size[0]} x {picture_size[1]}"
                )
        return cls(depthmap, color or depthmap.intrinsics.resized(*picture_size))

    @property
    def picture_size(self) -> tuple[int, int]:
        """The width and height of the picture."""
        return self.color.width, self.color.height

    @property
    def fits(self) -> bool:
        """Whether picture and depth map fit their intrinsics: neither was turned or cropped later.

        A half turn or a mirror image is not noticed.
        """
        return self.color.is_square and self.depthmap.intrinsics.is_square

    def in_picture(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Return which points (..., 2), u and v in pixels of the picture, are inside it."""
        uv, (width, height) = np.asarray(points, np.float64), self.picture_size
        return np.asarray(((uv > -0.5) & (uv < (width - 0.5, height - 0.5))).all(axis=-1))

    def to_depth(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the depth pixels on the rays of picture pixels (..., 2).

        Returns:
            (..., 2) float64 u, v in the depth map, not rounded, possibly outside it.
        """
        return self.color.reproject(points, self.depthmap.intrinsics)

    def to_picture(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the picture pixels on the rays of depth pixels (..., 2): the inverse of `to_depth`."""
        return self.depthmap.intrinsics.reproject(points, self.color)
