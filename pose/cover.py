"""Covering parts of a picture so that nobody can bring back what was there.

A blur only hides: networks recognise blurred and mosaicked faces, and undo the blur (McPherson et al.,
"Defeating image obfuscation with deep learning", 2016). So the pixels are not blurred but replaced. What is
left of a covered part is at most 4 x 4 mean colours, coarsely rounded and with noise; they are drawn
smoothly, so that it looks like a blur.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Method = Literal["blur", "solid"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

GRID: Final = 4  # colours on each side of a covered part
LEVELS: Final = 16  # a colour is rounded to multiples of this
NOISE: Final = 8.0  # sigma, before rounding
SOLID_COLOUR: Final = (128, 128, 128)
JPEG_QUALITY: Final = 90

_FEATHER: Final = 0.03  # of a part's size: the soft rim around it, outside of what is covered


def cover(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], method: Method = "blur") -> NDArray[np.uint8]:
    """A copy of a picture with a part of it covered.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, the pixels to cover. Parts that touch are covered as one.
        method: "blur" leaves at most 4 x 4 mean colours of each part, "solid" nothing but its outline.

    Returns:
        (H, W, 3) uint8, which shares no memory with `rgb`. Outside the mask only a narrow rim is changed.

    Raises:
        ValueError: shapes or types do not fit, or there is no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or mask.shape != rgb.shape[:2]:
        problem = f"picture {rgb.shape} {rgb.dtype} and mask {mask.shape}"
        raise ValueError(f"{problem}, expected (H, W, 3) uint8 and (H, W)")
    covered = rgb.copy()
    if not mask.any():
        return covered
    # Parts are told apart in the box that holds them all: a picture is mostly not covered.
    first_row, end_row = _extent(np.asarray(mask.any(axis=1)))
    first_column, end_column = _extent(np.asarray(mask.any(axis=0)))
    box = mask[first_row:end_row, first_column:end_column]
    found, boxed, stats, _ = cv2.connectedComponentsWithStats(box.astype(np.uint8), connectivity=8)
    labels = np.zeros(mask.shape, boxed.dtype)
    labels[first_row:end_row, first_column:end_column] = boxed
    for label in range(1, found):
        left, top, width, height = (int(value) for value in stats[label, :4])
        left, top = left + first_column, top + first_row
        rim = max(2, round(_FEATHER * max(width, height)))
        rows = slice(max(0, top - rim), top + height + rim)
        columns = slice(max(0, left - rim), left + width + rim)
        part = labels[rows, columns] == label
        _cover_part(rgb[rows, columns], covered[rows, columns], part, rim, method)
    return covered


def encode_jpeg(picture: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """A baseline JPEG file of an (H, W, 3) uint8 RGB picture: its pixels and nothing else.

    It is written from the array, so no EXIF, ICC profile, comment or thumbnail can come along.
    """
    ok, data = cv2.imencode(
        ".jpg",
        cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 0],
    )
    if not ok:
        raise ValueError(f"a picture of shape {picture.shape} cannot be encoded")
    return data.tobytes()


def _extent(rows: NDArray[np.bool_]) -> tuple[int, int]:
    """First and end of what is True."""
    at = np.flatnonzero(rows)
    return int(at[0]), int(at[-1]) + 1


def _cover_part(
    source: NDArray[np.uint8], target: NDArray[np.uint8], part: NDArray[np.bool_], rim: int, method: Method
) -> None:
    """Cover one connected part; arrays are cut out around it with its rim."""
    height, width = part.shape
    if method == "solid":
        smooth = np.broadcast_to(np.array(SOLID_COLOUR, np.float32), (height, width, 3))
    else:
        colours = cv2.resize(_colours(source, part), (width, height), interpolation=cv2.INTER_CUBIC)
        smooth = np.asarray(colours, np.float32)
    # The rim fades outwards: inside the part nothing of the source may shine through.
    sigma = rim / 2
    fade = cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    alpha = np.where(part, np.float32(1), np.clip(2 * fade, 0, 1))[..., None]
    mixed = alpha * smooth + (1 - alpha) * source
    target[...] = np.where(alpha > 0, np.clip(np.rint(mixed), 0, 255), target).astype(np.uint8)


def _colours(source: NDArray[np.uint8], part: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean colours (4, 4, 3) of the part's pixels, rounded and with noise."""
    weight = part.astype(np.float32)
    # The mean over a cell of the part's own pixels: that of their product by that of the weights.
    sums = _cell_means(source.astype(np.float32) * weight[..., None])
    counts = _cell_means(weight[..., None])
    # A cell that holds a sliver of the part would show that sliver's colour: it is mixed with the others.
    total, share = sums.sum((0, 1)) / counts.sum(), 0.02
    means = (sums + share * total) / (counts + share)
    # Noise that whoever has the source could compute, and nobody else: equal scans give equal files.
    digest = hashlib.blake2b(source.tobytes() + weight.tobytes(), digest_size=16).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big")).normal(0, NOISE, means.shape)
    rounded = np.rint((means + noise) / LEVELS) * LEVELS
    return np.clip(rounded, 0, 255).astype(np.float32)


def _cell_means(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means over the cells of a 4 x 4 grid, (H, W, C) -> (4, 4, C); fewer where there are fewer pixels."""
    rows, columns = (np.unique(np.linspace(0, n, GRID + 1).astype(int)[:-1]) for n in values.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0, dtype=np.float64), columns, axis=1)
    sizes = np.diff(np.append(rows, values.shape[0]))[:, None] * np.diff(np.append(columns, values.shape[1]))
    return np.asarray(sums / sizes[..., None])
