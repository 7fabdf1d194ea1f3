"""Pictures are decoded as the sensor saw them, and checked before they are decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose.errors import InvalidPicture
from pose.scan.pictures import MAX_BYTES, decode_picture, picture_size

PictureBuilder = Callable[..., bytes]


def frame_header_at(jpeg: bytes) -> int:
    return next(at for at in range(len(jpeg)) if jpeg[at : at + 2] == b"\xff\xc0")


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = frame_header_at(jpeg)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes((3 * width + 1) * height)) if width * height < 10**6 else b""
    parts = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in parts:
        checksum = zlib.crc32(name + content)
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    return data


def exif_orientation(value: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, value, 0) + bytes(4)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("type", [".jpg", ".png"])
def test_a_picture_is_rgb_with_its_first_row_on_top(make_picture: PictureBuilder, type: str):
    picture = decode_picture(make_picture((64, 48), type))
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8
    assert picture[10, 10].tolist() == pytest.approx([200, 0, 0], abs=4)
    assert picture[10, 50].tolist() == pytest.approx([0, 0, 200], abs=4)


def test_the_pictures_of_the_plush_scan_are_decoded(plush: Path):
    for file in (plush / "rgb").iterdir():
        data = file.read_bytes()
        assert picture_size(data) == (1440, 1080)
        assert decode_picture(data).shape == (1080, 1440, 3)


def test_grey_and_progressive_pictures_are_rgb_too():
    grey = np.full((48, 64), 90, np.uint8)
    data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert set(decode_picture(data).flat) <= {89, 90, 91}


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_in_exif_is_ignored(make_picture: PictureBuilder, orientation: int):
    plain = make_picture((64, 48))
    turned = plain[:2] + exif_orientation(orientation) + plain[2:]
    assert (decode_picture(turned) == decode_picture(plain)).all()


@pytest.mark.parametrize("size", [(40000, 40000), (65535, 16), (8000, 8000)])
def test_a_jpeg_whose_header_claims_too_much_allocates_nothing(
    make_picture: PictureBuilder, size: tuple[int, int]
):
    data = with_size(make_picture(), *size)
    tracemalloc.start()
    with pytest.raises(InvalidPicture, match="pixels"):
        decode_picture(data)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize("size", [(40000, 40000), (2**31, 2**31), (2**32 - 1, 1)])
def test_a_png_whose_header_claims_too_much_is_refused(size: tuple[int, int]):
    with pytest.raises(InvalidPicture, match="size"):
        decode_picture(png(*size))


def test_a_size_in_a_preview_does_not_hide_that_of_the_picture(make_picture: PictureBuilder):
    preview = make_picture((16, 16))
    comment = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    plain = make_picture((64, 48))
    assert picture_size(plain[:2] + comment + plain[2:]) == (64, 48)
    large = with_size(plain, 40000, 40000)
    with pytest.raises(InvalidPicture, match="40000x40000"):
        decode_picture(large[:2] + comment + large[2:])


def test_a_second_frame_header_is_refused(make_picture: PictureBuilder):
    plain = make_picture()
    at = frame_header_at(plain)
    header = plain[at : at + 2 + int.from_bytes(plain[at + 2 : at + 4], "big")]
    with pytest.raises(InvalidPicture, match="one frame header"):
        decode_picture(plain[:at] + header + plain[at:])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\0\0\0\x18ftypheic", "format: neither JPEG nor PNG but a HEIC or AVIF picture or a video ("),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "format: neither JPEG nor PNG but a WebP picture ("),
        (b"<html>404</html>", "format: neither JPEG nor PNG but HTML or XML ("),
        (bytes(500), "format: neither JPEG nor PNG ("),
        (b"", "format: neither JPEG nor PNG ("),
    ],
)
def test_another_kind_of_file_is_called_by_its_name(data: bytes, told: str):
    with pytest.raises(InvalidPicture) as caught:
        decode_picture(data)
    assert told in str(caught.value)


@pytest.mark.parametrize("size", [(0, 0), (64, 0), (0, 48), (4, 4)])
def test_a_picture_that_is_too_small_is_refused(make_picture: PictureBuilder, size: tuple[int, int]):
    with pytest.raises(InvalidPicture, match="at least"):
        decode_picture(with_size(make_picture(), *size))


def test_a_png_whose_last_chunk_claims_more_than_there_is_allocates_nothing(make_picture: PictureBuilder):
    # The decoder made room for 4 GB, and wrote into all of it, before it noticed that the file ends.
    plain = make_picture(type=".png")
    at = plain.rindex(b"IEND") - 4
    for name in (b"IEND", b"IDAT", b"tEXt"):
        with pytest.raises(InvalidPicture, match="truncated"):
            picture_size(plain[:at] + b"\xff\xff\xff\xf0" + name + plain[at + 8 :])


def test_many_small_chunks_that_inflate_to_much_are_refused(make_picture: PictureBuilder):
    plain = make_picture(type=".png")
    text = b"zTXt" + b"k\0\0" + zlib.compress(bytes(1000))
    chunk = struct.pack(">L", len(text) - 4) + text + struct.pack(">L", zlib.crc32(text))
    assert decode_picture(plain[:33] + chunk * 2 + plain[33:]).shape == (48, 64, 3)
    with pytest.raises(InvalidPicture, match="too many chunks"):
        decode_picture(plain[:33] + chunk * 100 + plain[33:])


def test_a_png_in_many_pieces_is_decoded(make_picture: PictureBuilder):
    plain = make_picture(type=".png")
    at = plain.index(b"IDAT") - 4
    length = int.from_bytes(plain[at : at + 4], "big")
    pieces = [plain[at + 8 + i : at + 9 + i] for i in range(length)]
    chunks = [struct.pack(">L", 1) + b"IDAT" + p + struct.pack(">L", zlib.crc32(b"IDAT" + p)) for p in pieces]
    again = plain[:at] + b"".join(chunks) + plain[at + 12 + length :]
    assert (decode_picture(again) == decode_picture(plain)).all()


def test_a_truncated_picture_is_refused(make_picture: PictureBuilder):
    for data in (make_picture(), make_picture(type=".png")):
        for length in (0, 2, 3, 8, 20, len(data) // 2, len(data) - 20):
            with pytest.raises(InvalidPicture):
                decode_picture(data[:length])


def test_bytes_after_the_end_do_not_matter(make_picture: PictureBuilder):
    assert decode_picture(make_picture() + bytes(1000)).shape == (48, 64, 3)


@pytest.mark.parametrize("type", [".bmp", ".tiff", ".webp", ".ppm"])
def test_other_formats_are_refused(make_picture: PictureBuilder, type: str):
    with pytest.raises(InvalidPicture, match="neither JPEG nor PNG"):
        decode_picture(make_picture(type=type))


def test_unusual_kinds_of_jpeg_and_png_are_refused(make_picture: PictureBuilder):
    plain = make_picture()
    at = frame_header_at(plain)
    with pytest.raises(InvalidPicture, match="unusual"):  # arithmetic coding
        decode_picture(plain[: at + 1] + b"\xc9" + plain[at + 2 :])
    with pytest.raises(InvalidPicture, match="components"):  # 12 bits
        decode_picture(plain[: at + 4] + b"\x0c" + plain[at + 5 :])
    with pytest.raises(InvalidPicture, match="animated"):
        decode_picture(png(32, 32, (b"acTL", struct.pack(">II", 2, 0))))
    assert decode_picture(png(32, 32, (b"tEXt", b"a\0b"))).shape == (32, 32, 3)


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(InvalidPicture, match="at most"):
        picture_size(b"\xff\xd8\xff" + bytes(MAX_BYTES))
