"""Storage in memory: of the scan that a process checks itself with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.storage.base import ObjectMissing, Purged, ScanTooLarge, Storage, StoredObject, split_key


class MemoryStorage(Storage):
    """Objects in a dictionary.

    Args:
        objects: Content of each object by its key.
    """

    name = "the storage in memory"

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self._objects = dict(objects or {})

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        start = "/".join(split_key(folder)) + "/"
        found = [StoredObject(key, len(data)) for key, data in self._objects.items() if key.startswith(start)]
        return sorted(found, key=lambda each: each.key)[: limit + 1]

    def folders(self, after: str = "", limit: int | None = None) -> list[str]:
        found = {key.partition("/")[0] for key in self._objects if "/" in key}
        wanted = [name for name in found if not after or f"{name}/" > f"{after}/"]
        return sorted(wanted, key=lambda name: f"{name}/")[:limit]

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        yield self.folders(after)

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        for name in self.folders(after):
            yield self.objects(name, len(self._objects))

    def read(self, key: str, max_bytes: int) -> bytes:
        split_key(key)
        if key not in self._objects:
            raise ObjectMissing(f"{self.name} holds no such object")
        content = self._objects[key]
        if len(content) > max_bytes:
            raise ScanTooLarge(f"an object has more than {max_bytes} bytes")
        return content

    def write(self, key: str, data: bytes, content_type: str) -> None:
        split_key(key)
        self._objects[key] = data

    def delete(self, key: str) -> None:
        split_key(key)
        self._objects.pop(key, None)

    def purge(self, folder: str) -> Purged:
        keys = [each.key for each in self.objects(folder, len(self._objects))]
        for key in keys:
            del self._objects[key]
        return Purged(len(keys))
