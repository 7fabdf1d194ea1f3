"""Covering parts of a picture so that nobody can bring back what was there.

A blur only hides: networks recognise blurred and mosaicked faces, and undo the blur (McPherson et al.,
"Defeating image obfuscation with deep learning", 2016). Skin and hair tell people apart as well, so coarse
mean colours name somebody too. So the pixels are not blurred but replaced: of a covered part nothing is left
but its outline and whether it was light or dark, one bit. The 4 x 4 shades that are drawn about this tone are
noise; smoothly drawn, they look like a blur. `pose.evaluation.reidentification` measures what a network
still makes of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Method = Literal["blur", "mosaic", "solid"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)


@dataclass(frozen=True)
class Parameters:
    """What a method leaves of a covered part.

    Attributes:
        grid: shades on each side of a part.
        levels: tones that a part can have; they are all that comes from its pixels.
        noise: sigma of the shades about the tone, of 256.
    """

    grid: int
    levels: int
    noise: float


_TONES: Final = np.array([(108, 82, 68), (196, 160, 138)], np.float64)  # of skin, dark and light
_HALFWAY: Final = 115.0  # mean of R, G and B; a part whose middle is lighter gets the light tone
_SHADES: Final = Parameters(grid=4, levels=len(_TONES), noise=14.0)
SOLID_COLOUR: Final = (128, 128, 128)

_FEATHER: Final = 0.03  # of a part's size: the soft rim around it, outside of what is covered


def parameters(method: Method) -> Parameters:
    """What a method leaves; it stands in the result."""
    return Parameters(grid=1, levels=1, noise=0.0) if method == "solid" else _SHADES


def cover(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], method: Method = "blur") -> NDArray[np.uint8]:
    """A copy of a picture with a part of it covered.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, the pixels to cover. Parts that touch are covered as one.
        method: "blur" leaves the tone of each part, light or dark, in smooth shades; "mosaic" the same in
            tiles; "solid" nothing but its outline.

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
        how = cv2.INTER_CUBIC if method == "blur" else cv2.INTER_NEAREST
        smooth = np.asarray(cv2.resize(_shades(source, part), (width, height), interpolation=how), np.float32)
    # The rim fades outwards: inside the part nothing of the source may shine through.
    sigma = rim / 2
    fade = cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    alpha = np.where(part, np.float32(1), np.clip(2 * fade, 0, 1))[..., None]
    mixed = alpha * smooth + (1 - alpha) * source
    target[...] = np.where(alpha > 0, np.clip(np.rint(mixed), 0, 255), target).astype(np.uint8)


def _shades(source: NDArray[np.uint8], part: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Colours (4, 4, 3): the part's tone and noise about it."""
    pixels = source[part]
    height, width = part.shape
    middle = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
    # Around a head there is what is behind it.
    inner = source[middle][part[middle]] if part[middle].any() else pixels
    tone = _TONES[int(inner.mean() > _HALFWAY)]
    # Noise that whoever has the source could compute, and nobody else: equal scans give equal files.
    digest = hashlib.blake2b(pixels.tobytes() + np.packbits(part).tobytes(), digest_size=16).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big"))
    shades = noise.normal(0, _SHADES.noise, (_SHADES.grid, _SHADES.grid, 1))
    return np.clip(tone + shades, 0, 255).astype(np.float32)
