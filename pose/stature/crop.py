"""Crops of a depth map in metres along and across a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap

FloatArray = NDArray[np.float64]

# Sine of the angle between body and view. Below this the camera looks along the body, and sees no length.
_MIN_ACROSS: Final = 0.35
CHANNELS: Final = 5


@dataclass(frozen=True)
class Grid:
    """The cells of a crop. The first row is at the head's end.

    Attributes:
        rows, columns: number of cells.
        cell: their size in metres.
        above: metres from the upper edge of the crop to its centre.
    """

    rows: int
    columns: int
    cell: float
    above: float

    def offsets(self) -> tuple[FloatArray, FloatArray]:
        """Return metres from the centre, along the body to the head (rows,), and across it (columns,)."""
        along = self.above - (np.arange(self.rows, dtype=np.float64) + 0.5) * self.cell
        across = (np.arange(self.columns, dtype=np.float64) + 0.5 - self.columns / 2) * self.cell
        return along, across


HEAD_GRID: Final = Grid(40, 40, 0.010, 0.15)
BODY_GRID: Final = Grid(72, 36, 0.022, 0.16)


@dataclass(frozen=True, eq=False)
class Axes:
    """The directions of a body: unit vectors (3,) in the world.

    Attributes:
        along: from the feet to the head.
        across: to the left of the upright body, as the camera sees it.
        away: away from the camera.
    """

    along: FloatArray
    across: FloatArray
    away: FloatArray

    @classmethod
    def seen_from(cls, camera: FloatArray, point: FloatArray, along: FloatArray) -> Axes | None:
        """Return the axes of a body at a point (3,) for a camera (3,); None if it looks along the body."""
        view = point - camera
        across = np.cross(along, view / max(float(np.linalg.norm(view)), 1e-9))
        length = float(np.linalg.norm(across))
        if length < _MIN_ACROSS:
            return None
        across = across / length
        return cls(along, across, np.cross(across, along))

    def components(self, vectors: FloatArray) -> FloatArray:
        """Return the parts along, across and away (..., 3) of world vectors (..., 3)."""
        return np.asarray(vectors @ np.stack([self.along, self.across, self.away], axis=1))


def crop(depthmap: DepthMap, centre: FloatArray, axes: Axes, grid: Grid, level: float) -> NDArray[np.float32]:
    """Return the part of a depth map around a point, in cells of equal size along and across a body.

    Args:
        depthmap: of any size.
        centre: (3,) metres in the world. The cells lie in a plane through it.
        axes: of the body.
        grid: the cells.
        level: world y from which heights count.

    Returns:
        (5, rows, columns) float32: how far behind the plane the surface is; how far its point lies along the
        body from the cell; its height; 1 where depth was measured; 1 where the cell is in the picture. The
        first three are about -2 to 2, and 0 without depth.
    """
    along, across = grid.offsets()
    plane = centre + along[:, None, None] * axes.along + across[None, :, None] * axes.across
    u, v, ahead = depthmap.project(plane)
    column, row = np.rint(u), np.rint(v)
    with np.errstate(invalid="ignore"):  # behind the camera they are NaN
        inside = (column > -1) & (column < depthmap.width) & (row > -1) & (row < depthmap.height)
    inside &= ahead > 0
    c, r = (np.where(inside, each, 0).astype(np.intp) for each in (column, row))
    depth = np.where(inside, depthmap.depth[r, c], 0).astype(np.float64)
    points = depthmap.unproject(c, r, depth)
    parts = axes.components(points - centre)
    channels = (
        parts[..., 2] / (8 * grid.cell),
        (parts[..., 0] - along[:, None]) / (5 * grid.cell),
        (points[..., 1] - level) / (16 * grid.cell),
    )
    measured = depth > 0
    values = [np.where(measured, np.clip(channel, -2, 2), 0) for channel in channels]
    return np.stack([*values, measured, inside]).astype(np.float32)
