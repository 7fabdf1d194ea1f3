"""Decode and encode the RGB pictures of a scan.

The format is walked before anything is decoded, and what would cost too much memory or time is refused:
a size beyond the limits, hundreds of passes over one picture, chunks that inflate to gigabytes or that
declare more bytes than the file has. Neither Pillow nor imagesize does this in our place: both read the size
from the header and stop there.

JPEG: ITU-T T.81, annex B. PNG: ISO/IEC 15948.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidPicture

JPEG_QUALITY: Final = 90

# Limits that protect memory and time.
MAX_BYTES: Final = 24 * 1024 * 1024
MAX_SIDE: Final = 10_000
MAX_PIXELS: Final = 24_000_000
MIN_SIDE: Final = 16
# Each scan of a progressive JPEG passes over the whole picture but needs only a few bytes of the file.
_MAX_SCANS: Final = 64
_MAX_MARKERS: Final = 1024
_MAX_CHUNKS: Final = 8192  # many more than `MAX_BYTES` make in the pieces of 8 KB that libpng writes
# A text or a profile of a few KB inflates to as much as 8 MB.
_MAX_OTHER_CHUNKS: Final = 16

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# Start of frame: baseline, extended and progressive. Cameras write no others.
_SOF: Final = (0xC0, 0xC1, 0xC2)
_SOF_OTHER: Final = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI, _DAC = 0xDA, 0xD9, 0xCC


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
    return data[:3] == _JPEG or data[:8] == _PNG


def decode_picture(data: bytes, file: str = "picture") -> NDArray[np.uint8]:
    """Decode a JPEG or PNG picture.

    EXIF is ignored, also its orientation: the pictures of a scan are used as the sensor saw them.

    Args:
        data: the bytes of the file.
        file: what error messages call the file.

    Returns:
        (H, W, 3) uint8 RGB, row 0 at the top.

    Raises:
        InvalidPicture: the file is neither JPEG nor PNG, is too large, is truncated or cannot be decoded. A
            picture whose header declares too many pixels is not decoded.
    """
    width, height = picture_size(data, file)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None or bgr.shape != (height, width, 3) or bgr.dtype != np.uint8:
        raise InvalidPicture(file, "pixels", "cannot be decoded", f"{width}x{height} pixels")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def picture_size(data: bytes, file: str = "picture") -> tuple[int, int]:
    """Return width and height of a JPEG or PNG picture from its header, without decoding it.

    Args:
        data, file: as of `decode_picture`.

    Raises:
        InvalidPicture: as `decode_picture`.
    """
    if len(data) > MAX_BYTES:
        raise InvalidPicture(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    if data[:3] == _JPEG:
        width, height = _jpeg_size(data, file)
    elif data[:8] == _PNG:
        width, height = _png_size(data, file)
    else:
        raise InvalidPicture(file, "format", "neither JPEG nor PNG", "a JPEG picture")
    if min(width, height) < MIN_SIDE:
        raise InvalidPicture(file, "size", f"{width}x{height}", f"at least {MIN_SIDE} pixels a side")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidPicture(file, "size", f"{width}x{height}", f"at most {MAX_PIXELS} pixels")
    return width, height


def _jpeg_segments(data: bytes, file: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield the marker, the position and the content of each segment, up to the first scan's header."""
    at = 2
    for _ in range(_MAX_MARKERS):
        if data[at : at + 2] == b"\xff\xff":  # a fill byte
            at += 1
            continue
        if len(data) < at + 4 or data[at] != 0xFF:
            raise InvalidPicture(file, "header", "damaged or truncated", "a whole JPEG picture")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, data[at + 4 : at + 2 + length]
        if marker == _SOS:
            return
        if length < 2 or not (0xC0 <= marker <= 0xFE) or 0xD0 <= marker <= _EOI:
            raise InvalidPicture(file, "header", "damaged or truncated", "a whole JPEG picture")
        at += 2 + length
    raise InvalidPicture(file, "header", "too many markers", f"at most {_MAX_MARKERS}")


def _jpeg_size(data: bytes, file: str) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    pixels_at = 0
    for marker, at, content in _jpeg_segments(data, file):
        if marker in _SOF_OTHER or marker == _DAC:
            raise InvalidPicture(file, "format", "an unusual kind of JPEG", "baseline or progressive")
        if marker in _SOF:
            if size is not None or len(content) < 6:
                raise InvalidPicture(file, "header", "damaged or truncated", "one frame header")
            bits, height, width, components = struct.unpack(">BHHB", content[:6])
            if bits != 8 or components not in (1, 3):
                problem = f"{components} components of {bits} bits"
                raise InvalidPicture(file, "format", problem, "3 components of 8 bits")
            size = width, height
        pixels_at = at  # the last segment is the header of the first scan
    if size is None:
        raise InvalidPicture(file, "header", "no size before the pixels", "a JPEG picture")
    # Compressed pixels never contain these two: there, 0xFF is always followed by 0 or a restart marker.
    if data.count(b"\xff\xda", pixels_at) > _MAX_SCANS:
        raise InvalidPicture(file, "format", "too many scans", f"at most {_MAX_SCANS}")
    if data.find(b"\xff\xd9", pixels_at) < 0:
        raise InvalidPicture(file, "pixels", "truncated", "a whole JPEG picture")
    return size


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the name and the content of each whole chunk.

    A decoder may allocate the length that a chunk declares before it reads the chunk, so all are walked.
    """
    at = len(_PNG)
    for _ in range(_MAX_CHUNKS):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if len(data) < at + 12 + length:
            return
        yield name, memoryview(data)[at + 8 : at + 8 + length]
        at += 12 + length


def _png_size(data: bytes, file: str) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    pixels, others = False, 0
    for name, content in _png_chunks(data):
        if (name == b"IHDR") is not (size is None) or (name == b"IHDR" and len(content) != 13):
            break
        if name == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
            size = width, height
        elif name == b"acTL":
            raise InvalidPicture(file, "format", "an animated PNG", "one picture")
        elif name == b"IDAT":
            pixels = True
        elif name == b"IEND" and size is not None and pixels:
            return size
        elif (others := others + 1) > _MAX_OTHER_CHUNKS:
            raise InvalidPicture(
                file, "format", "too many chunks without pixels", f"at most {_MAX_OTHER_CHUNKS}"
            )
    raise InvalidPicture(
        file, "pixels" if pixels else "header", "damaged or truncated", "a whole PNG picture"
    )
