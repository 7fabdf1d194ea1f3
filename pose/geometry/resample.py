"""Bilinear sampling of an array on a grid of columns and rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Neighbours = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


class Sampler:
    """Samples arrays of one shape at each pair of a column and a row.

    Positions are in pixels, with centres at integers. A position outside is moved to the border. A neighbour
    of weight 0 is not used: sampling an array at its own pixels gives the same array.

    >>> values = np.array([[1, 2], [3, 4]], np.float32)
    >>> Sampler(np.array([0.5, 1.0]), np.array([0.0]), values.shape).mean(values)
    array([[1.5, 2. ]], dtype=float32)
    """

    def __init__(
        self, columns: NDArray[np.floating], rows: NDArray[np.floating], shape: tuple[int, ...]
    ) -> None:
        self._columns = _neighbours(columns, shape[1])
        self._rows = _neighbours(rows, shape[0])

    def mean(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weighted mean of the four neighbours, (rows, columns) float32."""
        top, bottom, weight = self._rows
        lines = values[top] * (1 - weight)[:, None] + values[bottom] * weight[:, None]  # (H, W) -> (h, W)
        left, right, weight = self._columns
        return np.asarray(lines[:, left] * (1 - weight) + lines[:, right] * weight, np.float32)  # -> (h, w)

    def each(self, values: NDArray[np.float32], choose: np.ufunc) -> NDArray[np.float32]:
        """Return `choose` (`np.minimum` or `np.maximum`) of the four neighbours, (rows, columns) float32."""
        top, bottom, _ = self._rows
        left, right, _ = self._columns
        lines = choose(values[top], values[bottom])
        return np.asarray(choose(lines[:, left], lines[:, right]), np.float32)


def _neighbours(position: NDArray[np.floating], size: int) -> _Neighbours:
    # Without rounding, 3 * (1 / 3) could be slightly off 1 and get a second neighbour.
    position = position.round(9).clip(0, size - 1)
    first = np.floor(position).astype(np.intp)
    return first, np.ceil(position).astype(np.intp), (position - first).astype(np.float32)
