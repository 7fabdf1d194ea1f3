"""Check the digest of a store's file without importing torch.

`pose.weights.ingest.digest` defines the digest. Here it is computed from the bytes of the file, whose format
is https://github.com/huggingface/safetensors#format: the length of the header (8 bytes), the header in JSON,
and the bytes of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO, Final

from pose.errors import InvalidWeights

DIGEST: Final = "digest"
MAX_HEADER_BYTES: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
_TYPES: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


def check_digest(path: Path) -> dict[str, str]:
    """Compute the SHA-256 of a store's file, and return the facts in its header.

    Raises:
        InvalidWeights: The file is no safetensors file, has no digest, or has changed since it was written.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        try:
            facts, tensors, start = _header(file)
            found = _digest(file, facts, tensors, start)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InvalidWeights(f"weights {path.name}: not a safetensors file, or damaged") from None
    if DIGEST not in facts:
        raise InvalidWeights(f"weights {path.name}: header without {DIGEST}")
    if found != facts[DIGEST]:
        raise InvalidWeights(f"weights {path.name}: damaged: it has changed since it was written")
    return facts


def _header(file: BinaryIO) -> tuple[dict[str, str], dict[str, Any], int]:
    """Return the facts, the entry of each tensor, and where the bytes of the tensors start."""
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError("the header is too long")
    tensors = json.loads(file.read(length))
    facts = {str(name): str(value) for name, value in tensors.pop("__metadata__", {}).items()}
    return facts, tensors, 8 + length


def _digest(file: BinaryIO, facts: dict[str, str], tensors: dict[str, Any], start: int) -> str:
    total = hashlib.sha256()
    for key in sorted(set(facts) - {DIGEST}):
        total.update(f"{key}={facts[key]}\n".encode())
    for name in sorted(tensors):
        about = tensors[name]
        first, last = about["data_offsets"]
        total.update(f"{name} torch.{_TYPES[about['dtype']]} {tuple(about['shape'])}\n".encode())
        file.seek(start + first)
        left = last - first
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise ValueError("the file ends too early")
            total.update(chunk)
            left -= len(chunk)
    return total.hexdigest()
