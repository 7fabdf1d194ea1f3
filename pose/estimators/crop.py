"""Box -> crop for the network, and back.

The convention is that of HRNet's authors, and their weights need it
(github.com/leoxiaobin/deep-high-resolution-net.pytorch, lib/dataset/coco.py `_xywh2cs` and
lib/utils/transforms.py `get_affine_transform`):

- The box is enlarged about its centre to the aspect of the input, then by a quarter. Scale 1 is 200 pixels.
- The centre of the box is at (W/2, H/2) of the input, half a pixel right of and below the middle of its
  pixels. The width alone gives the scale of both axes.
- The same with the size of the heatmap maps heatmap cells to the picture: cell c is at pixel 4 * c of the
  input, not in the middle of the four pixels that it covers (as in `heatmap`).

Centre, scale and the three points of the matrix are rounded to float32 where the authors round them.
Otherwise a few pixels of a crop differ by one grey level, and heatmaps in the fourth digit.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Single = NDArray[np.float32]

PADDING: Final = 1.25
PIXEL_STD: Final = 200.0


def box_to_center_scale(
    box: ArrayLike, aspect: float = 3 / 4, padding: float = PADDING, pixel_std: float = PIXEL_STD
) -> tuple[Single, Single]:
    """Return centre and scale of the crop around a box.

    Args:
        box: x0, y0, x1, y1 in pixels; its width is x1 - x0, as in COCO.
        aspect: width / height of the network's input.
        padding: factor by which the box is enlarged after that.
        pixel_std: pixels in one unit of scale.

    Returns:
        The centre (2,) float32 in pixels, and width and height (2,) float32 in units of `pixel_std`.

    Raises:
        ValueError: the box is not four finite numbers, or is empty.
    """
    edges = np.asarray(box, np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise ValueError(f"box {_shown(box)}, expected four finite numbers x0, y0, x1, y1")
    x0, y0, x1, y1 = edges.tolist()
    width, height = x1 - x0, y1 - y0
    if width < 0 or height < 0 or width + height <= 0:
        raise ValueError(f"box {_shown(edges)} is empty, expected x0 < x1 and y0 < y1")
    centre = np.array([x0 + width * 0.5, y0 + height * 0.5], np.float32)
    if width > aspect * height:
        height = width / aspect
    elif width < aspect * height:
        width = height * aspect
    scale = np.array([width / pixel_std, height / pixel_std], np.float32)
    return centre, scale * np.float32(padding)


def crop_matrix(center: ArrayLike, scale: ArrayLike, size: tuple[int, int]) -> FloatArray:
    """Return the matrix (2, 3) float64: picture pixels -> pixels of the input, or cells of the heatmap.

    Args:
        center, scale: from `box_to_center_scale`.
        size: width and height of the input or of the heatmap.
    """
    here, there = _points(center, scale, size)
    return np.asarray(cv2.getAffineTransform(here, there), np.float64)


def crop_inverse(center: ArrayLike, scale: ArrayLike, size: tuple[int, int]) -> FloatArray:
    """Return the inverse of `crop_matrix`, for the same arguments."""
    here, there = _points(center, scale, size)
    return np.asarray(cv2.getAffineTransform(there, here), np.float64)


def transform_points(points: ArrayLike, matrix: FloatArray) -> FloatArray:
    """Map points (..., 2) by a (2, 3) matrix; float64.

    >>> transform_points([1.0, 2.0], np.array([[2.0, 0.0, 5.0], [0.0, 2.0, 5.0]]))
    array([7., 9.])
    """
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def crop(picture: NDArray[np.uint8], box: ArrayLike, input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut a box out of a picture, bilinear and black beyond the edge of the picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in pixels; it may reach beyond the picture.
        input_size: width and height of the network's input.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: the box is not four finite numbers, or is empty.
    """
    centre, scale = box_to_center_scale(box, input_size[0] / input_size[1])
    matrix = crop_matrix(centre, scale, input_size)
    # A turned picture is a NumPy view, which OpenCV does not accept.
    whole = np.ascontiguousarray(picture)
    return np.asarray(cv2.warpAffine(whole, matrix, input_size, flags=cv2.INTER_LINEAR), np.uint8)


def _points(center: ArrayLike, scale: ArrayLike, size: tuple[int, int]) -> tuple[Single, Single]:
    """Three points of the picture (3, 2) and where they go: centre, middle of the top, and a corner.

    The third is the second turned a quarter about itself, so that no axis is stretched more than the other.
    """
    middle, width = np.asarray(center, np.float32), np.asarray(scale, np.float32)[0] * np.float32(PIXEL_STD)
    here = _three(middle.astype(np.float64), float(width))
    there = _three(np.array(size) * 0.5, float(size[0]))
    return here, there


def _three(middle: FloatArray, width: float) -> Single:
    points = np.zeros((3, 2), np.float32)
    points[0] = middle
    points[1] = middle - (0.0, width * 0.5)
    up = points[0] - points[1]  # of the rounded points, in float32
    points[2] = points[1] + np.array([-up[1], up[0]], np.float32)
    return points


def _shown(box: Any) -> str:
    return f"{np.asarray(box).tolist()!r:.80}"
