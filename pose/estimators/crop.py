"""Box → network input, and back. Forward and inverse stand side by side.

The convention is that of HRNet's authors, and their weights know no other
(github.com/leoxiaobin/deep-high-resolution-net.pytorch, lib/dataset/coco.py `_xywh2cs` and
lib/utils/transforms.py `get_affine_transform`):

- The box grows to the input's aspect about its centre, then by a quarter. Its size is in units of 200 pixels.
- The box's centre comes to the point (W/2, H/2) of the input, which is half a pixel right of and below the
  middle of its pixels. The width alone gives the scale, of both axes.
- The same with a heatmap's size instead of the input's takes heatmap cells to the picture: cell c stands for
  the input's pixel 4 * c, not for the middle of the four pixels that it covers (as it does in `heatmap`).

Centre, scale and the three points that fix the matrix are rounded to float32 where the authors round them.
Otherwise a crop differs from theirs by a grey level here and there, and heatmaps in the fourth digit.
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
    """What of a picture the network looks at.

    Args:
        box: x0, y0, x1, y1 in pixels; its width is x1 - x0, as in COCO.
        aspect: width by height of the network's input.
        padding: how much the box grows once it has this aspect.
        pixel_std: pixels that are one unit of scale.

    Returns:
        The centre (2,) float32 in pixels, and width and height (2,) float32 in units of `pixel_std`.

    Raises:
        ValueError: the box is not four finite numbers, or it is empty.
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
    """(2, 3) float64: pixels of the picture → pixels of an input of this size, or cells of a heatmap.

    Args:
        center, scale: as `box_to_center_scale` gives them.
        size: width and height of the input or of the heatmap.
    """
    here, there = _points(center, scale, size)
    return np.asarray(cv2.getAffineTransform(here, there), np.float64)


def crop_inverse(center: ArrayLike, scale: ArrayLike, size: tuple[int, int]) -> FloatArray:
    """(2, 3) float64: the inverse of `crop_matrix`, with the same arguments."""
    here, there = _points(center, scale, size)
    return np.asarray(cv2.getAffineTransform(there, here), np.float64)


def transform_points(points: ArrayLike, matrix: FloatArray) -> FloatArray:
    """Points (..., 2) through a (2, 3) matrix, as float64."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def crop(picture: NDArray[np.uint8], box: ArrayLike, input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """What the network sees of a box: bilinear, black where the picture ends.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: x0, y0, x1, y1 in its pixels; it may reach beyond the picture.
        input_size: width and height of the network's input.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: the box is not four finite numbers, or it is empty.
    """
    centre, scale = box_to_center_scale(box, input_size[0] / input_size[1])
    matrix = crop_matrix(centre, scale, input_size)
    # A picture that was turned is a view, which OpenCV does not take.
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
