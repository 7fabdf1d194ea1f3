"""Pictures with all that cameras and programs put beside the pixels, and a search for it in other files.

A thumbnail in the EXIF shows a face as well as the picture does; XMP and comments may name whoever is seen.
"""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.scan.pictures import encode_jpeg

RUN: Final = 16  # bytes in a row that a file must not share with what was planted

_THUMBNAIL: Final = (149, 111)  # width and height stand in both files' headers, and are no secret
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\x01\x01"
_APP1, _APP2, _COMMENT = 0xE1, 0xE2, 0xFE


def planted(jpeg: bytes, seed: int) -> tuple[bytes, list[bytes]]:
    """A JPEG file with EXIF (a thumbnail in it), XMP, ICC profile and comment; and each of these alone."""
    rng = np.random.default_rng([seed, 23])
    contents = [
        (_APP1, _EXIF + _exif(_thumbnail(jpeg))),
        (_APP1, _XMP + b"<x:xmpmeta><dc:creator>" + _words(rng) + b"</dc:creator></x:xmpmeta>"),
        (_APP2, _ICC + rng.bytes(560)),
        (_COMMENT, b"taken of " + _words(rng)),
    ]
    segments = [struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in contents]
    return jpeg[:2] + b"".join(segments) + jpeg[2:], [data for _, data in contents]


def shared_bytes(files: list[bytes], secrets: list[bytes]) -> int:
    """How many runs of `RUN` bytes of the secrets stand in the files.

    Runs of which half stands in a JPEG file of nothing at all do not count: the format's own tables are no
    secret, and the byte after them may be the same by chance. Nor do those of a few bytes over and over, as
    which flat parts of any picture are written.
    """
    nothing = encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    half = RUN // 2
    own = {nothing[i : i + half] for i in range(len(nothing) - half + 1)}
    runs = {
        run
        for run in set().union(*map(_runs, secrets))
        if not any(run[i : i + half] in own for i in range(RUN - half + 1))
    }
    return sum(len(runs & _runs(data)) for data in files)


def _runs(data: bytes) -> set[bytes]:
    runs = {data[i : i + RUN] for i in range(len(data) - RUN + 1)}
    return {run for run in runs if len(set(run)) > RUN // 2}


def _words(rng: np.random.Generator) -> bytes:
    return bytes(rng.choice(np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8), 48))


def _thumbnail(jpeg: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise ValueError(f"{len(jpeg)} bytes are no JPEG picture")
    small: NDArray[np.uint8] = np.asarray(cv2.resize(picture, _THUMBNAIL), np.uint8)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def _exif(thumbnail: bytes) -> bytes:
    """A TIFF structure: orientation and a maker in the first directory, a thumbnail in the second."""
    maker = b"a phone's maker and its serial number 0123456789\0"
    # Each directory: how many entries, the entries (tag, type, count, value), where the next one is.
    first_end = 8 + 2 + 2 * 12 + 4
    second = first_end + len(maker)
    second_end = second + 2 + 3 * 12 + 4
    entry = struct.Struct("<HHII")
    return b"".join(
        (
            struct.pack("<2sHI", b"II", 42, 8),
            struct.pack("<H", 2),
            entry.pack(0x010F, 2, len(maker), first_end),
            entry.pack(0x0112, 3, 1, 6),
            struct.pack("<I", second),
            maker,
            struct.pack("<H", 3),
            entry.pack(0x0103, 3, 1, 6),
            entry.pack(0x0201, 4, 1, second_end),
            entry.pack(0x0202, 4, 1, len(thumbnail)),
            struct.pack("<I", 0),
            thumbnail,
        )
    )
