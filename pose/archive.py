"""The one member of a ZIP archive that nobody vouches for, never more of it than was asked for."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from pose.errors import InvalidDepthFile

MEMBER: Final = "data"
MAX_BYTES: Final = 8 * 1024 * 1024
MAX_RATIO: Final = 200
# An empty room is one value over and over, which deflates 1000 to 1: what is this small harms nobody.
RATIO_FREE_BYTES: Final = 1024 * 1024

_DIRECTORY_BYTES: Final = 4096  # of one entry, with whatever a tool adds to it
_END: Final = struct.Struct("<4s4H2LH")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# All that `zipfile` is known to raise on damaged archives.
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, NotImplementedError,
    ValueError, OverflowError, KeyError, IndexError, OSError,
)  # fmt: skip


def is_archive(data: bytes) -> bool:
    """Whether the data begin like a ZIP archive."""
    return data[:4] == b"PK\x03\x04"


@contextmanager
def open_member(data: bytes, file: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the archive's only member, `data`, for reading in pieces.

    `read(n)` on it inflates no more than about n bytes. What follows in the `with` block may leave errors
    of a damaged archive as they are: they come out as `InvalidDepthFile`.

    Yields:
        The stream, and the size that the archive declares for it; more than that is never read.

    Raises:
        InvalidDepthFile: not exactly one member `data`, stored or deflated, of a plausible size.
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
        # `zipfile` puts member names into its messages; those are not ours to repeat.
        raise InvalidDepthFile(file, "archive", "damaged", "a ZIP archive") from None


def _check_directory(data: bytes, file: str) -> None:
    """See that the directory is small before `zipfile` reads it: it makes an object of every entry."""
    if len(data) > MAX_BYTES:
        raise InvalidDepthFile(file, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    if not is_archive(data) or len(data) < _END.size:
        raise InvalidDepthFile(file, "archive", "not a ZIP archive", "a ZIP archive")
    signature, disk, start_disk, here, total, size, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise InvalidDepthFile(file, "archive", "no end record, as if truncated", "a whole ZIP archive")
    # With a ZIP64 locator before it, `zipfile` would believe another record instead of this one.
    if data[-_END.size - 20 :][:4] == b"PK\x06\x07" or disk or start_disk:
        raise InvalidDepthFile(file, "archive", "ZIP64 or several disks", "a plain archive")
    if here != 1 or total != 1 or size > _DIRECTORY_BYTES:
        raise InvalidDepthFile(file, "archive", f"{total} members", f"exactly one member, {MEMBER!r}")
