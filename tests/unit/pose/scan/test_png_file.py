"""A PNG file is read however it looks, never with pixels missing, and as a viewer shows it."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from pose.errors import InvalidPicture
from pose.scan import png_file
from pose.scan.pictures import decode_picture

Chunks = Sequence[tuple[bytes, bytes]]
SIDE = 16
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
TEXTS = [(b"tEXt", b"Software\0Snapseed 2.0")] * 20 + [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>")] * 200


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(colour: int, bits: int, rows: np.ndarray, before: Chunks = (), after: Chunks = (), end: bool = True):
    """A picture of 16x16 pixels; `rows` holds the bytes of each row."""
    filtered = np.concatenate((np.zeros((SIDE, 1), np.uint8), rows.reshape(SIDE, -1)), axis=1).tobytes()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(filtered)), *after]
    return png_file.SIGNATURE + b"".join(chunk(*each) for each in chunks) + chunk(b"IEND", b"") * end


def noise(colour: int, bits: int) -> np.ndarray:
    size = SIDE * SIDE * CHANNELS[colour] * bits // 8
    return np.frombuffer(random.Random(1).randbytes(size), np.uint8).reshape(SIDE, -1)


def interlaced(width: int, height: int) -> bytes:
    """RGB of the colours (10 · column, 10 · row, 100) in seven passes."""
    data = b""
    for x, y, step_x, step_y in png_file._PASSES:
        for row in range(y, height, step_y):
            pixels = b"".join(bytes((10 * column, 10 * row, 100)) for column in range(x, width, step_x))
            data += b"\0" + pixels if pixels else b""
    header = struct.pack(">IIBBBBB", width, height, 8, RGB, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return png_file.SIGNATURE + b"".join(chunk(*each) for each in chunks)


def opencv(data: bytes) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return bgr[..., ::-1]


PLAIN = png(RGB, 8, noise(RGB, 8))
COLOURS = bytes(random.Random(2).randbytes(3 * 256))


@pytest.mark.parametrize(
    ("colour", "bits"), [(GREY, 1), (GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (RGB, 8), (RGB, 16)]
)
def test_pixels_are_those_of_opencv(colour: int, bits: int):
    data = png(colour, bits, noise(colour, bits))
    assert (decode_picture(data) == opencv(data)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_may_have_more_or_fewer_colours_than_its_bits_allow(bits: int):
    for colours in (2, 7, 256):
        data = png(
            PALETTE, bits, noise(PALETTE, bits) & 0x11 & (2**bits - 1), [(b"PLTE", COLOURS[: 3 * colours])]
        )
        assert (decode_picture(data) == opencv(data)).all()


@pytest.mark.parametrize(("width", "height"), [(16, 16), (17, 23), (24, 18)])
def test_interlaced_pictures_are_read(width: int, height: int):
    picture = decode_picture(interlaced(width, height))
    assert picture.shape == (height, width, 3)
    assert picture[5, 13].tolist() == [130, 50, 100]


@pytest.mark.parametrize(
    "chunks",
    [
        TEXTS,
        [(b"tEXt", b"k\0v")] * 3000,
        [(b"zTXt", b"k\0\0" + zlib.compress(b"text"))] * 28,
        [(b"iCCP", b"sRGB\0\0no profile"), (b"gAMA", b"\0\0\0\1"), (b"eXIf", b"MM"), (b"pHYs", b"")],
        [(b"PLTE", COLOURS[:7])],  # only a suggestion here
        [(b"tRNS", b"\0")],  # no colour, so nothing is transparent
    ],
)
def test_other_chunks_do_not_matter(chunks: Chunks, capfd: pytest.CaptureFixture[str]):
    whole = decode_picture(PLAIN)
    rows = noise(RGB, 8)
    for data in (png(RGB, 8, rows, before=chunks), png(RGB, 8, rows, after=chunks)):
        assert (decode_picture(data) == whole).all()
    assert capfd.readouterr().err == ""


def test_a_wrong_checksum_matters_only_where_something_is_read():
    text = bytearray(png(RGB, 8, noise(RGB, 8), [(b"tEXt", b"k\0value")]))
    text[text.index(b"value")] ^= 1
    assert (decode_picture(bytes(text)) == decode_picture(PLAIN)).all()
    for name in (b"IHDR", b"IDAT"):
        damaged = bytearray(PLAIN)
        damaged[damaged.index(name) + 4 + 9] ^= 1
        with pytest.raises(InvalidPicture, match="wrong checksum"):
            decode_picture(bytes(damaged))


def test_what_stands_behind_the_picture_and_a_missing_end_do_not_matter(capfd: pytest.CaptureFixture[str]):
    whole = decode_picture(PLAIN)
    for start in (PLAIN, PLAIN[:-12], PLAIN[:-3]):
        for behind in (b"", b"\n", bytes(5000), PLAIN):
            assert (decode_picture(start + behind) == whole).all()
    assert capfd.readouterr().err == ""


def test_a_truncated_picture_is_whole_or_refused(capfd: pytest.CaptureFixture[str]):
    whole = decode_picture(PLAIN)
    read = 0
    for length in range(len(PLAIN)):
        try:
            picture = decode_picture(PLAIN[:length])
        except InvalidPicture:
            continue
        assert (picture == whole).all()
        read += 1
    assert read == 12  # without IEND, or with a part of it
    assert capfd.readouterr().err == ""


def with_pixels(compressed: bytes) -> bytes:
    at = PLAIN.index(b"IDAT") - 4
    return PLAIN[:at] + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("compressed", "reason"),
    [
        (lambda rows: zlib.compress(rows[: len(rows) // 2]), "truncated"),
        (lambda rows: zlib.compress(rows)[:-50], "truncated"),
        (lambda rows: zlib.compress(rows)[:-2], "truncated"),  # a part of the checksum is missing
        (lambda rows: zlib.compress(rows)[:-1] + b"\0", "damaged"),
        (lambda rows: zlib.compress(rows + b"\0"), "more than the header declares"),
        (lambda rows: zlib.compress(b"\5" + rows[1:]), "unknown filter"),
        (lambda rows: b"no pixels", "damaged"),
        (lambda rows: zlib.compress(bytes(10**7)), "more than"),
    ],
)
def test_missing_and_damaged_pixels_are_refused(
    compressed: Callable[[bytes], bytes], reason: str, capfd: pytest.CaptureFixture[str]
):
    at = PLAIN.index(b"IDAT")
    rows = zlib.decompress(PLAIN[at + 4 : -16])
    with pytest.raises(InvalidPicture, match=reason):
        decode_picture(with_pixels(compressed(rows)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("data", [PLAIN, interlaced(16, 16), interlaced(24, 18)])
@pytest.mark.parametrize("behind", [b"\0", b"more", bytes(500)])
def test_bytes_behind_the_compressed_pixels_do_not_matter(
    data: bytes, behind: bytes, capfd: pytest.CaptureFixture[str]
):
    at = data.index(b"IDAT")
    rows = zlib.decompress(data[at + 4 : -16])
    for level in range(10):
        pixels = chunk(b"IDAT", zlib.compress(rows, level) + behind)
        assert (decode_picture(data[: at - 4] + pixels + data[-12:]) == decode_picture(data)).all()
    assert capfd.readouterr().err == ""


def test_headers_that_mean_nothing_are_refused(capfd: pytest.CaptureFixture[str]):
    for at, value in ((24, 3), (25, 1), (25, 5), (26, 1), (27, 1), (28, 2)):
        header = bytearray(PLAIN[16:29])
        header[at - 16] = value
        with pytest.raises(InvalidPicture, match="format"):
            decode_picture(PLAIN[:8] + chunk(b"IHDR", bytes(header)) + PLAIN[33:])
    for palette in (b"", COLOURS[:4], COLOURS + b"123"):
        with pytest.raises(InvalidPicture, match="palette"):
            decode_picture(png(PALETTE, 8, noise(PALETTE, 8), [(b"PLTE", palette)]))
    with pytest.raises(InvalidPicture, match="not known"):
        decode_picture(png(RGB, 8, noise(RGB, 8), [(b"CgBI", bytes(4))]))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")])
def test_many_compressed_texts_are_refused(text: tuple[bytes, bytes]):
    chunks = [(text[0], text[1] + zlib.compress(bytes(10**6)))] * (png_file.MAX_COMPRESSED_CHUNKS + 1)
    assert (decode_picture(png(RGB, 8, noise(RGB, 8), chunks[1:])) == decode_picture(PLAIN)).all()
    with pytest.raises(InvalidPicture, match=r"too many chunks of compressed text \(expected at most 64\)"):
        decode_picture(png(RGB, 8, noise(RGB, 8), chunks))


def test_chunks_are_limited_by_their_number():
    with pytest.raises(InvalidPicture, match=f"too many chunks .expected at most {png_file.MAX_CHUNKS}"):
        decode_picture(PLAIN[:33] + chunk(b"tEXt", b"") * 70_000 + PLAIN[33:])


def hidden(alpha_of_left: int) -> dict[str, bytes]:
    """Pictures of each kind with a right half of one colour and a left half that hides random colours."""
    random_colours = np.frombuffer(random.Random(3).randbytes(SIDE * SIDE * 3), np.uint8).reshape(
        SIDE, SIDE, 3
    )
    rgba = np.full((SIDE, SIDE, 4), (200, 200, 200, 255), np.uint8)
    rgba[:, :8, :3], rgba[:, :8, 3] = random_colours[:, :8], alpha_of_left
    grey_alpha = rgba[..., [0, 3]]
    indices = np.full((SIDE, SIDE), 8, np.uint8)
    indices[:, :8] = random_colours[:, :8, 0] % 8
    palette = [(b"PLTE", COLOURS[:24] + b"\xc8\xc8\xc8"), (b"tRNS", bytes([alpha_of_left]) * 8)]
    return {
        "RGBA": png(RGBA, 8, rgba),
        "RGBA of 16 bits": png(RGBA, 16, rgba.repeat(2, axis=-1)),
        "grey and alpha": png(GREY_ALPHA, 8, grey_alpha),
        "grey and alpha of 16 bits": png(GREY_ALPHA, 16, grey_alpha.repeat(2, axis=-1)),
        "palette": png(PALETTE, 8, indices, palette),
    }


@pytest.mark.parametrize("kind", hidden(0))
def test_colours_of_transparent_pixels_are_not_in_the_picture(kind: str):
    picture = decode_picture(hidden(0)[kind])
    assert (picture[:, :8] == png_file.BACKGROUND).all()
    assert (picture[:, 8:] == 200).all()


@pytest.mark.parametrize("kind", hidden(0))
def test_colours_are_in_the_picture_as_far_as_a_viewer_shows_them(kind: str):
    opaque = decode_picture(hidden(255)[kind])
    assert (opaque[:, 8:] == 200).all()
    assert opaque[:, :8].std() > 30
    faint = decode_picture(hidden(51)[kind])
    expected = 0.2 * opaque[:, :8] + 0.8 * png_file.BACKGROUND
    assert abs(faint[:, :8] - expected).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_is_not_in_the_picture(bits: int):
    # The left half has the value 1, the right one 0.
    pixels = np.zeros((SIDE, SIDE), np.uint16)
    pixels[:, :8] = 1
    if bits == 16:
        rows = pixels.astype(">u2").view(np.uint8)
    else:
        columns = (pixels[..., None] >> np.arange(bits)[::-1]) & 1
        rows = np.packbits(columns.reshape(SIDE, -1).astype(np.uint8), axis=1)
    picture = decode_picture(png(GREY, bits, rows, [(b"tRNS", b"\0\1")]))
    assert (picture[:, :8] == png_file.BACKGROUND).all()
    assert (picture[:, 8:] == 0).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_the_transparent_colour_is_not_in_the_picture(bits: int):
    pixels = np.full((SIDE, SIDE, 3), 7, ">u2" if bits == 16 else np.uint8)
    pixels[:, :8] = (1, 2, 3)
    key = struct.pack(">3H", 1, 2, 3)
    picture = decode_picture(png(RGB, bits, pixels.view(np.uint8), [(b"tRNS", key)]))
    assert (picture[:, :8] == png_file.BACKGROUND).all()
    assert (picture[:, 8:] == (7 if bits == 8 else 0)).all()


def test_a_palette_of_more_alphas_than_colours_hides_what_it_says():
    rows = np.zeros((SIDE, SIDE), np.uint8)
    chunks = [(b"PLTE", b"\x01\x02\x03\x04\x05\x06"), (b"tRNS", bytes(256))]
    assert (decode_picture(png(PALETTE, 8, rows, chunks)) == png_file.BACKGROUND).all()
