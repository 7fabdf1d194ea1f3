"""Read the files of a scan, from a folder or from memory, within limits of size."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from pose.errors import InvalidManifest, InvalidScan
from pose.scan.manifest import CALIBRATION, DEPTH_FOLDER, MANIFEST, MAX_FILES, RGB_FOLDER, is_safe_path

# There is no file of this name, or there can be none.
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


class ScanFiles(Protocol):
    """Files by their names, which are relative and "/" separated."""

    def names(self) -> list[str]:
        """Return the names of all files that may belong to a scan."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name, readable or not."""
        ...

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
        ...


class MemoryFiles:
    """Files in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def names(self) -> list[str]:
        if len(self._files) > MAX_FILES:
            raise InvalidManifest("scan", "files", f"{len(self._files)}", f"at most {MAX_FILES}")
        return list(self._files)

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        data = self._files.get(name)
        if data is None:
            raise error(file, "file", "missing")
        if len(data) > limit:
            raise error(file, "size", f"{len(data)} bytes", f"at most {limit}")
        return data


class FolderFiles:
    """Regular files in a folder. Links are followed only if they stay inside the folder."""

    def __init__(self, folder: Path | str) -> None:
        self._root = os.path.realpath(folder)
        if not os.path.isdir(self._root):
            raise InvalidManifest("scan", "folder", "not a folder")

    def names(self) -> list[str]:
        names = [name for name in (CALIBRATION, MANIFEST) if self.exists(name)]
        for folder in (RGB_FOLDER, DEPTH_FOLDER):
            path = os.path.join(self._root, folder)
            if not os.path.isdir(path) or not self._inside(os.path.realpath(path)):
                continue
            with os.scandir(path) as entries:
                for entry in entries:
                    names.append(f"{folder}/{entry.name}")
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
        return os.path.commonpath((self._root, path)) == self._root
