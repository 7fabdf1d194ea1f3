"""Which scans have something among the results. For many scans, a listing is cheaper than a call for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final, Self

import numpy as np

from worker.keys import ScanId, scan_ids_in
from worker.scans.sweep_index import Hashes, hashes_of
from worker.scans.tombstones import FOLDER, tombstone_key
from worker.storage.base import Storage

_BEFORE: Final = FOLDER[:-1]  # a name that comes just before the folder of tombstones


class StoredScans:
    """The scans that have results or a status, and those that were erased: 8 bytes for each.

    Two scans may look alike, one time in 10^10. So what is said of a scan is to be checked.

    Args:
        stored: Hashes of scan ids, ascending.
        erased: Hashes of scan ids, ascending.
    """

    def __init__(self, stored: Hashes, erased: Hashes) -> None:
        self._stored = stored
        self._erased = erased

    @classmethod
    def listed(cls, results: Storage) -> Self:
        """List all results, with a call for each 1000 scans and each 1000 tombstones.

        Raises:
            StorageUnavailable: The storage of results cannot be used.
        """
        names = (hashes_of(scan_ids_in(page)) for page in results.folder_pages())
        return cls(_sorted(names), _sorted(_tombstones(results)))

    def among(self, scan_ids: Sequence[ScanId]) -> set[ScanId]:
        """Return those of these scans that have something stored, or were erased."""
        hidden = np.array([_tombstone_hash(tombstone_key(each)) for each in scan_ids], np.uint64)
        known = _is_in(hashes_of(scan_ids), self._stored) | _is_in(hidden, self._erased)
        return {scan_id for scan_id, yes in zip(scan_ids, known, strict=True) if yes}


def _tombstones(results: Storage) -> Iterator[Hashes]:
    for page in results.object_pages(_BEFORE):
        keys = [each.key for each in page if each.key.startswith(f"{FOLDER}/")]
        yield np.array([_tombstone_hash(key) for key in keys], np.uint64)
        if len(keys) < len(page):
            return  # the folders after it


def _tombstone_hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def _sorted(pages: Iterator[Hashes]) -> Hashes:
    return np.sort(np.concatenate(list(chain([np.array([], np.uint64)], pages))))


def _is_in(wanted: Hashes, known: Hashes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    places = np.searchsorted(known, wanted)
    found = np.zeros(len(wanted), np.bool_)
    inside = places < len(known)
    found[inside] = known[places[inside]] == wanted[inside]
    return found
