"""JPEG files with an EXIF orientation."""

from __future__ import annotations

import struct


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG file with this EXIF orientation, in its first segment."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
