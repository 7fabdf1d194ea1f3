"""Tombstones: notes that a scan was erased, so that nothing analyses it again while its files are stored.

A tombstone is an empty object in the storage of results. Its key holds the SHA-256 of the scan id, not the
id: who knows the id can ask for its tombstone, and nobody can read the id from it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from worker.keys import ScanId
from worker.scans.failures import ScanFailed
from worker.storage.base import ObjectMissing, ScanTooLarge, Storage

FOLDER: Final = ".erased"  # the dot keeps it from being a scan id


class ScanErased(ScanFailed):
    """Raised when an erased scan is announced or taken. Only `enqueue --again` takes it back."""

    def __init__(self) -> None:
        super().__init__("the scan was erased; `python -m worker enqueue --again` takes it back")

    def __reduce__(self) -> tuple[type[ScanErased], tuple[()]]:
        return type(self), ()


def tombstone_key(scan_id: ScanId) -> str:
    """Return the key of a scan's tombstone.

    >>> tombstone_key(ScanId("scan-1"))[:20]
    '.erased/c86371049302'
    """
    return f"{FOLDER}/{hashlib.sha256(scan_id.encode()).hexdigest()}"


def write_tombstone(results: Storage, scan_id: ScanId) -> None:
    """Note that a scan was erased.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    results.write(tombstone_key(scan_id), b"", "application/octet-stream")


def remove_tombstone(results: Storage, scan_id: ScanId) -> None:
    """Allow that a scan is analysed again.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    results.delete(tombstone_key(scan_id))


def refuse_erased(results: Storage, scan_id: ScanId) -> None:
    """Raise ScanErased if a scan was erased, and remove what was stored for it since.

    It may have been announced at the moment of its erasure.

    Raises:
        ScanErased: The scan was erased.
        StorageUnavailable: The storage of results cannot be used.
    """
    if is_erased(results, scan_id):
        results.purge(scan_id)
        raise ScanErased


def is_erased(results: Storage, scan_id: ScanId) -> bool:
    """Return whether a scan was erased.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    try:
        results.read(tombstone_key(scan_id), 0)
    except ObjectMissing:
        return False
    except ScanTooLarge:  # it is there, whatever it holds
        pass
    return True
