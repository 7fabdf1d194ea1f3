"""Pinhole cameras: from pixels to rays and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_STRETCH: Final = 1.1  # how far pixels may be from square: turned 4:3 gives 1.78, 4:3 cropped to 16:9 1.33


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of a picture of width x height.

    Attributes:
        fx, fy: focal lengths.
        cx, cy: the principal point; cx is a column, cy counts rows from the bottom one (which is 0).
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
        """Whether its pixels are, as any camera's; those of a turned or cropped picture seem not to be."""
        return 1 / MAX_STRETCH < self.fx / self.fy < MAX_STRETCH

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same camera for its picture scaled to width x height."""
        x, y = width / self.width, height / self.height
        return Intrinsics(self.fx * x, self.fy * y, self.cx * x, self.cy * y, width, height)


def through(points: ArrayLike, here: Intrinsics, there: Intrinsics) -> NDArray[np.float64]:
    """Pixels (..., 2) of one camera as another sees them that stands in the same place."""
    uv = np.asarray(points, np.float64)
    x = (uv[..., 0] - here.cx) / here.fx
    y = (here.height - 1 - uv[..., 1] - here.cy) / here.fy  # cy counts from the bottom row
    return np.stack((x * there.fx + there.cx, there.height - 1 - (y * there.fy + there.cy)), axis=-1)
