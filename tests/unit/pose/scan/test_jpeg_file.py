"""The picture in a JPEG file is read however the file looks, and never with pixels missing."""

from __future__ import annotations

import io
import struct
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from pose.errors import InvalidPicture
from pose.scan import jpeg_file
from pose.scan.pictures import decode_picture, picture_size

BASELINE: list[int] = []
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
OPTIMISED = [cv2.IMWRITE_JPEG_OPTIMIZE, 1]
KINDS = pytest.mark.parametrize("options", [BASELINE, PROGRESSIVE, RESTARTS, OPTIMISED])


def jpeg(options: list[int] | None = None, width: int = 48, height: int = 32, channels: int = 3) -> bytes:
    row, column = np.mgrid[:height, :width]
    planes = [column * 5, row * 7 + column % 3 * 30, (row * column) % 256][:channels]
    picture = np.stack(planes, axis=-1).astype(np.uint8)
    return cv2.imencode(".jpg", picture, options or [])[1].tobytes()


def opencv(data: bytes) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert bgr is not None
    return bgr[..., ::-1]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def at_scan(data: bytes) -> int:
    """Where the header of the first scan begins."""
    return data.index(b"\xff\xda")


def pixels_at(data: bytes) -> int:
    """Where the compressed pixels of the first scan begin."""
    at = at_scan(data)
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0\0\x10\0mdat" + b"\xff\xda\xff\xd8\xff\xc0\xff\xd9" * 5000


@KINDS
def test_pixels_are_those_of_opencv(options: list[int]):
    for channels in (1, 3):
        data = jpeg(options, channels=channels)
        assert (decode_picture(data) == opencv(data)).all()


@pytest.mark.parametrize(
    "behind", [b"\n", bytes(1000), MP4, MP4 * 100, jpeg(), b"SEFHk\0\0\0", b"\xff\xda" * 999]
)
def test_what_stands_behind_the_picture_does_not_matter(behind: bytes, capfd: pytest.CaptureFixture[str]):
    data = jpeg()
    assert (decode_picture(data + behind) == decode_picture(data)).all()
    assert capfd.readouterr().err == ""


@KINDS
@pytest.mark.parametrize("behind", [b"", b"\xff", MP4, jpeg()])
def test_the_end_marker_may_be_missing(options: list[int], behind: bytes, capfd: pytest.CaptureFixture[str]):
    data = jpeg(options)
    assert (decode_picture(data[:-2] + behind) == decode_picture(data)).all()
    assert capfd.readouterr().err == ""


@KINDS
def test_a_truncated_picture_is_whole_or_refused(options: list[int], capfd: pytest.CaptureFixture[str]):
    data = jpeg(options, 32, 32)
    whole = decode_picture(data)
    read = 0
    for length in range(len(data)):
        for end in (b"", b"\xff\xd9"):
            try:
                picture = decode_picture(data[:length] + end)
            except InvalidPicture:
                continue
            read += 1
            # With an end marker a progressive picture may be an honest one of fewer scans.
            assert (picture == whole).all() or (options == PROGRESSIVE and end)
    assert read >= 2  # without the end marker, or with half of it
    assert capfd.readouterr().err == ""


def test_a_progressive_picture_without_its_last_scans_and_end_marker_is_refused():
    data = jpeg(PROGRESSIVE)
    starts = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        tables = data.rfind(b"\xff\xc4", 0, start)
        for cut in (start, tables):
            with pytest.raises(InvalidPicture, match="truncated"):
                decode_picture(data[:cut])


def test_a_picture_without_a_scan_of_each_component_is_refused():
    # Its decoder gives a grey picture without a warning.
    data = jpeg(PROGRESSIVE)
    at = pixels_at(data)
    only_luma = data[: at_scan(data)] + segment(0xDA, b"\x01\x01\0\0\0\1") + data[at : at + 20] + b"\xff\xd9"
    with pytest.raises(InvalidPicture, match="truncated"):
        decode_picture(only_luma)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-40] + data[-2:], "premature end"),
        (lambda data: data[:-2] + bytes(10) + data[-2:], "extraneous bytes"),
        (lambda data: data[:-60] + b"\xff\xd3" + data[-60:], "damaged"),
    ],
)
def test_what_the_decoder_only_warns_of_is_an_error(damage, reason: str, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(InvalidPicture, match=reason) as raised:
        decode_picture(damage(jpeg()), "rgb of frame 3")
    assert str(raised.value).startswith("rgb of frame 3: pixels: damaged or truncated: ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("count", [1, 300, 20_000])
def test_many_segments_and_fill_bytes_do_not_matter(count: int):
    data = jpeg()
    whole = decode_picture(data)
    for segments in (
        segment(0xE2, b"MPF\0" + bytes(90)),
        segment(0xFE, b""),
        segment(0xEB, b"\xff\xd9\xff\xda"),
    ):
        assert (decode_picture(data[:2] + segments * count + data[2:]) == whole).all()
    filled = data[: at_scan(data)] + b"\xff" * count * 50 + data[at_scan(data) :]
    assert (decode_picture(filled) == whole).all()


def test_too_many_segments_are_refused():
    data = jpeg()
    with pytest.raises(InvalidPicture, match=f"too many markers .expected at most {jpeg_file.MAX_SEGMENTS}"):
        decode_picture(data[:2] + segment(0xFE, b"") * 10**5 + data[2:])


@pytest.mark.parametrize(
    "oddity",
    [
        segment(0xE0, b"JFIF\0\x03\0\0\0\1\0\1\0\0"),  # a version that libjpeg warns of
        segment(0xE0, b"JFXX\0\x10") + segment(0xE0, b"AVI1\0"),
        segment(0xE1, b"Exif\0\0 no TIFF"),
        segment(0xE2, b"ICC_PROFILE\0\x05\x02 no profile"),
        segment(0xEE, b"Adobe"),
        segment(0xDC, b"\0\x20"),  # a number of lines before there are any
        segment(0xFE, b"") + b"stray bytes" + segment(0xE1, b""),
        b"\xff\xff\xff\x01\xff\xd5",
        b"\xff\xe5\0\0",  # too short to hold its own length
    ],
)
def test_oddities_before_the_pixels_do_not_matter(oddity: bytes, capfd: pytest.CaptureFixture[str]):
    data = jpeg()
    for at in (2, at_scan(data)):
        assert (decode_picture(data[:at] + oddity + data[at:]) == decode_picture(data)).all()
    assert capfd.readouterr().err == ""


def test_scan_parameters_that_mean_nothing_in_a_baseline_picture_do_not_matter():
    data = jpeg()
    at = pixels_at(data)
    assert data[at - 3 : at] == b"\0\x3f\0"
    assert (decode_picture(data[: at - 3] + b"\0\0\0" + data[at:]) == decode_picture(data)).all()


def progressive_of(scans: int, width: int, height: int) -> bytes:
    """Grey in many scans: each gives one coefficient, or one bit more of all of them."""
    table = segment(0xC4, b"\x10\1" + bytes(15) + b"\0") + segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    blocks = (width // 8) * (height // 8)
    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\x01" * 64)]
    parts += [segment(0xC2, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)), table]
    parts += [segment(0xDA, b"\x01\x01\0\0\0\0"), bytes(-(-blocks // 8))]
    for index in range(scans - 1):
        coefficient = 1 + index % 63
        parts += [segment(0xDA, bytes((1, 1, 0, coefficient, coefficient, 0))), bytes(-(-blocks // 8))]
    return b"".join(parts) + b"\xff\xd9"


def test_an_honest_progressive_picture_of_many_scans_is_read():
    data = progressive_of(64, 64, 64)
    assert set(decode_picture(data).flat) == {128}


def test_a_progressive_picture_that_takes_too_much_time_is_refused_before_it_is_decoded():
    allowed = int(jpeg_file.MAX_SCANNED / 4800**2)
    data = jpeg(PROGRESSIVE)
    at = data.index(b"\xff\xc2")
    large = data[: at + 5] + struct.pack(">HH", 4800, 4800) + data[at + 9 : -2]
    before = time.perf_counter()
    with pytest.raises(InvalidPicture, match="too many scans of 4800x4800 pixels"):
        decode_picture(large + segment(0xDA, b"\x01\x01\0\x01\x3f\0") * allowed + b"\xff\xd9")
    assert time.perf_counter() - before < 0.5
    assert picture_size(large + segment(0xDA, b"\x01\x01\0\x01\x3f\0") * (allowed // 2) + b"\xff\xd9")


def test_cmyk_pictures_are_rgb_too():
    rgb = decode_picture(jpeg())
    packed = io.BytesIO()  # OpenCV reads CMYK but does not write it
    Image.fromarray(rgb).convert("CMYK").save(packed, "JPEG", quality=95)
    data = packed.getvalue()
    assert (decode_picture(data) == opencv(data)).all()
    with pytest.raises(InvalidPicture, match="premature end"):
        decode_picture(data[:-100] + data[-2:])


def test_an_unusual_sampling_of_colours_is_named():
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 11] = 0x31
    with pytest.raises(InvalidPicture, match=r"unusual sampling of colours \(expected 4:4:4"):
        decode_picture(bytes(data))


@pytest.mark.parametrize("factor", [0x11, 0x22, 0x41])
def test_the_sampling_of_grey_does_not_matter(factor: int):
    data = bytearray(jpeg(channels=1))
    data[data.index(b"\xff\xc0") + 11] = factor
    assert (decode_picture(bytes(data)) == opencv(jpeg(channels=1))).all()
