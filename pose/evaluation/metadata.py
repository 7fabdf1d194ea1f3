"""Add metadata to pictures as cameras and programs do, and search for it in other files.

An EXIF thumbnail shows a face as well as the picture does; XMP and comments may name the person.
"""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.scan.pictures import encode_jpeg

RUN: Final = 16  # bytes in a row that a file must not share with the metadata

_THUMBNAIL: Final = (149, 111)  # no other picture's size: equal sizes in two headers are no leak
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\x01\x01"
_APP1, _APP2, _COMMENT = 0xE1, 0xE2, 0xFE


def add_metadata(jpeg: bytes, seed: int) -> tuple[bytes, list[bytes]]:
    """Return a JPEG file with EXIF and its thumbnail, XMP, ICC profile and comment, and each of these."""
    rng = np.random.default_rng([seed, 23])
    contents = [
        (_APP1, _EXIF + _exif(_thumbnail(jpeg))),
        (_APP1, _XMP + b"<x:xmpmeta><dc:creator>" + _words(rng) + b"</dc:creator></x:xmpmeta>"),
        (_APP2, _ICC + rng.bytes(560)),
        (_COMMENT, b"taken of " + _words(rng)),
    ]
    segments = [struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in contents]
    return jpeg[:2] + b"".join(segments) + jpeg[2:], [data for _, data in contents]


def count_shared_runs(files: list[bytes], secrets: list[bytes]) -> int:
    """Return how many runs of `RUN` bytes of the secrets occur in the files.

    Two kinds of runs do not count. The tables of the JPEG format are no secret, so a run is left out if half
    of it occurs in the file of a black picture; the byte after a table may be equal by chance. Runs that
    repeat a few bytes are left out too: flat parts of all pictures are encoded so.

    >>> secret = bytes(range(100, 120))
    >>> count_shared_runs([b"before" + secret + b"after"], [secret])
    5
    """
    black = encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    half = RUN // 2
    tables = {black[i : i + half] for i in range(len(black) - half + 1)}
    runs = {
        run
        for run in set().union(*map(_runs, secrets))
        if not any(run[i : i + half] in tables for i in range(RUN - half + 1))
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
        raise ValueError(f"cannot decode {len(jpeg)} bytes, expected a JPEG picture")
    small: NDArray[np.uint8] = np.asarray(cv2.resize(picture, _THUMBNAIL), np.uint8)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def _exif(thumbnail: bytes) -> bytes:
    """Return a TIFF structure: maker and orientation in the first directory, a thumbnail in the second."""
    maker = b"a phone's maker and its serial number 0123456789\0"
    # Each directory: number of entries, entries (tag, type, count, value), offset of the next directory.
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
