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

from pose.checks import check_bytes, check_choice, check_numbers, check_size, check_type, check_whole
from pose.errors import InvalidDepthFile
from pose.geometry.depthmap import DepthMap
from pose.scan.calibration import Calibration
from pose.scan.depth_header import (
    MAX_LINE,
    SCALE_RANGE,
    Header,
    format_header,
    line_end,
    parse_header,
    starts_like_header,
)

Encoding = Literal["zip", "ir"]

MEMBER: Final = "data"
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_RATIO: Final = 200
# Members up to this size may have any ratio: an empty room is one value repeated, and deflates 1000 to 1.
RATIO_FREE_BYTES: Final = 1024 * 1024
KNOWN_SIZES: Final = ((240, 180), (180, 135), (320, 240), (640, 480))  # of devices
MAX_TRAILING: Final = 4096  # bytes after the pixels; real files have a few
IR_SCALE: Final = 0.001  # `ir` files without a header are in millimetres

MAX_DIRECTORY_BYTES: Final = 16 * 1024  # of the entries of all members; `zipfile` makes an object of each

_LOCAL, _ENTRY, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_LOCATOR_64, _END_64 = b"PK\x06\x07", b"PK\x06\x06"
_LOCATOR_64_BYTES: Final = 20
_END_RECORD_64: Final = struct.Struct("<4sQ2H2L4Q")
_MAX_ENDS: Final = 64  # how many end records are looked at; those of a comment or of pixels are no real ones
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OTHER_METHODS: Final = {
    9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd", 99: "AES",
}  # fmt: skip
# What file managers put beside the files that they pack.
_CLUTTER: Final = ("__macosx/", ".ds_store", "thumbs.db", "desktop.ini", "._")
_OTHER_ARCHIVES: Final = {
    b"Rar!": "a RAR archive", b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture", _END: "an empty one",
}  # fmt: skip
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
    check_numbers(scale, (), "scale, metres a unit,", SCALE_RANGE)
    check_whole(levels, "levels", (1, 255))
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
    if start.startswith(_LOCAL):
        raise InvalidDepthFile(file, "archive", "an archive in the archive", "the depth in the archive")
    if encoding == "ir" and (end < 0 or not starts_like_header(start)):
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
    """Return whether the data start like a ZIP archive, or end like one that has bytes before it."""
    return data.startswith(_LOCAL) or any(True for _ in _end_records(data))


@contextmanager
def open_member(data: bytes, file: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the archive's member with the depth for reading in parts.

    This is the member `data`, in any folder of the archive. Where no member has this name, it is the only
    one, whatever its name. Folders and what file managers put beside the files do not count. Bytes before and
    after the archive are ignored, as other ZIP tools ignore them.

    `read(n)` inflates no more than about n bytes. Errors of a damaged archive in the `with` block are turned
    into `InvalidDepthFile`.

    Yields:
        The stream, and the size that the archive declares for it. It never gives more than that.

    Raises:
        InvalidDepthFile: there is not exactly one such member, stored or deflated, of a plausible size.
    """
    archive_bytes = _without_surroundings(data, file)
    try:
        with zipfile.ZipFile(io.BytesIO(archive_bytes)) as archive:
            member = _depth_member(archive.infolist(), file)
            if member.flag_bits & 0x1:
                raise InvalidDepthFile(file, "archive", "encrypted", "an archive without a password")
            if member.compress_type not in _METHODS:
                name = _OTHER_METHODS.get(member.compress_type, "an unknown method")
                method = f"compression method {member.compress_type} ({name})"
                raise InvalidDepthFile(file, "archive", method, "stored or deflated")
            packed = min(member.compress_size, len(data))
            if member.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * packed):
                problem = f"{member.file_size} bytes out of {packed}"
                raise InvalidDepthFile(file, "archive ratio", problem, f"at most {MAX_RATIO} to 1")
            with archive.open(member) as stream:
                yield stream, member.file_size
    except InvalidDepthFile:
        raise
    except _DAMAGED:
        # The messages of `zipfile` contain member names, which may hold a person's code.
        raise InvalidDepthFile(file, "archive", "damaged", "a ZIP archive") from None


def _depth_member(members: list[zipfile.ZipInfo], file: str) -> zipfile.ZipInfo:
    """Return the member `data`, or the only one."""
    expected = f"exactly one member, {MEMBER!r}"
    files = [member for member in members if not _is_clutter(member.filename)]
    named = [member for member in files if _path(member.filename)[-1].lower() == MEMBER] or files
    if len(named) != 1:
        raise InvalidDepthFile(file, "archive", f"{len(named)} members", expected)
    if ".." in _path(named[0].filename) or _path(named[0].filename)[0] == "":
        raise InvalidDepthFile(file, "archive", "a member outside the archive's folder", expected)
    return named[0]


def _path(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")  # some tools of Windows write backslashes


def _is_clutter(name: str) -> bool:
    """Return whether a member is a folder, or what a file manager puts beside the files."""
    folder, last = _path(name.lower())[0] + "/", _path(name.lower())[-1]
    return last == "" or folder.startswith(_CLUTTER[0]) or last.startswith(_CLUTTER[1:])


def _end_records(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where an end record stands and how long the directory is, from the last one to the first.

    A record is a real one if the directory that it declares is there.
    """
    at = len(data)
    for _ in range(_MAX_ENDS):
        at = data.rfind(_END, 0, at + len(_END) - 1)
        if at < 0:
            return
        if len(data) < at + _END_RECORD.size:
            continue
        size, directory_end = _END_RECORD.unpack_from(data, at)[5], at
        if data.startswith(_LOCATOR_64, max(0, at - _LOCATOR_64_BYTES)):
            directory_end = at - _LOCATOR_64_BYTES - _END_RECORD_64.size
            if directory_end < 0 or not data.startswith(_END_64, directory_end):
                continue
            size = _END_RECORD_64.unpack_from(data, directory_end)[8]
        start = directory_end - size
        if start >= 0 and data.startswith(_ENTRY, start):
            yield at, size


def _without_surroundings(data: bytes, file: str) -> bytes:
    """Return the archive without the bytes and the comment after it.

    The size of the directory is checked before `zipfile` reads it and makes an object of each entry.
    """
    end = next(_end_records(data), None)
    if end is None:
        for start, name in _OTHER_ARCHIVES.items():
            if data.startswith(start):
                raise InvalidDepthFile(file, "archive", f"not a ZIP archive but {name}", "a ZIP archive")
        if starts_like_header(data):
            raise InvalidDepthFile(file, "archive", "not zipped", "a ZIP archive of these bytes")
        if not data.startswith(_LOCAL):
            raise InvalidDepthFile(file, "archive", "not a ZIP archive", "a ZIP archive")
        raise InvalidDepthFile(file, "archive", "no end record, as if truncated", "a whole ZIP archive")
    at, size = end
    _, disk, start_disk, here, total, *_ = _END_RECORD.unpack_from(data, at)
    if (disk, start_disk) not in ((0, 0), (0xFFFF, 0xFFFF)) or here != total:
        raise InvalidDepthFile(file, "archive", "a part of an archive in several files", "a whole one")
    if size > MAX_DIRECTORY_BYTES:
        problem = f"a directory of {size} bytes"
        raise InvalidDepthFile(file, "archive", problem, f"exactly one member, {MEMBER!r}")
    return data[: at + _END_RECORD.size - 2] + bytes(2)
