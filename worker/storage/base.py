"""The contract of a storage: its operations, its errors and its keys.

A storage has a root, named by a storage URL (`worker.config.urls`). Keys are relative to it, with `/` between
their parts. No error's text contains a key: the keys of inputs are file names with a person's code in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

PAGE: Final = 1000  # names or objects that S3 lists with one call


class StorageError(Exception):
    """Base of a storage's errors. The text is for people and names the storage."""


class StorageUnavailable(StorageError):
    """The storage is down, slow, full, or refuses access. The same call may succeed later."""


class ObjectChanged(StorageUnavailable):
    """An object grew or was deleted while it was read: its writer has not finished."""


class ObjectMissing(StorageError):
    """There is no object with this key."""


class ScanMissing(StorageError):
    """There are no objects of this scan."""


class ScanTooLarge(StorageError):
    """An object or a whole scan is larger than the limits allow."""


class InvalidKey(ValueError):
    """A key is malformed, or could lead out of the storage's root."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a storage lists it.

    Attributes:
        key: Of the object.
        size: In bytes.
        modified: Time of its last change, in seconds since the epoch.
        age_s: Seconds since then by the clock of the storage, whatever the time is here.
    """

    key: str
    size: int
    modified: float | None = field(default=None, compare=False)
    age_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Purged:
    """What `Storage.purge` did.

    Attributes:
        removed: Number of removed objects, each version counted.
        problem: What may be left and why, for a person to read; None if nothing is left.
    """

    removed: int
    problem: str | None = None


class Storage(Protocol):
    """Objects with keys. It may be used from several threads; each call may block for seconds.

    All methods raise InvalidKey for a key that `split_key` refuses, and StorageUnavailable if they cannot
    reach the storage. An implementation retries for a few seconds before it raises StorageUnavailable.
    """

    name: str

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        """Return all objects below a folder (`scan-1`), sorted by key. Empty if there is no such folder.

        If there are more than `limit` objects, return any `limit` + 1 of them.
        """

    def folders(self, after: str = "", limit: int | None = None) -> list[str]:
        """Return the names of the folders in the root, without names that a key cannot contain.

        They are sorted as their keys are: `a-1/` comes before `a/`.

        Args:
            after: return only the folders that come after this name.
            limit: return about this number of folders at most, at least one if there is one.
        """

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        """Yield what `folders` returns, page by page. A page costs one call of S3."""

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        """Yield all objects of the folders that come after a name, in the order of their keys, page by page.

        A page costs one call of S3. The objects of a folder may be on several pages.
        """

    def read(self, key: str, max_bytes: int) -> bytes:
        """Return the content of an object. Do not load more than about `max_bytes` into memory.

        Raises:
            ObjectMissing: there is no such object.
            ScanTooLarge: it is larger than `max_bytes`.
        """

    def write(self, key: str, data: bytes, content_type: str) -> None:
        """Create or replace an object. A reader sees either the old or the new content, never a part."""

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""

    def purge(self, folder: str) -> Purged:
        """Delete all objects below a folder (`scan-1`) with their earlier versions and unfinished writes.

        What may not be deleted is reported, not raised. Nobody may write to the folder meanwhile.
        """


def split_key(key: str) -> list[str]:
    """Return the parts of a key.

    >>> split_key("scan-1/rgb/picture.jpg")
    ['scan-1', 'rgb', 'picture.jpg']

    Raises:
        InvalidKey: a part is empty, `.` or `..`, or contains a NUL or a backslash.
    """
    if not is_key(key):
        raise InvalidKey("a key is names with / between them, none of them . or ..")
    return key.split("/")


def is_key(key: str) -> bool:
    """Return whether `split_key` accepts a key.

    >>> is_key("scan-1/../other")
    False
    """
    return not any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in key.split("/"))
