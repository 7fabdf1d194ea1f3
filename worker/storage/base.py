"""What a storage is: its contract, its errors and its keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class StorageError(Exception):
    """Storage could not do what was asked. The text says which storage, and is for a person to read."""


class StorageUnavailable(StorageError):
    """It is away, slow, full, or refuses us; it may do the same later."""


class ObjectChanged(StorageUnavailable):
    """An object grew or went away while it was read: whoever writes it has not finished."""


class ObjectMissing(StorageError):
    """There is no such object."""


class ScanMissing(StorageError):
    """There is nothing under the scan's id."""


class ScanTooLarge(StorageError):
    """An object, or all of a scan together, is above the limits."""


class InvalidKey(ValueError):
    """A key that could lead out of the storage's root."""


@dataclass(frozen=True)
class StoredObject:
    """An object's key and its size in bytes."""

    key: str
    size: int
    modified: float | None = field(default=None, compare=False)  # seconds of the epoch


class Storage(Protocol):
    """Objects by key. May be called from several threads; every call may block for seconds.

    All methods raise InvalidKey for a key that `split_key` refuses, and StorageUnavailable when the storage
    is away or refuses; implementations retry for a few seconds themselves before they raise it.
    """

    name: str

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        """All objects below a folder (`scan-1`), sorted by key; empty where there is no such folder.

        It stops after `limit` + 1 objects, so that a caller sees that there are more.
        """
        ...

    def folders(self) -> list[str]:
        """The names of all folders right below the root, in order; without those that no key can have."""
        ...

    def read(self, key: str, max_bytes: int) -> bytes:
        """An object's content, never more than `max_bytes` of it in memory.

        Raises:
            ObjectMissing: there is none. ScanTooLarge: it is larger than `max_bytes`.
        """
        ...

    def write(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object in place of any that has the key. A reader sees the old or the new one, whole."""
        ...

    def delete(self, key: str) -> None:
        """Take an object away, if it is there."""
        ...


def split_key(key: str) -> list[str]:
    """The parts of a key.

    Raises:
        InvalidKey: a part is empty, `.` or `..`, or holds a NUL or a backslash.
    """
    if not is_key(key):
        raise InvalidKey("a key is names with / between them, none of them . or ..")
    return key.split("/")


def is_key(key: str) -> bool:
    """Whether `split_key` takes it."""
    return not any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in key.split("/"))
