"""Read and apply the EXIF orientation of a picture.

A phone may write it as a hint for viewers, while the pixels are as the sensor gave them; or an app may have
stored the pixels turned or mirrored, and the orientation says how. Which of the two, only the calibration and
the depth map tell: see `scan.reader`.

EXIF 2.32 (CIPA DC-008), tag 0x0112; its structure is that of TIFF 6.0.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

UPRIGHT: Final = 1  # the picture is to be shown as it is stored
_TAG: Final = 0x0112
_TYPES: Final = {3: "H", 4: "I"}
_MAX_ENTRIES: Final = 1024
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_APP1, _SOS, _HEADER = 0xE1, 0xDA, b"Exif\0\0"


def exif_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG or PNG file: 1 to 8, and 1 if it has none or it is damaged.

    >>> exif_orientation(b"neither JPEG nor PNG")
    1
    """
    tiff = _exif_of_jpeg(data) if data.startswith(_JPEG) else _exif_of_png(data)
    try:
        return _orientation(tiff)
    except struct.error:  # it ends too early
        return UPRIGHT


def apply_orientation(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a picture (H, W, ...) as a viewer shows it that applies this EXIF orientation.

    >>> stored = np.array([[1, 2], [3, 4]])
    >>> apply_orientation(stored, 2).tolist(), apply_orientation(stored, 6).tolist()
    ([[2, 1], [4, 3]], [[3, 1], [4, 2]])
    """
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)  # orientation 5
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def _orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return UPRIGHT
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(min(entries, _MAX_ENTRIES)):
        at = directory + 2 + 12 * entry
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, at)
        if tag == _TAG and kind in _TYPES and count == 1:
            (value,) = struct.unpack_from(order + _TYPES[kind], tiff, at + 8)
            return int(value) if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def _exif_of_jpeg(data: bytes) -> bytes:
    """Return the content of the first EXIF segment; empty if there is none before the pixels."""
    at = len(_JPEG)
    while len(data) >= at + 4 and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        content = data[at + 4 : at + 2 + length]
        if marker == _APP1 and content.startswith(_HEADER):
            return content[len(_HEADER) :]
        if marker == _SOS or length < 2:
            break
        at += 2 + length
    return b""


def _exif_of_png(data: bytes) -> bytes:
    """Return the content of the first eXIf chunk; empty if there is none."""
    at = len(_PNG)
    while len(data) >= at + 12:
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""
