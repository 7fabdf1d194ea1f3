"""Read and write `.depth` files.

A `.depth` file is a ZIP archive with one member, `data`: a header line (`depth_header`), then H rows of W
pixels, top row first, 3 bytes each: depth high byte, depth low byte, confidence. Depth times the scale in the
header is metres, 0 is no measurement. Devices whose scan `version` starts with `ir` write another encoding:
see `parse_depth`.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, Literal, get_args

import numpy as np

from pose.checks import check_bytes, check_choice, check_size, check_type
from pose.errors import InvalidDepthFile
from pose.geometry.depthmap import DepthMap
from pose.scan.calibration import Calibration
from pose.scan.depth_header import MAX_LINE, SCALE_RANGE, Header, format_header, line_end, parse_header

Encoding = Literal["zip", "ir"]

MEMBER: Final = "data"
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_RATIO: Final = 200
# Members up to this size may have any ratio: an empty room is one value repeated, and deflates 1000 to 1.
RATIO_FREE_BYTES: Final = 1024 * 1024
KNOWN_SIZES: Final = ((240, 180), (180, 135), (320, 240), (640, 480))  # of devices
MAX_TRAILING: Final = 4096  # bytes after the pixels; real files have a few
IR_SCALE: Final = 0.001  # `ir` files without a header are in millimetres

_DIRECTORY_BYTES: Final = 4096  # of the one entry, including what tools add to it
_END: Final = struct.Struct("<4s4H2LH")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What `zipfile` is known to raise for damaged archives.
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, NotImplementedError,
    ValueError, OverflowError, KeyError, IndexError, OSError,
)  # fmt: skip


def parse_depth(
    data: bytes,
    calibration: Calibration,
    file: str = "depth",
    encoding: Encoding = "zip",
    size: tuple[int, int] | None = None,
) -> DepthMap:
    """Read the bytes of a `.depth` file.

    Args:
        data: the bytes of the file.
        calibration: of the phone; its depth camera is used.
        file: what error messages call the file.
        encoding: "zip" is the format above. "ir" is H * W little-endian uint16, without confidence. It is
            not documented and no real file was available, so all variants are accepted: in an archive or
            not, with a header line or not. Without a header, the size is `size` or the one of `KNOWN_SIZES`
            that fits the number of bytes, depths are in millimetres and the pose is unknown.
        size: width, height of an "ir" file without a header.

    Raises:
        InvalidDepthFile: the archive, the header or the number of pixels is not valid. No more is inflated or
            allocated than a valid header allows.
        ValueError: an argument is of another type.
    """
    data = check_bytes(data, "data")
    check_type(calibration, Calibration, "calibration", "parse_calibration returns one")
    check_choice(encoding, get_args(Encoding), "encoding")
    if size is not None:
        size = check_size(size, "size")
    if len(data) > MAX_BYTES:
        raise InvalidDepthFile(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    if encoding == "ir" and not is_archive(data):
        return _read(io.BytesIO(data), len(data), calibration, file, encoding, size)
    with open_member(data, file) as (stream, length):
        return _read(stream, length, calibration, file, encoding, size)


def write_depth(depthmap: DepthMap, scale: float = 0.001, levels: int = 7) -> bytes:
    """Return the bytes of a `.depth` file that `parse_depth` reads. Equal input gives equal bytes.

    Depth is rounded to multiples of `scale` metres, confidence to one of `levels` (1..255) steps. If the
    confidence is None, each pixel gets the largest. A known pose at exactly 0, 0, 0 is written a micrometre
    higher, because these zeros mean an unknown pose.

    Raises:
        ValueError: a depth is larger than 65535 * scale, or scale or levels is out of range.
    """
    check_type(depthmap, DepthMap, "depthmap")
    if not SCALE_RANGE[0] <= scale <= SCALE_RANGE[1]:
        raise ValueError(f"scale is {scale}, expected {SCALE_RANGE[0]:g} to {SCALE_RANGE[1]:g} metres a unit")
    if not 1 <= levels <= 255:
        raise ValueError(f"levels is {levels}, expected 1 to 255")
    units = np.rint(depthmap.depth / scale)
    if not (units.min() >= 0 and units.max() <= 0xFFFF):
        raise ValueError(f"depth outside 0 to {0xFFFF * scale:g} m")
    pixels = np.empty((*depthmap.depth.shape, 3), np.uint8)
    pixels[..., :2] = units.astype(">u2")[..., None].view(np.uint8)
    confidence = 1.0 if depthmap.confidence is None else np.clip(depthmap.confidence, 0, 1)
    pixels[..., 2] = np.rint(np.asarray(confidence) * levels)
    translation = depthmap.translation
    if depthmap.pose_known and not translation.any():
        translation = np.array([0.0, 1e-6, 0.0])
    header = Header(
        depthmap.width, depthmap.height, scale, levels, depthmap.rotation, translation, depthmap.pose_known
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(MEMBER)  # its date is always the same one
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, format_header(header) + pixels.tobytes())
    return packed.getvalue()


def _read(
    stream: IO[bytes],
    length: int,
    calibration: Calibration,
    file: str,
    encoding: Encoding,
    size: tuple[int, int] | None,
) -> DepthMap:
    pixel_bytes = 3 if encoding == "zip" else 2
    start = stream.read(MAX_LINE)
    end = line_end(start)
    # A header starts like "240x". Depths whose bytes look like that do not occur in the first pixels.
    if encoding == "ir" and (end < 0 or b"x" not in start[:6] or not start[:1].isdigit()):
        header, end = _guessed_header(length, size, file), -1
    elif end < 0:
        raise InvalidDepthFile(file, "header", "no line end", f"a line of at most {MAX_LINE} bytes")
    else:
        header = parse_header(start[:end], file)

    count = header.width * header.height
    need = end + 1 + count * pixel_bytes
    if not need <= length <= need + MAX_TRAILING:
        problem = f"{length - end - 1} bytes for {header.width}x{header.height}"
        raise InvalidDepthFile(file, "pixels", problem, f"{need - end - 1}")
    data = start + stream.read(length - len(start))
    # Reading on past the end makes `zipfile` compare the checksum.
    if len(data) != length or stream.read(1):
        raise InvalidDepthFile(file, "pixels", "fewer bytes than declared", f"{length}")

    shape = (header.height, header.width)
    confidence = None
    if encoding == "zip":
        pixels = np.frombuffer(data, np.uint8, count * 3, end + 1).reshape(*shape, 3)
        units = pixels[..., 0].astype(np.float32) * 256 + pixels[..., 1]
        if header.levels:
            confidence = np.minimum(pixels[..., 2] * np.float32(1 / header.levels), np.float32(1))
    else:
        units = np.frombuffer(data, "<u2", count, end + 1).reshape(shape).astype(np.float32)
    return DepthMap(
        depth=units * np.float32(header.scale),
        confidence=confidence,
        intrinsics=calibration.depth_intrinsics(header.width, header.height),
        rotation=header.rotation,
        translation=header.translation,
        pose_known=header.pose_known,
    )


def _guessed_header(length: int, size: tuple[int, int] | None, file: str) -> Header:
    """Return the header of an `ir` file that has none."""
    for width, height in KNOWN_SIZES if size is None else (size,):
        if width * height * 2 <= length <= width * height * 2 + MAX_TRAILING:
            return Header(width, height, IR_SCALE, 0, np.eye(3), np.zeros(3), False)
    raise InvalidDepthFile(file, "pixels", f"{length} bytes", "two bytes a pixel of a known size")


def is_archive(data: bytes) -> bool:
    """Return whether the data start like a ZIP archive."""
    return data[:4] == b"PK\x03\x04"


@contextmanager
def open_member(data: bytes, file: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the archive's only member, `data`, for reading in parts.

    `read(n)` inflates no more than about n bytes. Errors of a damaged archive in the `with` block are turned
    into `InvalidDepthFile`.

    Yields:
        The stream, and the size that the archive declares for it. It never gives more than that.

    Raises:
        InvalidDepthFile: there is not exactly one member `data`, stored or deflated, of a plausible size.
    """
    _check_directory(data, file)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) != 1 or members[0].filename != MEMBER:
                raise InvalidDepthFile(file, "archive", "other members", f"exactly one member, {MEMBER!r}")
            member = members[0]
            if member.flag_bits & 0x1:
                raise InvalidDepthFile(file, "archive", "encrypted", "a plain archive")
            if member.compress_type not in _METHODS:
                method = f"compression method {member.compress_type}"
                raise InvalidDepthFile(file, "archive", method, "stored or deflated")
            if member.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * len(data)):
                problem = f"{member.file_size} bytes out of {len(data)}"
                raise InvalidDepthFile(file, "archive ratio", problem, f"at most {MAX_RATIO} to 1")
            with archive.open(member) as stream:
                yield stream, member.file_size
    except InvalidDepthFile:
        raise
    except _DAMAGED:
        # The messages of `zipfile` contain member names, which may hold a person's code.
        raise InvalidDepthFile(file, "archive", "damaged", "a ZIP archive") from None


def _check_directory(data: bytes, file: str) -> None:
    """Check the size of the directory before `zipfile` reads it and makes an object of each entry."""
    if not is_archive(data) or len(data) < _END.size:
        raise InvalidDepthFile(file, "archive", "not a ZIP archive", "a ZIP archive")
    signature, disk, start_disk, here, total, size, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise InvalidDepthFile(file, "archive", "no end record, as if truncated", "a whole ZIP archive")
    # With a ZIP64 locator before it, `zipfile` would use another record instead of this one.
    if data[-_END.size - 20 :][:4] == b"PK\x06\x07" or disk or start_disk:
        raise InvalidDepthFile(file, "archive", "ZIP64 or several disks", "a plain archive")
    if here != 1 or total != 1 or size > _DIRECTORY_BYTES:
        raise InvalidDepthFile(file, "archive", f"{total} members", f"exactly one member, {MEMBER!r}")
