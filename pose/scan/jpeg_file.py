"""Find the picture in a JPEG file, and decode it strictly.

The segments of the file are walked first. Only those that the pixels need are given to the decoder: tables,
frame and scan headers, and the compressed pixels. Metadata, previews and what stands behind the picture (the
video of a motion photo, further pictures) are left out, so they can neither cost memory nor cause a warning.

The decoder is libjpeg-turbo through `simplejpeg`, which raises an error where OpenCV prints libjpeg's warning
and returns a picture whose rest is grey, or shows what an earlier picture left in memory.

The format: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pose.errors import InvalidPicture

SIGNATURE: Final = b"\xff\xd8\xff"
# Limits that protect time. A file of 24 MB could hold six million segments.
MAX_SEGMENTS: Final = 65_536
# Each scan passes over the picture again, and may need only a few bytes of the file. So many values of pixels
# are 80 scans of 24 megapixels, or 1200 of 1440x1080, of one component in full resolution.
MAX_SCANNED: Final = 2_000_000_000

# The next marker. Fill bytes (0xFF), markers without content (TEM, RSTn) and stray bytes are skipped, as in
# libjpeg.
_MARKER: Final = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
# What ends the compressed pixels: a marker that is not RSTn. In them 0xFF is always followed by 0 or RSTn.
_PIXELS_END: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SOI, _EOI, _SOS, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_TABLES: Final = (0xC4, 0xDB, 0xDD)  # DHT, DQT, DRI
# Baseline, extended and progressive. Cameras write no others. Those with arithmetic coding also cannot be
# checked: their decoder does not notice that bytes are missing.
_SOF: Final = (0xC0, 0xC1, 0xC2)
_SOF_OTHER: Final = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
_IGNORED: Final = frozenset({*range(0xE0, 0xF0), 0xFE, 0xDC, 0xCC})  # APPn, COM, DNL, DAC
_PROGRESSIVE: Final = 0xC2
_JFIF: Final = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


@dataclass
class _Component:
    """One component of the frame.

    Attributes:
        samples: of the component, as a share of the frame's pixels.
        missing_bits: for each of the 64 coefficients, how many low bits no scan has given; None where no scan
            has given the coefficient.
    """

    samples: float
    missing_bits: list[int | None] = field(default_factory=lambda: [None] * 64)


@dataclass
class JpegFile:
    """The picture in a JPEG file.

    Attributes:
        width, height: in pixels.
        components: 1 for grey, 3 for colour, 4 for CMYK and YCCK.
        data: the segments that the decoder needs.
    """

    width: int
    height: int
    components: int
    data: bytes = b""


def parse_jpeg(data: bytes, file: str) -> JpegFile:
    """Find the picture in a JPEG file, without decoding it.

    A missing end marker is accepted. Whether all pixels are there is for `decode_jpeg` to find out.

    Raises:
        InvalidPicture: the file is damaged, is of a kind that no camera writes, or costs too much time.
    """
    return _Walk(data, file).picture()


def decode_jpeg(picture: JpegFile, file: str) -> NDArray[np.uint8]:
    """Decode a picture that `parse_jpeg` found.

    Returns:
        (H, W, 3) uint8 RGB, row 0 at the top.

    Raises:
        InvalidPicture: the decoder reports an error or a warning: pixels are missing or damaged.
    """
    try:
        if picture.components != 4:
            return np.asarray(simplejpeg.decode_jpeg(picture.data, "RGB"))
        return _rgb_of_cmyk(np.asarray(simplejpeg.decode_jpeg(picture.data, "CMYK")))
    except ValueError as problem:
        if "subsampling" in str(problem):  # TurboJPEG knows those that cameras use, libjpeg a few more
            expected = "4:4:4, 4:2:2, 4:4:0, 4:2:0 or 4:1:1"
            raise InvalidPicture(file, "format", "an unusual sampling of colours", expected) from None
        raise InvalidPicture(
            file, "pixels", f"damaged or truncated: {problem}", "a whole JPEG picture"
        ) from None


def _rgb_of_cmyk(cmyk: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB of (H, W, 4) CMYK. JPEG files hold it inverted, as Adobe does: 255 is no ink."""
    rgb = np.empty((*cmyk.shape[:2], 3), np.uint8)
    for row, source in zip(rgb, cmyk, strict=True):  # row by row: the products need 16 bits
        colours, black = source[:, :3].astype(np.uint16), source[:, 3:].astype(np.uint16)
        row[...] = black - ((255 - colours) * black >> 8)  # as OpenCV
    return rgb


class _Walk:
    """Walks the segments of a JPEG file and collects those that the decoder needs."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file
        self._parts = [b"\xff\xd8"]
        self._frame: JpegFile | None = None
        self._progressive = False
        self._components: dict[int, _Component] = {}
        self._scans = 0
        self._scanned = 0.0

    def picture(self) -> JpegFile:
        has_end = self._collect()
        if self._frame is None:
            raise self._error("header", "no size before the pixels", "a JPEG picture")
        if not self._is_complete(has_end):
            raise self._error("pixels", "truncated")
        self._frame.data = b"".join((*self._parts, b"\xff\xd9"))
        return self._frame

    def _collect(self) -> bool:
        """Collect all segments of the first picture. Return whether its end marker is there."""
        at = 2
        for _ in range(MAX_SEGMENTS):
            found = _MARKER.search(self._data, at)
            marker = self._data[found.start() + 1] if found else _SOI
            if marker in (_SOI, _EOI):  # another picture begins, where the end marker is missing
                return marker == _EOI
            start = found.end() if found else 0
            length = max(2, int.from_bytes(self._data[start : start + 2], "big"))
            at = start + length
            content = self._data[start + 2 : at]
            if len(content) != length - 2 or not self._take(marker, content):
                if self._scans:  # the end marker is missing, and this is no segment
                    return False
                raise self._error("header", "damaged or truncated")
            if marker == _SOS:
                stop, is_marker = self._pixels_end(at)
                self._parts.append(self._data[at:stop])
                if not is_marker:
                    return False
                at = stop
        raise self._error("header", "too many markers", f"at most {MAX_SEGMENTS}")

    def _pixels_end(self, at: int) -> tuple[int, bool]:
        """Return where the compressed pixels end, and whether a marker is there."""
        end = _PIXELS_END.search(self._data, at)
        stop = end.start() if end else len(self._data)
        # Where the end marker is missing, the first box of a video may follow: its length, then "ftyp".
        video = self._data.find(b"ftyp", at, stop) - 4
        if video >= at and self._data[video : video + 3] == bytes(3):
            return video, False
        return stop, end is not None

    def _take(self, marker: int, content: bytes) -> bool:
        """Keep a segment, or leave it out. Return whether it is one."""
        if marker in _SOF:
            self._start_frame(marker, content)
        elif marker == _SOS:
            content = self._start_scan(content)
        elif marker in _SOF_OTHER:
            raise self._error("format", "an unusual kind of JPEG", "baseline or progressive")
        elif marker == _APP0 and content[:5] == b"JFIF\0" and len(content) >= 14:
            self._parts.append(_JFIF)  # it decides the colours, but its version and its preview do not matter
            return True
        elif marker not in _TABLES and not (marker == _APP14 and content[:5] == b"Adobe"):
            return marker in _IGNORED
        self._parts.append(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)
        return True

    def _start_frame(self, marker: int, content: bytes) -> None:
        if self._frame is not None or len(content) < 6:
            raise self._error("header", "damaged or truncated", "one frame header")
        bits, height, width, count = struct.unpack(">BHHB", content[:6])
        if bits != 8 or count not in (1, 3, 4):
            raise self._error(
                "format", f"{count} components of {bits} bits", "1, 3 or 4 components of 8 bits"
            )
        if len(content) != 6 + 3 * count:
            raise self._error("header", "damaged or truncated", "one frame header")
        self._frame = JpegFile(width, height, count)
        self._progressive = marker == _PROGRESSIVE
        blocks = {name: (hv >> 4) * (hv & 15) for name, hv, _ in struct.iter_unpack("3B", content[6:])}
        largest = max(*blocks.values(), 1)
        self._components = {name: _Component(number / largest) for name, number in blocks.items()}

    def _start_scan(self, content: bytes) -> bytes:
        """Count what the scan gives. Return its header."""
        if self._frame is None:
            raise self._error("header", "no size before the pixels", "a JPEG picture")
        count = content[0] if content else 0
        if len(content) != 4 + 2 * count or not set(content[1:-3:2]) <= set(self._components):
            raise self._error("header", "damaged or truncated")
        if not self._progressive:
            # These fields mean nothing here. Some phones write others, and libjpeg warns of them.
            content = content[:-3] + b"\0\x3f\0"
        first, last, bits = content[-3], min(content[-2], 63), content[-1] & 15
        pixels = self._frame.width * self._frame.height
        for name in content[1:-3:2]:
            component = self._components[name]
            component.missing_bits[first : last + 1] = [bits] * max(0, last + 1 - first)
            self._scanned += component.samples * pixels
        self._scans += 1
        if self._scanned > MAX_SCANNED:
            size = f"{self._frame.width}x{self._frame.height}"
            expected = f"at most {MAX_SCANNED} values in all scans"
            raise self._error("format", f"too many scans of {size} pixels", expected)
        return content

    def _is_complete(self, has_end: bool) -> bool:
        """Return whether the scans give all components, and without an end marker also each bit of them.

        A progressive picture that lost its last scans decodes without a warning, only less sharp.
        """
        needed = slice(0, 1 if has_end else 64)
        given = [bits for each in self._components.values() for bits in each.missing_bits[needed]]
        return None not in given and (has_end or not any(given))

    def _error(self, field: str, problem: str, expected: str = "a whole JPEG picture") -> InvalidPicture:
        return InvalidPicture(self._file, field, problem, expected)
