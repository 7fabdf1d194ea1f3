"""Undo the scrambling of artefacts: production's newer records XOR each file with a repeating key.

The first byte of a file meets the first byte of the key. Undone, the files are those that docs/scans.md
describes. The `version` in `scan.json` tells which records are scrambled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pose.errors import InvalidScan

MAX_KEY_BYTES: Final = 2048
_SCRAMBLED: Final = re.compile(r"((?:ir-2|v3)(?:\.\d{1,6}){0,3})(?:\.|$)", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)


def parse_xor_key(text: str) -> bytes:
    """Return the key that a text holds as hex digits. Space around them is ignored.

    Raises:
        ValueError: the text is no such key. The message does not repeat it.

    >>> parse_xor_key(" 00ff7E\\n")
    b'\\x00\\xff~'
    """
    text = text.strip()
    if not _HEX.fullmatch(text) or len(text) > 2 * MAX_KEY_BYTES:
        raise ValueError(
            f"an XOR key of {len(text)} characters cannot be used, "
            f"expected 1 to {MAX_KEY_BYTES} bytes, each of them two hex digits"
        )
    return bytes.fromhex(text)


def check_xor_key(key: bytes | None) -> None:
    """Raise ValueError unless the key is None or bytes, at least one."""
    if key is not None and (not isinstance(key, bytes) or not key):
        came = "no bytes" if isinstance(key, bytes) else type(key).__name__
        raise ValueError(f"xor_key is {came}, expected bytes, at least one; bytes.fromhex reads hex digits")


def xor(data: bytes, key: bytes) -> bytes:
    """Return the data XOR-ed with the repeated key: its own inverse.

    >>> xor(xor(b"a picture", b"key"), b"key")
    b'a picture'
    """
    repeated = np.tile(np.frombuffer(key, np.uint8), len(data) // len(key) + 1)[: len(data)]
    return np.bitwise_xor(np.frombuffer(data, np.uint8), repeated).tobytes()


@dataclass(frozen=True)
class Scrambling:
    """How the artefacts of one scan are stored.

    Attributes:
        version: of the scan's record, as far as an error may show it; None if its artefacts are stored plain.
        key: to undo the scrambling with, or None.
    """

    version: str | None
    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, version: object, key: bytes | None) -> Scrambling:
        """Return the scrambling of a record with this `version`."""
        match = _SCRAMBLED.match(version) if isinstance(version, str) else None
        return cls(match and match[1], key)

    def undo(
        self,
        data: bytes,
        is_plain: Callable[[bytes], bool],
        expected: str,
        file: str,
        error: type[InvalidScan],
    ) -> bytes:
        """Return the plain bytes of an artefact. One that was stored plain after all is returned as it is.

        Args:
            data: the bytes of the file.
            is_plain: tells whether bytes are of the expected format, by their beginning or their text.
            expected: the name of that format.
            file: what the error message calls the file.
            error: the type of error to raise.

        Raises:
            InvalidScan: `error`, if there is no key, or if it does not give the expected format.
        """
        if self.version is None or is_plain(data):
            return data
        problem = f"artefacts of version {self.version} are scrambled; "
        if self.key is None:
            known = "xor_key of read_scan, --xor-key-file or SCANS_XOR_KEY"
            raise error(file, "version", problem + "no key is given", f"the key as {known}")
        plain = xor(data, self.key)
        if not is_plain(plain):
            raise error(
                file, "version", problem + "this key does not undo it", f"{expected} with the right key"
            )
        return plain
