"""Heatmaps -> peaks.

There are two conventions; weights need the one they were trained with:

- The depth network (`cells_to_pixels`, `find_peaks`, `draw_gaussians`): cell (column c, row r) of a heatmap
  with stride s covers the input pixels s*c .. s*c + s-1; its middle is at pixel s*(c + 0.5) - 0.5. The
  centre of mass gives the fraction of a cell.
- HRNet's authors (`find_maxima`, and `crop` for the way back to the picture): cell c is at pixel s*c. The
  fraction is a quarter of a cell towards the larger neighbour.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FloatArray = NDArray[np.float64]

SIGMA: Final = 1.25  # cells; of the Gaussians in `pose.training.train`


def cells_to_pixels(cells: FloatArray, stride: float) -> FloatArray:
    """Positions (..., 2) in cells -> pixels of the network input.

    >>> float(cells_to_pixels(np.array(0.0), 4))
    1.5
    """
    return (cells + 0.5) * stride - 0.5


def pixels_to_cells(pixels: FloatArray, stride: float) -> FloatArray:
    """Return the inverse of `cells_to_pixels`."""
    return (pixels + 0.5) / stride - 0.5


def find_peaks(heatmaps: Tensor, count: int, radius: int = 2) -> tuple[FloatArray, FloatArray]:
    """Return the highest local maxima of each heatmap.

    Args:
        heatmaps: (N, K, H, W) in 0..1, on any device.
        count: peaks of each heatmap, at most H * W.
        radius: a peak is the highest cell within this many cells; of equal ones the first, row by row.

    Returns:
        positions (N, K, count, 2) float64 as (column, row) in cells, refined by the centre of mass of the 3x3
        cells around; and their values (N, K, count) float64, highest first, 0 if there is no further peak.
    """
    return _split(peaks(heatmaps, count, radius))


def peaks(heatmaps: Tensor, count: int, radius: int = 2) -> Tensor:
    """Do the same as `find_peaks`, and return column, row and value (N, K, count, 3) on the device."""
    h, w = heatmaps.shape[2:]
    heat = heatmaps.float()
    # A person between two cells gives both the same value, but must not become two people.
    order = torch.arange(h * w, dtype=torch.float64, device=heat.device).reshape(h, w)
    ranked = heat.double() - 1e-12 * order
    highest = nn.functional.max_pool2d(ranked, 2 * radius + 1, stride=1, padding=radius)
    alone = torch.where(ranked == highest, heat, torch.zeros_like(heat))
    values, where = alone.flatten(2).topk(count, dim=2)  # (N, K, count)
    row, column = where // w, where % w

    flat = _continued(heat).flatten(2)  # (N, K, (H+2)(W+2))
    offset = torch.zeros((*where.shape, 2), dtype=torch.float32, device=heat.device)
    mass = torch.zeros(where.shape, dtype=torch.float32, device=heat.device)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near = flat.gather(2, (row + 1 + dy) * (w + 2) + column + 1 + dx)
            mass += near
            offset[..., 0] += dx * near
            offset[..., 1] += dy * near
    # The centre of mass of only 3x3 cells of a Gaussian is nearer to the middle cell than its true centre.
    offset = _SCALE * offset / mass.clamp_min(1e-6)[..., None]
    position = torch.stack([column, row], dim=-1).float() + offset.clamp(-0.5, 0.5)
    return torch.cat([position, values[..., None]], dim=-1).double()


def find_maxima(heatmaps: Tensor) -> tuple[FloatArray, FloatArray]:
    """Return the highest cell of each heatmap, as HRNet's authors do (lib/core/inference.py).

    Args:
        heatmaps: (N, K, H, W), on any device.

    Returns:
        positions (N, K, 2) float64 as (column, row) in cells: the first of equally high ones, row by row,
        shifted by a quarter of a cell towards the larger neighbour on each axis. Not shifted if column or row
        is 0, 1 or the last one. (0, 0) if no cell is above 0.
        values (N, K) float64, the maxima.
    """
    return _split(maxima(heatmaps))


def maxima(heatmaps: Tensor) -> Tensor:
    """Do the same as `find_maxima`, and return column, row and value (N, K, 3) float64 on the device."""
    h, w = heatmaps.shape[2:]
    flat = heatmaps.flatten(2)  # (N, K, H*W)
    where = flat.argmax(dim=2, keepdim=True)
    values = flat.gather(2, where)[..., 0]
    where = where.masked_fill(~(values[..., None] > 0), 0)
    column, row = where[..., 0] % w, where[..., 0] // w
    position = torch.stack([column, row], dim=-1).double()
    inside = (column > 1) & (column < w - 1) & (row > 1) & (row < h - 1)
    for axis, step in enumerate((1, w)):
        after = flat.gather(2, (where + step).clamp(max=h * w - 1))[..., 0]
        before = flat.gather(2, (where - step).clamp(min=0))[..., 0]
        position[..., axis] += (0.25 * torch.sign(after - before)).masked_fill(~inside, 0.0)
    return torch.cat([position, values.double()[..., None]], dim=-1)


def _split(found: Tensor) -> tuple[FloatArray, FloatArray]:
    """(..., 3) -> positions (..., 2) and values (...)."""
    numbers = found.cpu().numpy()
    return numbers[..., :2], numbers[..., 2]


def _continued(heat: Tensor) -> Tensor:
    """(N, K, H, W) -> (N, K, H+2, W+2): continue a Gaussian by one cell beyond each edge.

    With zeros there, a peak at the edge would be found farther inside.
    """
    for dim in (-1, -2):
        last = heat.shape[dim] - 1
        beyond = []
        for edge, inner in ((0, min(1, last)), (last, max(last - 1, 0))):
            here, next_ = heat.select(dim, edge), heat.select(dim, inner)
            # The second difference of a Gaussian's logarithm is -1 / sigma^2.
            further = here * here / next_.clamp_min(1e-6) * float(np.exp(-1 / SIGMA**2))
            beyond.append(torch.minimum(further, here).unsqueeze(dim))
        heat = torch.cat([beyond[0], heat, beyond[1]], dim)
    return heat


def _centre_of_mass_scale(sigma: float) -> float:
    """Return the factor from the centre of mass of 3 cells to the true centre of a Gaussian."""
    x = np.array([-1.0, 0.0, 1.0])
    shift = 0.25
    values = np.exp(-((x - shift) ** 2) / (2 * sigma**2))
    return float(shift / ((x * values).sum() / values.sum()))


_SCALE: Final = _centre_of_mass_scale(SIGMA)


def draw_gaussians(centres: Tensor, present: Tensor, size: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """Draw the heatmaps that a perfect network would return.

    Args:
        centres: (N, P, K, 2) positions of P people in cells, (column, row).
        present: (N, P, K) bool, False: do not draw.
        size: rows and columns of the heatmaps.
        sigma: deviation of the Gaussians in cells.

    Returns:
        (N, K, H, W) float32 in 0..1, the maximum over all people in each cell.
    """
    rows = torch.arange(size[0], device=centres.device, dtype=torch.float32)
    columns = torch.arange(size[1], device=centres.device, dtype=torch.float32)
    gx = torch.exp(-((columns - centres[..., 0, None]) ** 2) / (2 * sigma**2))  # (N, P, K, W)
    gy = torch.exp(-((rows - centres[..., 1, None]) ** 2) / (2 * sigma**2))  # (N, P, K, H)
    maps = gy[..., :, None] * gx[..., None, :] * present[..., None, None]
    return maps.amax(dim=1)
