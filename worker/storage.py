"""Where scans are read from and results go: one contract, a local folder and S3 behind it.

A storage is rooted at a place (`worker.places`). Keys are relative, their parts separated by `/`. No error's
text holds a key: the keys of inputs are file names, and those hold a person's code.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.messages import check_scan_id
from worker.places import Folder, parse_place
from worker.settings import Settings

FETCH_THREADS: Final = 8


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


@dataclass(frozen=True)
class Limits:
    """How much of a scan is read at most."""

    object_bytes: int
    scan_bytes: int
    files: int


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


def open_storage(url: str, name: str, endpoint_url: str | None = None, *, make_root: bool = True) -> Storage:
    """The storage at a URL. Nothing is read or written, nor connected to, before it is used.

    Args:
        url: `file:///folder` or `s3://bucket/prefix`.
        name: what error texts call it, "the storage of scans".
        endpoint_url: of an S3 that is not Amazon's.
        make_root: whether a folder that is not there is made at the first write. Buckets are never made.

    Raises:
        InvalidPlace: the URL cannot be used.
    """
    place = parse_place(url)
    if isinstance(place, Folder):
        from worker.local_storage import LocalStorage

        return LocalStorage(place.path, name, make_root)
    # Not at the top: botocore takes a third of a second to import, and most commands never use it.
    from worker.s3_storage import S3Storage

    return S3Storage(place.name, place.prefix, name, endpoint_url)


def open_storages(settings: Settings) -> tuple[Storage, Storage]:
    """The storages of scans and of results, once per process: connections are kept between scans.

    Raises:
        StorageUnavailable: what S3 needs is not there, such as the profile that the environment names.
    """
    return _open_storages(settings, os.getpid())


@functools.cache
def _open_storages(settings: Settings, _pid: int) -> tuple[Storage, Storage]:
    endpoint = settings.s3_endpoint_url
    scans = open_storage(settings.scans_url, "the storage of scans", endpoint, make_root=False)
    results = open_storage(settings.results_url, "the storage of results", endpoint)
    return scans, results


def fetch_scan(storage: Storage, scan_id: str, limits: Limits) -> dict[str, bytes]:
    """All files of a scan, by their names below it (`rgb/….jpg`). Hidden files are left out.

    Raises:
        ScanMissing, ScanTooLarge, StorageUnavailable: and among the last ObjectChanged.
    """
    found = storage.objects(check_scan_id(scan_id), limits.files)
    if not found:
        raise ScanMissing(f"{storage.name} holds no files of this scan")
    if len(found) > limits.files:
        raise ScanTooLarge(f"the scan has more than {limits.files} files")
    start = len(scan_id) + 1
    wanted = [each for each in found if not any(part.startswith(".") for part in each.key[start:].split("/"))]
    if any(each.size > limits.object_bytes for each in wanted):
        raise ScanTooLarge(f"a file of the scan has more than {limits.object_bytes} bytes")
    if sum(each.size for each in wanted) > limits.scan_bytes:
        raise ScanTooLarge(f"the scan has more than {limits.scan_bytes} bytes")
    threads = ThreadPoolExecutor(FETCH_THREADS)
    try:
        contents = list(threads.map(_reader(storage), wanted))
    finally:
        # Not waiting: at the first error, or when time is up, nobody wants the rest.
        threads.shutdown(wait=False, cancel_futures=True)
    return {each.key[start:]: content for each, content in zip(wanted, contents, strict=True)}


def _reader(storage: Storage) -> Callable[[StoredObject], bytes]:
    def read(each: StoredObject) -> bytes:
        # The sum of the sizes was checked, so no file may bring more than it said.
        try:
            return storage.read(each.key, each.size)
        except (ObjectMissing, ScanTooLarge):
            raise ObjectChanged("a file of the scan changed while it was read") from None

    return read
