"""RGB pictures of a scan: their size is read from the header before anything is decoded.

JPEG: ITU-T T.81, annex B. PNG: ISO/IEC 15948.
"""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidPicture

JPEG_QUALITY: Final = 90


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


MAX_BYTES: Final = 24 * 1024 * 1024
MAX_SIDE: Final = 10_000
MAX_PIXELS: Final = 24_000_000
MIN_SIDE: Final = 16

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SOF: Final = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive; cameras write no others
_SOF_OTHER: Final = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI, _DAC = 0xDA, 0xD9, 0xCC
# Each scan of a progressive JPEG passes over the whole picture, at a price of a few bytes in the file.
_MAX_SCANS: Final = 64
_MAX_MARKERS: Final = 1024
_MAX_CHUNKS: Final = 8192  # what `MAX_BYTES` are in the pieces of 8 KB that libpng writes, and many more
# A text or a profile of a few KB inflates to 8 MB before anything is known of it, and there may be many.
_MAX_OTHER_CHUNKS: Final = 16


def decode_picture(data: bytes, file: str = "picture") -> NDArray[np.uint8]:
    """Decode a JPEG or PNG picture.

    EXIF is ignored, its orientation above all: a scan's pictures are used as the sensor saw them.

    Returns:
        (H, W, 3) uint8 RGB, row 0 at the top.

    Raises:
        InvalidPicture: neither JPEG nor PNG, too large, truncated, or not decodable. What is too large by
            its header is not decoded.
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
    """Width and height of a JPEG or PNG picture by its header, checked; nothing is decoded.

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


def _jpeg_size(data: bytes, file: str) -> tuple[int, int]:
    # libjpeg skips what is no marker; here it is an error, so that both see the same frame header.
    size: tuple[int, int] | None = None
    at = 2
    for _ in range(_MAX_MARKERS):
        if data[at : at + 2] == b"\xff\xff":  # a fill byte
            at += 1
            continue
        if len(data) < at + 4 or data[at] != 0xFF:
            raise InvalidPicture(file, "header", "damaged or truncated", "a whole JPEG picture")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _SOF_OTHER or marker == _DAC:
            raise InvalidPicture(file, "format", "an unusual kind of JPEG", "baseline or progressive")
        if marker in _SOF:
            if size is not None or length < 8 or len(data) < at + 10:
                raise InvalidPicture(file, "header", "damaged or truncated", "one frame header")
            bits, height, width, components = struct.unpack(">BHHB", data[at + 4 : at + 10])
            if bits != 8 or components not in (1, 3):
                problem = f"{components} components of {bits} bits"
                raise InvalidPicture(file, "format", problem, "3 components of 8 bits")
            size = width, height
        if marker == _SOS:
            break
        if length < 2 or not (0xC0 <= marker <= 0xFE) or 0xD0 <= marker <= _EOI:
            raise InvalidPicture(file, "header", "damaged or truncated", "a whole JPEG picture")
        at += 2 + length
    else:
        raise InvalidPicture(file, "header", "too many markers", f"at most {_MAX_MARKERS}")
    if size is None:
        raise InvalidPicture(file, "header", "no size before the pixels", "a JPEG picture")
    # In compressed pixels 0xFF is always followed by 0, so these are markers.
    if data.count(b"\xff\xda", at) > _MAX_SCANS:
        raise InvalidPicture(file, "format", "too many scans", f"at most {_MAX_SCANS}")
    if data.find(b"\xff\xd9", at) < 0:
        raise InvalidPicture(file, "pixels", "truncated", "a whole JPEG picture")
    return size


def _png_size(data: bytes, file: str) -> tuple[int, int]:
    # All chunks are walked: the decoder allocates the length that a chunk declares before it reads it.
    size: tuple[int, int] | None = None
    pixels, others = False, 0
    at = len(_PNG)
    for _ in range(_MAX_CHUNKS):
        if len(data) < at + 12:
            break
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if (name == b"IHDR") is not (size is None) or (name == b"IHDR" and length != 13):
            break
        if len(data) < at + 12 + length:
            break
        if name == b"IHDR":
            width, height = struct.unpack(">II", data[at + 8 : at + 16])
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
        at += 12 + length
    if pixels:
        raise InvalidPicture(file, "pixels", "damaged or truncated", "a whole PNG picture")
    raise InvalidPicture(file, "header", "damaged or truncated", "a whole PNG picture")
