"""Check a PNG file, and decode it as a viewer shows it.

The chunks of the file are walked first. Only the header, the palette, the transparent colour and the
compressed pixels are given to the decoder, once their checksums and the number of bytes that they inflate to
are found right. Texts, profiles and what stands behind the picture are left out, so they can neither cost
memory nor cause a warning. libpng's warnings and errors would be printed by OpenCV.

The format: ISO/IEC 15948.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.errors import InvalidPicture

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Limits that protect time. A file of 24 MB could hold two million chunks.
MAX_CHUNKS: Final = 65_536
# Chunks that other programs may inflate to gigabytes. No camera or editor writes more than a few.
MAX_COMPRESSED_CHUNKS: Final = 64
BACKGROUND: Final = 255  # most viewers show transparent pixels on white

_READ: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # the checksums of other chunks do not matter
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS: Final = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_BITS: Final = {_GREY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}
# Adam7: first column and row of each pass, and the steps between its columns and rows.
_PASSES: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_LAST_FILTER: Final = 4
_INFLATED_AT_ONCE: Final = 4 * 1024 * 1024


@dataclass
class PngFile:
    """A PNG picture.

    Attributes:
        width, height: in pixels.
        bits: of a channel or of an index into the palette.
        colour: the colour type of the header.
        interlaced: whether the pixels stand in seven passes.
        palette: the content of PLTE, or None.
        transparent: the transparent grey, the transparent red, green and blue, or the alpha of each colour of
            the palette; None where the file has none that its kind can have.
        pixels: the compressed pixels.
    """

    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool
    palette: bytes | None = None
    transparent: tuple[int, ...] | None = None
    pixels: bytes = b""


def parse_png(data: bytes, file: str) -> PngFile:
    """Find the picture in a PNG file, without decoding it.

    A missing end marker is accepted. Whether all pixels are there is for `decode_png` to find out.

    Raises:
        InvalidPicture: the file is damaged, is animated, or has too many chunks.
    """
    picture: PngFile | None = None
    parts: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    compressed = 0
    for name, content in _chunks(data, file):
        if (name == b"IHDR") is not (picture is None):
            raise _error(file, "header", "damaged or truncated")
        if picture is None:
            picture = _header(content, file)
        elif name in (b"PLTE", b"tRNS"):
            parts.setdefault(name, content)
        elif name == b"IDAT":
            pixels.append(content)
        elif name == b"acTL":
            raise _error(file, "format", "an animated PNG", "one picture")
        elif _is_compressed_text(name, content):
            compressed += 1
            if compressed > MAX_COMPRESSED_CHUNKS:
                problem, expected = "too many chunks of compressed text", f"at most {MAX_COMPRESSED_CHUNKS}"
                raise _error(file, "format", problem, expected)
        elif not name[0] & 0x20:  # a capital letter: nobody can show the picture without it
            raise _error(file, "format", "a kind of chunk that is not known", "IHDR, PLTE, IDAT and IEND")
    if picture is None or not pixels:
        raise _error(file, "header" if picture is None else "pixels", "damaged or truncated")
    picture.pixels = b"".join(pixels)
    if picture.colour == _PALETTE:
        picture.palette = parts.get(b"PLTE", b"")
        if not 0 < len(picture.palette) <= 768 or len(picture.palette) % 3:
            problem = f"a palette of {len(picture.palette)} bytes"
            raise _error(file, "header", problem, "3 for each of up to 256 colours")
    picture.transparent = _transparent(picture, parts.get(b"tRNS", b""))
    return picture


def decode_png(picture: PngFile, file: str) -> NDArray[np.uint8]:
    """Decode a picture that `parse_png` found.

    Pixels that are transparent are mixed with the background as far as they are, so the colours that a viewer
    does not show are not in the result.

    Returns:
        (H, W, 3) uint8 RGB, row 0 at the top.

    Raises:
        InvalidPicture: pixels are missing or damaged.
    """
    _check_pixels(picture, file)
    has_alpha = picture.colour in (_GREY_ALPHA, _RGBA) or picture.transparent is not None
    how = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(_only_needed(picture), np.uint8), how)
    except cv2.error:
        decoded = None
    channels = () if has_alpha and picture.colour == _GREY else (4,) if has_alpha else (3,)
    if decoded is None or decoded.shape != (picture.height, picture.width, *channels):
        raise _error(file, "pixels", "cannot be decoded", f"{picture.width}x{picture.height} pixels")
    if not has_alpha:
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded), np.uint8)
    return _on_background(decoded, picture)


def _on_background(decoded: NDArray[Any], picture: PngFile) -> NDArray[np.uint8]:
    """Mix (H, W) grey with a transparent grey, or (H, W, 4) BGRA, of 8 or 16 bits with the background."""
    rgb = np.empty((picture.height, picture.width, 3), np.uint8)
    shift = 8 * (decoded.itemsize - 1)
    key = picture.transparent[0] if picture.transparent else 0
    if picture.bits < 8:
        key *= 255 // ((1 << picture.bits) - 1)  # OpenCV makes 0 and 255 of 1 bit
    for row, source in zip(rgb, decoded, strict=True):  # row by row: the products need 16 bits
        if source.ndim == 1:
            colours, alpha = source[:, None] >> shift, np.where(source == key, 0, 255)[:, None]
        else:
            colours, alpha = source[:, 2::-1] >> shift, source[:, 3:] >> shift
        alpha = alpha.astype(np.uint16)
        row[...] = (colours * alpha + BACKGROUND * (255 - alpha) + 127) // 255
    return rgb


def _chunks(data: bytes, file: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk before IEND, or before the file ends."""
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if (name == b"IEND" and length == 0) or not name.isalpha():  # without IEND, this is no chunk
            return
        if length >= 2**31:
            raise _error(file, "header", "damaged or truncated", "chunks of less than 2 GB")
        if len(data) < at + 12 + length:
            return
        content = data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if name in _READ and _checksum(name, content) != checksum:
            raise _error(file, "pixels" if name == b"IDAT" else "header", "damaged: wrong checksum")
        yield name, content
        at += 12 + length
    raise _error(file, "header", "too many chunks", f"at most {MAX_CHUNKS}")


def _checksum(name: bytes, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")


def _header(content: bytes, file: str) -> PngFile:
    if len(content) != 13:
        raise _error(file, "header", "damaged or truncated")
    width, height, bits, colour, compression, filters, interlaced = struct.unpack(">IIBBBBB", content)
    if colour not in _CHANNELS or bits not in _BITS.get(colour, (8, 16)) or (compression, filters) != (0, 0):
        raise _error(file, "format", f"colour type {colour} of {bits} bits", "a PNG picture")
    if interlaced > 1:
        raise _error(file, "format", f"interlace method {interlaced}", "0 or 1")
    return PngFile(width, height, bits, colour, bool(interlaced))


def _is_compressed_text(name: bytes, content: bytes) -> bool:
    """Return whether the chunk is a text or a profile that other programs inflate."""
    if name == b"iTXt":
        return content.partition(b"\0")[2][:1] == b"\1"
    return name in (b"zTXt", b"iCCP")


def _transparent(picture: PngFile, content: bytes) -> tuple[int, ...] | None:
    """Return what tRNS says. What does not fit the kind of picture means nothing, as in libpng."""
    if picture.colour == _PALETTE and content and picture.palette:
        return tuple(content[: len(picture.palette) // 3])
    if len(content) == {_GREY: 2, _RGB: 6}.get(picture.colour):
        return tuple(value & (1 << picture.bits) - 1 for (value,) in struct.iter_unpack(">H", content))
    return None


def _row_lengths(picture: PngFile) -> Iterator[tuple[int, int]]:
    """Yield the number of rows and the bytes of a row, its filter included, of each pass."""
    for x, y, step_x, step_y in _PASSES if picture.interlaced else ((0, 0, 1, 1),):
        columns = -((x - picture.width) // step_x)
        rows = -((y - picture.height) // step_y)
        if columns > 0 and rows > 0:
            yield rows, 1 + (columns * _CHANNELS[picture.colour] * picture.bits + 7) // 8


def _check_pixels(picture: PngFile, file: str) -> None:
    """Inflate the pixels in parts, and compare their checksum, their number and the filter of each row."""
    stream = zlib.decompressobj()
    rest = picture.pixels
    try:
        for rows, length in _row_lengths(picture):
            at, size = 0, rows * length
            while at < size:
                part = stream.decompress(rest, min(size - at, _INFLATED_AT_ONCE))
                rest = stream.unconsumed_tail
                if not part:
                    raise _error(file, "pixels", "truncated")
                if max(part[-at % length :: length], default=0) > _LAST_FILTER:
                    raise _error(file, "pixels", "damaged: a row has an unknown filter")
                at += len(part)
        if not stream.eof and stream.decompress(rest, 1):
            raise _error(file, "pixels", "more than the header declares")
    except zlib.error:
        raise _error(file, "pixels", "damaged") from None
    if not stream.eof:
        raise _error(file, "pixels", "truncated")
    if stream.unused_data:
        picture.pixels = picture.pixels[: -len(stream.unused_data)]


def _only_needed(picture: PngFile) -> bytes:
    """Return a PNG file of the chunks that decide about the pixels."""
    header = struct.pack(
        ">IIBBBBB", picture.width, picture.height, picture.bits, picture.colour, 0, 0, picture.interlaced
    )
    chunks = [(b"IHDR", header), (b"IDAT", picture.pixels), (b"IEND", b"")]
    if picture.transparent is not None and picture.colour != _GREY:  # OpenCV does not know a transparent grey
        kind = ">3H" if picture.colour == _RGB else f"{len(picture.transparent)}B"
        chunks.insert(1, (b"tRNS", struct.pack(kind, *picture.transparent)))
    if picture.palette is not None:
        chunks.insert(1, (b"PLTE", picture.palette))
    out = [SIGNATURE]
    for name, content in chunks:
        out += (len(content).to_bytes(4, "big"), name, content, _checksum(name, content))
    return b"".join(out)


def _error(file: str, field: str, problem: str, expected: str = "a whole PNG picture") -> InvalidPicture:
    return InvalidPicture(file, field, problem, expected)
