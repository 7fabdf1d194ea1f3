"""ZIP archives around changed content, with true and with false headers."""

from __future__ import annotations

import io
import random
import struct
import zipfile

from tools.fuzz.mutations import TEXTS

_SIZES = (0, 1, 1000, 2**20, 2**24, 2**31, 2**32 - 1)


def pack_zip(content: bytes, name: str = "data", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of one member."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        member = zipfile.ZipInfo(name)  # its date is always the same
        member.compress_type = method
        archive.writestr(member, content)
    return packed.getvalue()


def pack_any_zip(rng: random.Random, content: bytes) -> bytes:
    """Return an archive of this content. One in three is damaged."""
    method = zipfile.ZIP_STORED if rng.random() < 0.3 else zipfile.ZIP_DEFLATED
    if rng.random() < 0.33:
        return pack_zip(content, method=method)
    if rng.random() < 0.5:
        return _surround(rng, content, method)
    if rng.random() < 0.2:
        name = rng.choice(TEXTS).encode(errors="replace").decode() or "data/"
        return pack_zip(content, name.replace("\0", "") or "x", method)
    return _lie(rng, bytearray(pack_zip(content, method=method)))


def _surround(rng: random.Random, content: bytes, method: int) -> bytes:
    """Return an archive with what ZIP tools put into it and around it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name in rng.sample(("__MACOSX/._data", "depth/", ".DS_Store", "a/Thumbs.db", "b/data"), 2):
            if rng.random() < 0.3:
                archive.writestr(zipfile.ZipInfo(name), b"")
        with archive.open("data", "w", force_zip64=rng.random() < 0.3) as member:
            member.write(content)
        archive.comment = rng.choice((b"", b"", b"a comment", b"PK\x05\x06" + bytes(18)))
    data = packed.getvalue()
    if not archive.comment and rng.random() < 0.3:
        data = _with_zip64_end(data)
    around = (b"", b"\n", bytes(30), b"PK\x05\x06", b"PK\x05\x06" * 100, b"\xef\xbb\xbf")
    return rng.choice(around) + data + rng.choice(around)


def _with_zip64_end(data: bytes) -> bytes:
    """Return the archive with the end records that `zip` writes for a stream."""
    members, size, start = struct.unpack("<HLL", data[-12:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, members, members, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    return data[:-22] + record + locator + data[-22:-10] + b"\xff" * 8 + bytes(2)


def _lie(rng: random.Random, data: bytearray) -> bytes:
    """Change fields of the directory, and sometimes the same ones of the local header."""
    directory = data.rindex(b"PK\x01\x02")
    for _ in range(rng.choice((1, 1, 2, 3))):
        match rng.randrange(6):
            case 0:
                for at in (directory + 24, 22)[: rng.choice((1, 2))]:
                    data[at : at + 4] = struct.pack("<L", rng.choice(_SIZES))
            case 1:
                data[directory + 20 : directory + 24] = struct.pack("<L", rng.choice(_SIZES))
            case 2:
                flag = rng.choice((0x1, 0x8, 0x20, 0x40, 0x800, 0x2000))
                data[directory + 8 : directory + 10] = data[6:8] = struct.pack("<H", flag)
            case 3:
                method = rng.choice((0, 1, 6, 8, 9, 12, 14, 93, 99))
                data[directory + 10 : directory + 12] = data[8:10] = struct.pack("<H", method)
            case 4:
                data[directory + 42 : directory + 46] = struct.pack("<L", rng.choice(_SIZES))
            case _:
                at = len(data) - 22 + rng.choice((4, 6, 8, 10, 12, 16, 20))
                data[at : at + 2] = struct.pack("<H", rng.randrange(0x10000))
    return bytes(data)
