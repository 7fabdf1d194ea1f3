"""The index of the sweep: which stored scans are finished, and which files were analysed.

Twelve bytes a scan: 8 of a hash of its id, and 4 of the digest of its list of files. So the sweep reads the
status of a scan once, and not in each turn. If the index is lost, it is made again from the statuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Self

import numpy as np

from worker.config.logs import get_logger

log = get_logger(__name__)

UNKNOWN: Final = -1  # the scan is not in the index
NO_DIGEST: Final = 0  # the scan is finished, and nothing is known about its files
_HEAD: Final = b"sweep/1\n"
_BYTES: Final = 12

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class SweepIndex:
    """Finished scans, by hashes of their ids. Use it from one thread at a time.

    Args:
        hashes: Of ids, ascending.
        digests: For each hash, see `short_digest`.
    """

    def __init__(self, hashes: Hashes, digests: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
        self._hashes = hashes
        self._digests = digests
        self._new: dict[int, int] = {}
        self.changed = False

    @classmethod
    def from_bytes(cls, content: bytes | None) -> Self:
        """Return the index that `to_bytes` gave; an empty one without it, or if it cannot be read."""
        body = (content or _HEAD).removeprefix(_HEAD)
        if content is not None and (not content.startswith(_HEAD) or len(body) % _BYTES):
            log.warning("sweep_index_lost", reason="it cannot be read")
            body = b""
        count = len(body) // _BYTES
        hashes = np.frombuffer(body, "<u8", count).astype(np.uint64)
        digests = np.frombuffer(body, "<u4", count, 8 * count).astype(np.uint32)
        return cls(hashes, digests)

    def to_bytes(self) -> bytes:
        """Return the content, for `from_bytes`."""
        self._merge()
        return _HEAD + self._hashes.astype("<u8").tobytes() + self._digests.astype("<u4").tobytes()

    def __len__(self) -> int:
        self._merge()
        return len(self._hashes)

    def find(self, hashes: Hashes) -> list[int]:
        """Return the digest of each scan, or UNKNOWN."""
        places = np.searchsorted(self._hashes, hashes)
        found = np.full(len(hashes), UNKNOWN, np.int64)
        inside = places < len(self._hashes)
        inside[inside] = self._hashes[places[inside]] == hashes[inside]
        found[inside] = self._digests[places[inside]]
        if not self._new:
            return list(map(int, found))
        return [self._new.get(int(key), int(digest)) for key, digest in zip(hashes, found, strict=True)]

    def put(self, key: int, digest: int) -> None:
        """Add a finished scan by the hash of its id, or replace its digest."""
        self._new[key] = digest
        self.changed = True

    def remove_below(self, digest: int) -> None:
        """Remove the scans whose digest is a smaller number."""
        self._merge()
        kept = self._digests >= digest
        self.changed |= not kept.all()
        self._hashes, self._digests = self._hashes[kept], self._digests[kept]

    def keep(self, hashes: Hashes) -> None:
        """Remove all scans but those with these hashes."""
        self._merge()
        kept = np.isin(self._hashes, hashes)
        self.changed |= not kept.all()
        self._hashes, self._digests = self._hashes[kept], self._digests[kept]

    def _merge(self) -> None:
        if not self._new:
            return
        new = np.array(sorted(self._new), np.uint64)
        digests = np.array([self._new[int(key)] for key in new], np.uint32)
        kept = ~np.isin(self._hashes, new)
        hashes = np.concatenate([self._hashes[kept], new])
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._digests = np.concatenate([self._digests[kept], digests])[order]
        self._new = {}


def hashes_of(names: Iterable[str]) -> Hashes:
    """Return a hash of each scan id."""
    found = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(found, "<u8").astype(np.uint64)


def short_digest(files: str | None) -> int:
    """Return the first 4 bytes of a digest in hex (`worker.scans.completeness.digest_of`).

    >>> short_digest("000000ff" * 8), short_digest(None), short_digest("no digest")
    (255, 0, 0)
    """
    try:
        return int((files or "")[:8], 16)
    except ValueError:
        return NO_DIGEST
