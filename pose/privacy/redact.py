"""Redact regions of a picture so that nobody can restore them.

A blur is not enough: networks recognise blurred and mosaicked faces, and undo the blur (McPherson et al.,
"Defeating image obfuscation with deep learning", 2016). Colours are not enough either: skin and hair tell
people apart. So the pixels are replaced. Only the outline of a region and one bit of tone, light or dark,
are kept. The 4 x 4 shades drawn about this tone are noise; drawn smoothly, they look like a blur.
`pose.evaluation.reidentification` measures what a network can still recognise.
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
class RedactionParameters:
    """What a method keeps of a redacted region.

    Attributes:
        grid: shades on each side of a region.
        levels: tones that a region can have; nothing else is taken from its pixels.
        noise: sigma of the shades about the tone, of 256.
    """

    grid: int
    levels: int
    noise: float


_TONES: Final = np.array([(108, 82, 68), (196, 160, 138)], np.float64)  # of skin, dark and light
_LIGHT_FROM: Final = 115.0  # mean of R, G and B above which a region gets the light tone
_SHADES: Final = RedactionParameters(grid=4, levels=len(_TONES), noise=14.0)
SOLID_COLOUR: Final = (128, 128, 128)

_FEATHER: Final = 0.03  # width of the soft rim outside a region, as a share of its size


def redaction_parameters(method: Method) -> RedactionParameters:
    """Return what a method keeps; it is part of the result.

    >>> redaction_parameters("solid")
    RedactionParameters(grid=1, levels=1, noise=0.0)
    """
    return RedactionParameters(grid=1, levels=1, noise=0.0) if method == "solid" else _SHADES


def redact(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], method: Method = "blur") -> NDArray[np.uint8]:
    """Return a copy of a picture in which the masked regions are redacted.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, True on the pixels to redact. Each connected region is redacted by itself.
        method: "blur" keeps the tone of each region, light or dark, drawn in smooth shades; "mosaic" keeps
            the same, drawn in tiles; "solid" keeps only the outline.

    Returns:
        (H, W, 3) uint8, which shares no memory with `rgb`. Outside the mask only a narrow rim is changed.

    Raises:
        ValueError: an array has the wrong shape or type, or the method is unknown.

    >>> mask = np.zeros((32, 32), bool)
    >>> mask[8:24, 8:24] = True
    >>> redact(np.zeros((32, 32, 3), np.uint8), mask, "solid")[16, 16]
    array([128, 128, 128], dtype=uint8)
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or mask.shape != rgb.shape[:2]:
        problem = f"picture {rgb.shape} {rgb.dtype} and mask {mask.shape}"
        raise ValueError(f"{problem}, expected (H, W, 3) uint8 and (H, W)")
    redacted = rgb.copy()
    if not mask.any():
        return redacted
    # Label only the box that holds all regions: most of a picture is not masked.
    first_row, end_row = _extent(np.asarray(mask.any(axis=1)))
    first_column, end_column = _extent(np.asarray(mask.any(axis=0)))
    box = mask[first_row:end_row, first_column:end_column]
    count, box_labels, stats, _ = cv2.connectedComponentsWithStats(box.astype(np.uint8), connectivity=8)
    labels = np.zeros(mask.shape, box_labels.dtype)
    labels[first_row:end_row, first_column:end_column] = box_labels
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label, :4])
        left, top = left + first_column, top + first_row
        rim = max(2, round(_FEATHER * max(width, height)))
        rows = slice(max(0, top - rim), top + height + rim)
        columns = slice(max(0, left - rim), left + width + rim)
        region = labels[rows, columns] == label
        _redact_region(rgb[rows, columns], redacted[rows, columns], region, rim, method)
    return redacted


def _extent(rows: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the first index that is True, and the one after the last."""
    at = np.flatnonzero(rows)
    return int(at[0]), int(at[-1]) + 1


def _redact_region(
    source: NDArray[np.uint8], target: NDArray[np.uint8], region: NDArray[np.bool_], rim: int, method: Method
) -> None:
    """Redact one connected region of `target`; the arrays are cut out around the region and its rim."""
    height, width = region.shape
    if method == "solid":
        fill = np.broadcast_to(np.array(SOLID_COLOUR, np.float32), (height, width, 3))
    else:
        how = cv2.INTER_CUBIC if method == "blur" else cv2.INTER_NEAREST
        fill = np.asarray(cv2.resize(_shades(source, region), (width, height), interpolation=how), np.float32)
    # The rim fades outwards: inside the region nothing of the source may shine through.
    sigma = rim / 2
    fade = cv2.GaussianBlur(region.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    alpha = np.where(region, np.float32(1), np.clip(2 * fade, 0, 1))[..., None]
    mixed = alpha * fill + (1 - alpha) * source
    target[...] = np.where(alpha > 0, np.clip(np.rint(mixed), 0, 255), target).astype(np.uint8)


def _shades(source: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return colours (4, 4, 3): the region's tone with noise about it."""
    pixels = source[region]
    height, width = region.shape
    middle = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
    # Take the tone from the middle: near the outline of a head its background shows.
    inner = source[middle][region[middle]] if region[middle].any() else pixels
    tone = _TONES[int(inner.mean() > _LIGHT_FROM)]
    # Seed the noise with the source: equal scans give equal files, and nobody without the source knows it.
    digest = hashlib.blake2b(pixels.tobytes() + np.packbits(region).tobytes(), digest_size=16).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big"))
    shades = noise.normal(0, _SHADES.noise, (_SHADES.grid, _SHADES.grid, 1))
    return np.clip(tone + shades, 0, 255).astype(np.float32)
