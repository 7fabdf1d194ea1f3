"""The storage of results as an attempt uses it: it can be changed only while the lock of the scan is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from worker.storage.base import Purged, Storage, StoredObject
from worker.time_limit import blamed_on


class LockGuardedStorage(Storage):
    """Calls `check` before each change, so that a worker that has lost the lock of its scan changes nothing.

    A time limit that strikes during a call is blamed on the storage.

    A change that has begun is not stopped. If it takes longer than the lock has left, another worker may get
    the lock before it ends. Readers detect this by the digests in `result.json`.

    Args:
        storage: the storage to guard.
        check: raises an exception if the lock is not held.
    """

    def __init__(self, storage: Storage, check: Callable[[], None]) -> None:
        self.name = storage.name
        self._storage = storage
        self._check = check

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        with blamed_on(self.name):
            return self._storage.objects(folder, limit)

    def folders(self, after: str = "", limit: int | None = None) -> list[str]:
        with blamed_on(self.name):
            return self._storage.folders(after, limit)

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        return self._storage.folder_pages(after)

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        return self._storage.object_pages(after)

    def read(self, key: str, max_bytes: int) -> bytes:
        with blamed_on(self.name):
            return self._storage.read(key, max_bytes)

    def write(self, key: str, data: bytes, content_type: str) -> None:
        self._check()
        with blamed_on(self.name):
            self._storage.write(key, data, content_type)

    def delete(self, key: str) -> None:
        self._check()
        with blamed_on(self.name):
            self._storage.delete(key)

    def purge(self, folder: str) -> Purged:
        self._check()
        with blamed_on(self.name):
            return self._storage.purge(folder)
