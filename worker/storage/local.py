"""Storage in a local folder. It follows no links in the folder, so nothing outside is read or written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from worker.storage.base import (
    PAGE,
    ObjectMissing,
    Purged,
    ScanTooLarge,
    Storage,
    StorageUnavailable,
    StoredObject,
    is_key,
    split_key,
)

DRAFT: Final = ".draft-"
LONGEST_KEY: Final = 1024  # bytes, as in S3; it also limits how deep folders are listed
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: otherwise opening a named pipe would block until somebody writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DRAFT: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStorage(Storage):
    """Objects as files below a root folder.

    Each part of a key is opened relative to the descriptor of the folder before it, and never through a link.
    So nobody can replace a folder by a link between a check and its use. The root itself may be a link.

    Args:
        root: the folder.
        name: how error texts call the storage.
        make_root: True: the first write creates the root; until then the storage is empty. False: if the root
            is missing, all methods raise StorageUnavailable, because its disk may not be mounted.
    """

    def __init__(self, root: Path, name: str, make_root: bool) -> None:
        self.name = name
        self._root = root
        self._make_root = make_root

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        split_key(folder)
        found: list[StoredObject] = []
        waiting = [folder]
        with self._errors():
            while waiting and len(found) <= limit:
                here = waiting.pop()
                # Raise if a folder cannot be opened: without its files the scan would be incomplete.
                try:
                    descriptor = self._open_folder(here.split("/"), make=False)
                except OSError as error:
                    self._check_absent(error)
                    continue
                with _closed(descriptor):
                    for key, each in _entries(descriptor, here):
                        if each.is_dir(follow_symlinks=False):
                            waiting.append(key)
                        elif each.is_file(follow_symlinks=False) and not each.name.startswith(DRAFT):
                            found += _stored(key, each)
                        if len(found) > limit:
                            break
        return sorted(found, key=lambda each: each.key)

    def folders(self, after: str = "", limit: int | None = None) -> list[str]:
        with self._errors():
            try:
                entries = os.scandir(self._root)
            except OSError as error:
                self._check_absent(error)
                return []
            with entries:
                found = [
                    each.name for each in entries if each.is_dir(follow_symlinks=False) and is_key(each.name)
                ]
        wanted = [name for name in found if not after or f"{name}/" > f"{after}/"]
        return sorted(wanted, key=lambda name: f"{name}/")[:limit]

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        names = self.folders(after)
        yield from (names[start : start + PAGE] for start in range(0, len(names), PAGE))

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        page: list[StoredObject] = []
        for name in self.folders(after):
            page += self.objects(name, sys.maxsize)
            if len(page) >= PAGE:
                yield page
                page = []
        if page:
            yield page

    def read(self, key: str, max_bytes: int) -> bytes:
        *folders, file = split_key(key)
        with self._errors():
            try:
                with _closed(self._open_folder(folders, make=False)) as folder:
                    descriptor = os.open(file, _FILE, dir_fd=folder)
            except OSError as error:
                self._check_absent(error)
                raise ObjectMissing(f"{self.name} holds no such object") from None
            with _closed(descriptor):
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ObjectMissing(f"{self.name} holds no such object")
                with open(descriptor, "rb", closefd=False) as opened:
                    content = opened.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ScanTooLarge(f"an object has more than {max_bytes} bytes")
        return content

    def write(self, key: str, data: bytes, content_type: str) -> None:
        *folders, file = split_key(key)
        with self._errors(), _closed(self._open_folder(folders, make=True)) as folder:
            # The content must be on the disk before the name is.
            draft = f"{DRAFT}{uuid.uuid4()}"
            try:
                with open(os.open(draft, _DRAFT, 0o644, dir_fd=folder), "wb") as opened:
                    opened.write(data)
                    opened.flush()
                    os.fsync(opened.fileno())
                os.replace(draft, file, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise
            os.fsync(folder)

    def delete(self, key: str) -> None:
        *folders, file = split_key(key)
        with self._errors():
            try:
                with _closed(self._open_folder(folders, make=False)) as folder:
                    os.unlink(file, dir_fd=folder)
                    os.fsync(folder)
            except OSError as error:
                self._check_absent(error)

    def purge(self, folder: str) -> Purged:
        *parents, name = split_key(folder)
        with self._errors():
            try:
                with _closed(self._open_folder(parents, make=False)) as parent:
                    removed = sum(
                        len(files) for _, _, files, _ in os.fwalk(name, dir_fd=parent, follow_symlinks=False)
                    )
                    shutil.rmtree(name, dir_fd=parent)
                    os.fsync(parent)
            except PermissionError as error:
                return Purged(
                    0, f"{self.name}: not all files may be deleted: {os.strerror(error.errno or 0)}"
                )
            except OSError as error:
                self._check_absent(error)
                return Purged(0)
        return Purged(removed)

    def remove_drafts(self, older_than_s: float, changed_within_s: float) -> int:
        """Remove what killed processes had begun to write. Return the number of files.

        Args:
            older_than_s: Nobody writes a file for so long.
            changed_within_s: Look only into folders in the root that were changed within so many seconds.

        Raises:
            OSError: The root cannot be read.
        """
        if not self._root.is_dir():
            return 0
        removed = 0
        with os.scandir(self._root) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.stat(follow_symlinks=False).st_mtime > time.time() - changed_within_s:
                        removed += _remove_drafts(Path(entry.path), older_than_s)
        return removed

    def _open_folder(self, parts: list[str], make: bool) -> int:
        if make and self._make_root:
            self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            with _closed(descriptor) as parent:
                if make:
                    _make_folder(part, parent)
                descriptor = os.open(part, _FOLDER, dir_fd=parent)
        return descriptor

    def _check_absent(self, error: OSError) -> None:
        """Return if the error means that the key does not exist (or is a link). Raise it otherwise."""
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        if not absent or not (self._make_root or self._root.is_dir()):
            raise error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._make_root and not self._root.is_dir():
                raise StorageUnavailable(f"{self.name}: its folder does not exist") from None
            # Leave out the error's own text: it contains the file's name.
            raise StorageUnavailable(f"{self.name}: {os.strerror(error.errno or 0)}") from None


def _remove_drafts(root: Path, older_than_s: float) -> int:
    removed, oldest = 0, time.time() - older_than_s
    for _, _, files, folder in os.fwalk(root, follow_symlinks=False):
        for name in files:
            # The file may be renamed or removed meanwhile.
            with suppress(FileNotFoundError):
                if name.startswith(DRAFT) and os.stat(name, dir_fd=folder).st_mtime < oldest:
                    os.unlink(name, dir_fd=folder)
                    removed += 1
    return removed


@contextmanager
def _closed(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return
    os.fsync(parent)


def _entries(descriptor: int, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the entries of an open folder with their keys. Skip those that cannot have a key."""
    with os.scandir(descriptor) as entries:
        for each in entries:
            key = f"{folder}/{each.name}"
            if is_key(each.name) and len(os.fsencode(key)) <= LONGEST_KEY:
                yield key, each


def _stored(key: str, entry: os.DirEntry[str]) -> list[StoredObject]:
    """Return the object of an entry, or nothing if it was deleted meanwhile."""
    try:
        about = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []
    # A file that was copied may keep an old time of change, but not of its entry.
    age_s = time.time() - max(about.st_mtime, about.st_ctime)
    return [StoredObject(key, about.st_size, about.st_mtime, age_s)]
