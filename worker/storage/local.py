"""Storage in a local folder. Nothing outside it is ever read or written, whatever links lie in it."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from worker.storage.base import (
    ObjectMissing,
    ScanTooLarge,
    StorageUnavailable,
    StoredObject,
    is_key,
    split_key,
)

DRAFT: Final = ".draft-"
LONGEST_KEY: Final = 1024  # bytes, as in S3; folders within folders have no end else
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe for reading would wait for its writer.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DRAFT: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStorage:
    """Objects as files below a root. See `worker.storage.base.Storage` for the contract.

    Each part of a key is opened relative to the folder before it and never through a link, so there is no
    moment between a check and its use. The root itself may be a link.

    Args:
        root: the folder.
        name: what error texts call it.
        make_root: make the root at the first write; until then it is empty. Without, a root that is not there
            is a storage that is away: a disk that is not mounted holds scans all the same.
    """

    def __init__(self, root: Path, name: str, make_root: bool) -> None:
        self.name = name
        self._root = root
        self._make_root = make_root

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        """See Storage. Links, pipes and the drafts of unfinished writes are no objects."""
        found: list[StoredObject] = []
        split_key(folder)
        waiting = [folder]
        with self._errors():
            while waiting and len(found) <= limit:
                here = waiting.pop()
                # One that cannot be opened is an error: what is in it would be missing from the scan.
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

    def folders(self) -> list[str]:
        """See Storage. A link to a folder is none."""
        with self._errors():
            try:
                entries = os.scandir(self._root)
            except OSError as error:
                self._check_absent(error)
                return []
            with entries:
                return sorted(
                    each.name for each in entries if each.is_dir(follow_symlinks=False) and is_key(each.name)
                )

    def read(self, key: str, max_bytes: int) -> bytes:
        """See Storage."""
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
        """See Storage. The content is on the disk before the name appears; files know no content type."""
        *folders, file = split_key(key)
        with self._errors(), _closed(self._open_folder(folders, make=True)) as folder:
            draft = f"{DRAFT}{uuid.uuid4()}"
            try:
                with open(os.open(draft, _DRAFT, 0o644, dir_fd=folder), "wb") as opened:
                    opened.write(data)
                    opened.flush()
                    os.fsync(opened.fileno())
                os.replace(draft, file, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _remove(draft, folder)
                raise
            os.fsync(folder)

    def delete(self, key: str) -> None:
        """See Storage. The folder stays, also when nothing is left in it."""
        *folders, file = split_key(key)
        with self._errors():
            try:
                with _closed(self._open_folder(folders, make=False)) as folder:
                    os.unlink(file, dir_fd=folder)
                    os.fsync(folder)
            except OSError as error:
                self._check_absent(error)

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
        """Return when the error says that a key is not there; a link counts as nothing. Raise otherwise."""
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
            # Not the error's own text, which holds the file's name.
            raise StorageUnavailable(f"{self.name}: {os.strerror(error.errno or 0)}") from None


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


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _entries(descriptor: int, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What is in an open folder and can be named by a key, with its key."""
    with os.scandir(descriptor) as entries:
        for each in entries:
            key = f"{folder}/{each.name}"
            if is_key(each.name) and len(os.fsencode(key)) <= LONGEST_KEY:
                yield key, each


def _stored(key: str, entry: os.DirEntry[str]) -> list[StoredObject]:
    """The object, or none: it was taken away just now."""
    try:
        about = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []
    return [StoredObject(key, about.st_size, about.st_mtime)]
