"""The storage of results, for as long as the scan's lock is ours."""

from __future__ import annotations

from collections.abc import Callable

from worker.storage.base import Storage, StoredObject


class LockGuardedStorage:
    """A storage that asks before each change. Whoever has lost the lock of a scan changes nothing any more.

    A change that has begun is not stopped: between the question and the end of a write another may get the
    lock, if that takes longer than the lock has left. A reader sees that by the digests in `result.json`.

    Args:
        storage: what is guarded.
        check: raises if the lock is not held.
    """

    def __init__(self, storage: Storage, check: Callable[[], None]) -> None:
        self.name = storage.name
        self._storage = storage
        self._check = check

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        """See Storage."""
        return self._storage.objects(folder, limit)

    def folders(self) -> list[str]:
        """See Storage."""
        return self._storage.folders()

    def read(self, key: str, max_bytes: int) -> bytes:
        """See Storage."""
        return self._storage.read(key, max_bytes)

    def write(self, key: str, data: bytes, content_type: str) -> None:
        """See Storage. Raises what `check` raises."""
        self._check()
        self._storage.write(key, data, content_type)

    def delete(self, key: str) -> None:
        """See Storage. Raises what `check` raises."""
        self._check()
        self._storage.delete(key)
