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
    if rng.random() < 0.66:
        return pack_zip(content, method=method)
    if rng.random() < 0.2:
        name = rng.choice(TEXTS).encode(errors="replace").decode() or "data/"
        return pack_zip(content, name.replace("\0", "") or "x", method)
    return _lie(rng, bytearray(pack_zip(content, method=method)))


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
