"""Scans as production's newer records store them: listed by a scan.json, each artefact XOR-ed with a key."""

from __future__ import annotations

import json
from itertools import cycle

KEY = bytes.fromhex("5aff0013c7")


def xored(data: bytes, key: bytes = KEY) -> bytes:
    return bytes(byte ^ other for byte, other in zip(data, cycle(key), strict=False))


def plain_record(files: dict[str, bytes], version: str = "v3.1") -> dict[str, bytes]:
    """The same scan with a scan.json."""
    artifacts = [
        {"order": int(name.rpartition("_")[2].partition(".")[0]), "file": name, "format": name.split("/")[0]}
        for name in files
        if "/" in name
    ]
    step = next(int(name.split("_")[-2]) for name in files if "/" in name)
    record = {"id": "s1", "type": step, "version": version, "artifacts": artifacts}
    return {**files, "scan.json": json.dumps(record).encode()}


def scrambled_record(files: dict[str, bytes], version: str = "v3.1", key: bytes = KEY) -> dict[str, bytes]:
    """The same scan with a scan.json, and all other files scrambled."""
    return plain_record({name: xored(data, key) for name, data in files.items()}, version)
