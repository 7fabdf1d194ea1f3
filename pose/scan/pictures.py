"""Decode and encode the RGB pictures of a scan.

A file is walked before anything is decoded, and what would cost too much memory or time is refused: see
`jpeg_file` and `png_file`. Neither Pillow nor imagesize does this in our place: both read the size from the
header and stop there.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidPicture
from pose.scan import jpeg_file, png_file
from pose.scan.jpeg_file import JpegFile, decode_jpeg, parse_jpeg
from pose.scan.png_file import PngFile, decode_png, parse_png

JPEG_QUALITY: Final = 90

# Limits that protect memory and time.
MAX_BYTES: Final = 24 * 1024 * 1024
MAX_SIDE: Final = 10_000
MAX_PIXELS: Final = 24_000_000
MIN_SIDE: Final = 16
# What is found under the name of a picture, by where its signature stands.
_OTHER_FILES: Final = {
    (4, b"ftyp"): "a HEIC or AVIF picture or a video", (0, b"RIFF"): "a WebP picture",
    (0, b"GIF8"): "a GIF picture", (0, b"BM"): "a BMP picture", (0, b"II*\0"): "a TIFF or raw picture",
    (0, b"MM\0*"): "a TIFF or raw picture", (0, b"<"): "HTML or XML", (0, b"PK\x03\x04"): "a ZIP archive",
    (0, b"\x1f\x8b"): "a gzip file",
}  # fmt: skip


def encode_jpeg(picture: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as a baseline JPEG file.

    The file is written from the array, so it has no EXIF, ICC profile, comment or thumbnail.

    Raises:
        ValueError: the array is not a picture that OpenCV can encode.

    >>> picture_size(encode_jpeg(np.zeros((48, 64, 3), np.uint8)))
    (64, 48)
    """
    ok, data = cv2.imencode(
        ".jpg",
        cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 0],
    )
    if not ok:
        raise ValueError(f"a picture of shape {picture.shape} cannot be encoded")
    return data.tobytes()


def is_picture(data: bytes) -> bool:
    """Return whether the data start like a JPEG or PNG picture."""
    return data.startswith((jpeg_file.SIGNATURE, png_file.SIGNATURE))


def decode_picture(data: bytes, file: str = "picture") -> NDArray[np.uint8]:
    """Decode a JPEG or PNG picture.

    EXIF is ignored, also its orientation: `scan.orient` decides whether to apply it. What stands behind the
    picture is ignored too, and the end marker may be missing while all pixels are there.
    Transparent pixels of a PNG are mixed with white: what a viewer does not show is not in the result.

    Args:
        data: the bytes of the file.
        file: what error messages call the file.

    Returns:
        (H, W, 3) uint8 RGB, row 0 at the top.

    Raises:
        InvalidPicture: the file is neither JPEG nor PNG, is too large, or cannot be decoded whole: a
            warning of the decoder is an error. A picture of too many pixels is not decoded.
    """
    picture = _parse(data, file)
    return decode_jpeg(picture, file) if isinstance(picture, JpegFile) else decode_png(picture, file)


def picture_size(data: bytes, file: str = "picture") -> tuple[int, int]:
    """Return width and height of a JPEG or PNG picture from its header, without decoding it.

    Args:
        data, file: as of `decode_picture`.

    Raises:
        InvalidPicture: as `decode_picture`, but for what only the decoder finds.
    """
    picture = _parse(data, file)
    return picture.width, picture.height


def _parse(data: bytes, file: str) -> JpegFile | PngFile:
    """Find the picture in a file, and check its size."""
    if len(data) > MAX_BYTES:
        raise InvalidPicture(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    picture: JpegFile | PngFile
    if data.startswith(jpeg_file.SIGNATURE):
        picture = parse_jpeg(data, file)
    elif data.startswith(png_file.SIGNATURE):
        picture = parse_png(data, file)
    else:
        found = (f" but {what}" for (at, sign), what in _OTHER_FILES.items() if data.startswith(sign, at))
        raise InvalidPicture(file, "format", f"neither JPEG nor PNG{next(found, '')}", "a JPEG picture")
    size = f"{picture.width}x{picture.height}"
    if min(picture.width, picture.height) < MIN_SIDE:
        raise InvalidPicture(file, "size", size, f"at least {MIN_SIDE} pixels a side")
    if max(picture.width, picture.height) > MAX_SIDE or picture.width * picture.height > MAX_PIXELS:
        raise InvalidPicture(file, "size", size, f"at most {MAX_PIXELS} pixels")
    return picture
