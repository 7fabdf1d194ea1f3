"""Read the files of a scan, from a folder or from memory, within limits of size."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from pose.errors import InvalidManifest, InvalidScan
from pose.scan.names import ROLES, fold, is_safe_path
from pose.scan.record import MAX_FILES

# There is no file of this name, or there can be none.
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


class ScanFiles(ABC):
    """Files by their names, which are relative and "/" separated."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files that may belong to a scan, in any order.

        A folder that is not read has a name that ends in "/".

        Raises:
            InvalidManifest: there are more than `MAX_FILES`.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether there is a file of exactly this name, readable or not."""

    def find(self, name: str) -> str | None:
        """Return the name under which a file is stored, or None if there is no such file.

        A file of exactly this name comes first, then one whose name is the same for people: with other upper
        and lower case, or with "\\" for "/".
        """
        return name if self.exists(name) else self._by_folded_name.get(fold(name))

    @cached_property
    def _by_folded_name(self) -> dict[str, str]:
        return {fold(name): name for name in sorted(self.names(), reverse=True)}

    @abstractmethod
    def read(self, name: str, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        """Return the bytes of a file.

        Args:
            name: of the file.
            limit: the most bytes that are read.
            file: what the error message calls the file.
            error: the type of error to raise.

        Raises:
            InvalidScan: `error`, if the file is missing, larger than the limit or not a regular file.
            OSError: the storage fails; the file itself may be valid.
        """


class MemoryFiles(ScanFiles):
    """Files in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def names(self) -> list[str]:
        if len(self._files) > MAX_FILES:
            raise InvalidManifest("scan", "files", f"{len(self._files)}", f"at most {MAX_FILES}")
        # An S3 console stores an empty object "rgb/" for a folder.
        return list({_as_in_folder(name) for name in self._files if not name.endswith("/")})

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        data = self._files.get(name)
        if data is None:
            raise error(file, "file", "missing")
        if len(data) > limit:
            raise error(file, "size", f"{len(data)} bytes", f"at most {limit}")
        return data


def _as_in_folder(name: str) -> str:
    """Return the name as `FolderFiles.names` has it: that of the folder if its files are not read.

    >>> _as_in_folder("rgb/a.jpg"), _as_in_folder("truth/a.png"), _as_in_folder("rgb/old/a.jpg")
    ('rgb/a.jpg', 'truth/', 'rgb/old/')
    """
    parts = name.split("/")
    read = 2 if parts[0].casefold() in ROLES else 1
    return name if len(parts) <= read else "/".join(parts[:read]) + "/"


class FolderFiles(ScanFiles):
    """Regular files in a folder. Links are followed only if they stay inside the folder."""

    def __init__(self, folder: Path | str) -> None:
        self._root = os.path.realpath(folder)
        if not os.path.isdir(self._root):
            raise InvalidManifest("scan", "folder", "not a folder")

    def names(self) -> list[str]:
        names: list[str] = []
        folders = [""]
        for folder in folders:  # grows: the folders of artefacts are found in the scan's folder
            with os.scandir(os.path.join(self._root, folder)) as entries:
                for entry in entries:
                    is_folder = os.path.isdir(entry.path)
                    if (
                        is_folder
                        and not folder
                        and entry.name.casefold() in ROLES
                        and self._inside(entry.path)
                    ):
                        folders.append(f"{entry.name}/")
                        continue
                    names.append(f"{folder}{entry.name}{'/' if is_folder else ''}")
                    if len(names) > MAX_FILES:
                        raise InvalidManifest("scan", "files", "too many", f"at most {MAX_FILES}")
        return names

    def exists(self, name: str) -> bool:
        # A link to the outside exists too: `read` refuses it.
        return is_safe_path(name) and os.path.lexists(os.path.join(self._root, name))

    def read(self, name: str, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        if not self.exists(name):
            raise error(file, "file", "missing")
        try:
            path = os.path.realpath(os.path.join(self._root, name), strict=True)
            if not self._inside(path):
                raise error(file, "file", "a link that leads out of the scan", "a file of the scan")
            # Without O_NONBLOCK, opening a named pipe blocks.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as problem:
            if problem.errno in _MISSING:
                raise error(file, "file", "missing") from None
            if problem.errno == errno.ENXIO:  # a socket
                raise error(file, "file", "not a regular file") from None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(file, "file", "not a regular file")
            if status.st_size > limit:
                raise error(file, "size", f"{status.st_size} bytes", f"at most {limit}")
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(limit + 1)
        finally:
            os.close(descriptor)
        if len(data) > limit:  # the file has grown since fstat
            raise error(file, "size", "too many bytes", f"at most {limit}")
        return data

    def _inside(self, path: str) -> bool:
        return os.path.commonpath((self._root, os.path.realpath(path))) == self._root
