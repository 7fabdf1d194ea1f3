"""The EXIF orientation is read as OpenCV reads it, and a damaged one is none."""

import struct

import cv2
import numpy as np
import pytest

from pose.scan.exif import apply_orientation, exif_orientation
from tests.support.exif import with_exif_orientation

PICTURE = np.kron(np.random.default_rng(1).integers(0, 255, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_applied_as_opencv_applies_it(orientation):
    data = np.frombuffer(with_exif_orientation(JPEG, orientation), np.uint8)
    stored = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert exif_orientation(data.tobytes()) == orientation
    viewed = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert stored is not None
    assert viewed is not None
    assert (apply_orientation(stored, orientation) == viewed).all()


def test_a_png_has_it_too():
    tiff = with_exif_orientation(JPEG, 6)[12:38]
    chunk = struct.pack(">I", len(tiff)) + b"eXIf" + tiff + b"\0\0\0\0"
    after_header = 8 + 25
    assert exif_orientation(PNG[:after_header] + chunk + PNG[after_header:]) == 6


def test_little_endian_and_long_values_are_read():
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 4, 1, 3)
    segment = b"Exif\0\0" + tiff
    header = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
    assert exif_orientation(JPEG[:2] + header + segment + JPEG[2:]) == 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_unknown_orientation_is_none(value):
    assert exif_orientation(with_exif_orientation(JPEG, value)) == 1


def test_every_truncated_file_has_an_answer():
    whole = with_exif_orientation(JPEG, 6)
    assert {exif_orientation(whole[:length]) for length in range(60)} == {1, 6}


def test_a_file_without_exif_is_upright():
    assert exif_orientation(JPEG) == exif_orientation(PNG) == exif_orientation(b"") == 1
