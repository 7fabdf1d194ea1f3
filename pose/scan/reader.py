"""Read a scan from a folder or from memory: frames of a picture and a depth map each, in order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pose.checks import check_bytes, check_type
from pose.errors import InvalidCalibration, InvalidDepthFile, InvalidManifest, InvalidPicture, InvalidScan
from pose.geometry.depthmap import DepthMap
from pose.scan import calibration, depth_file, pictures, record
from pose.scan.calibration import Calibration, is_calibration, parse_calibration
from pose.scan.depth_file import Encoding, parse_depth
from pose.scan.depth_header import starts_like_header
from pose.scan.exif import exif_orientation
from pose.scan.files import FolderFiles, MemoryFiles, ScanFiles
from pose.scan.frame import BrokenFrame, Frame, Scan
from pose.scan.manifest import CALIBRATION, Entry, Manifest, manifest_from_json, manifest_from_names
from pose.scan.names import fold, is_system_file
from pose.scan.orient import choose_orientation
from pose.scan.record import MANIFEST
from pose.scan.scrambling import Scrambling, check_xor_key, xor
from pose.threads import MOST, in_threads

# Limits for a whole scan: all its frames are in memory at the same time.
MAX_SCAN_BYTES: Final = 256 * 1024 * 1024
MAX_SCAN_PIXELS: Final = 160_000_000


def read_scan(folder: Path | str, *, xor_key: bytes | None = None) -> Scan:
    """Read a scan's folder, by its `scan.json` or, without one, by the file names in `rgb/` and `depth/`.

    A frame that cannot be read is listed in `Scan.broken`; the others are read all the same.

    Args:
        folder: of the scan.
        xor_key: undoes the scrambling of the artefacts of a record whose `version` is `ir-2.…` or `v3.…`.
            Other records do not need it.

    Raises:
        InvalidScan: the scan has no calibration, no frames, or no frame that can be read.
        OSError: the storage fails; the scan itself may be valid.
        ValueError: the folder is not a path, or the key is not bytes, or is empty.
    """
    check_type(folder, (str, os.PathLike), "folder", "read_scan_files reads files in memory")
    return _read(FolderFiles(folder), xor_key)


def read_scan_files(files: Mapping[str, bytes], *, xor_key: bytes | None = None) -> Scan:
    """Read a scan from files in memory, as `read_scan` does from a folder.

    Args:
        files: the bytes of each file, by its name relative to the scan: "rgb/rgb_….jpg", "scan.json", ….
        xor_key: as of `read_scan`.

    Raises:
        InvalidScan: as `read_scan`.
        ValueError: the files are not bytes by their names, or the key is not bytes, or is empty.
    """
    check_type(files, Mapping, "files", "read_scan reads a folder")
    contents = {
        check_type(name, str, "the name of a file"): check_bytes(data, "the content of a file")
        for name, data in files.items()
    }
    return _read(MemoryFiles(contents), xor_key)


def _read(files: ScanFiles, xor_key: bytes | None) -> Scan:
    check_xor_key(xor_key)
    record_name = files.find(MANIFEST)
    if record_name is not None:
        data = files.read(record_name, record.MAX_BYTES, MANIFEST, InvalidManifest)
        listed = manifest_from_json(data, files.find)
    else:
        listed = manifest_from_names(files.names())
    reader = _Reader(files, listed, xor_key)

    frames: list[Frame] = []
    broken: list[BrokenFrame] = []
    for line in listed.ignored:
        reader.note(line)
    for first in range(0, len(listed.entries), MOST):  # few, as an open frame holds the bytes of its picture
        opened = [reader.open(entry) for entry in listed.entries[first : first + MOST]]
        for found in in_threads(_decoded, opened):
            if isinstance(found, Frame):
                frames.append(found)
            else:
                broken.append(found)
    if not frames:
        raise InvalidScan("scan", "frames", f"none can be read; {broken[0].reason}")
    return Scan(
        listed.entries[0].step, tuple(frames), tuple(broken), reader.digest.hexdigest(), listed.ignored
    )


@dataclass(frozen=True, eq=False)
class _OpenFrame:
    """A frame whose picture is not decoded yet."""

    entry: Entry
    picture: bytes
    name: str
    depthmap: DepthMap
    calibration: Calibration


def _decoded(opened: _OpenFrame | BrokenFrame) -> Frame | BrokenFrame:
    """Return a frame with its picture, or why it cannot be read. Several threads do this at a time."""
    if isinstance(opened, BrokenFrame):
        return opened
    entry, data = opened.entry, opened.picture
    try:
        rgb = pictures.decode_picture(data, opened.name)
        frame = Frame(entry.order, entry.step, rgb, opened.depthmap, opened.calibration)
        return choose_orientation(frame, exif_orientation(data))
    except InvalidScan as problem:
        return BrokenFrame(entry.order, entry.step, str(problem))


def _is_plain_depth(data: bytes) -> bool:
    return depth_file.is_archive(data) or starts_like_header(data)


class _Reader:
    """Reads frames, counts their bytes and pixels, and hashes what it reads, unscrambled."""

    def __init__(self, files: ScanFiles, listed: Manifest, xor_key: bytes | None) -> None:
        self.digest = hashlib.sha256()
        self._files = files
        self._encoding: Encoding = listed.encoding
        self._scrambling = Scrambling.of(listed.version, xor_key)
        self._bytes = 0
        self._pixels = 0
        name = self._calibration_name()
        data = self._bytes_of(name, calibration.MAX_BYTES, "calibration", InvalidCalibration)
        data = self._scrambling.undo(
            data, is_calibration, "labels of the cameras", "calibration", InvalidCalibration
        )
        self._hash(f"calibration {self._encoding}", data)
        self._calibration = parse_calibration(data)

    def _calibration_name(self) -> str:
        name = self._files.find(CALIBRATION)
        if name is None:
            names = (each for each in self._files.names() if not is_system_file(each))
            similar = any("calibration" in fold(each) for each in names)
            problem = "not found by its name; there is one of a similar name" if similar else "missing"
            raise InvalidCalibration("calibration", "file", problem, f"{CALIBRATION} in the scan's folder")
        return name

    def note(self, line: str) -> None:
        """Hash what the result says, beside what follows from the bytes of its files."""
        self._hash("note", line.encode())

    def open(self, entry: Entry) -> _OpenFrame | BrokenFrame:
        """Return a frame whose picture is still to be decoded, or why it cannot be read."""
        if entry.problem is not None:
            self.note(entry.problem)
            return BrokenFrame(entry.order, entry.step, entry.problem)
        try:
            return self._open(entry)
        except InvalidScan as problem:
            return BrokenFrame(entry.order, entry.step, str(problem))

    def _open(self, entry: Entry) -> _OpenFrame:
        rgb_name, depth_name = f"rgb of frame {entry.order}", f"depth of frame {entry.order}"
        stored = self._bytes_of(entry.rgb, pictures.MAX_BYTES, rgb_name, InvalidPicture)
        rgb_data = self._scrambling.undo(
            stored, pictures.is_picture, "a JPEG or PNG picture", rgb_name, InvalidPicture
        )
        self._hash(f"rgb {entry.order} {entry.step}", rgb_data)
        depth_data = self._bytes_of(entry.depth, depth_file.MAX_BYTES, depth_name, InvalidDepthFile)
        depth_data = self._unscrambled_depth(depth_data, depth_name, picture_is_plain=rgb_data is stored)
        self._hash(f"depth {entry.order} {entry.step}", depth_data)
        depthmap = parse_depth(depth_data, self._calibration, depth_name, self._encoding)
        width, height = pictures.picture_size(rgb_data, rgb_name)
        self._pixels += width * height
        if self._pixels > MAX_SCAN_PIXELS:
            problem = "too many pixels in all frames before it"
            raise InvalidPicture(rgb_name, "size", problem, f"at most {MAX_SCAN_PIXELS} in a scan")
        return _OpenFrame(entry, rgb_data, rgb_name, depthmap, self._calibration)

    def _unscrambled_depth(self, data: bytes, file: str, *, picture_is_plain: bool) -> bytes:
        """Return the plain bytes of a depth file.

        An `ir` file may begin with its pixels. Then nothing in it tells whether it is plain: it is stored as
        the picture of its frame is, which the key has undone before.
        """
        if self._encoding != "ir":
            return self._scrambling.undo(data, _is_plain_depth, "a ZIP archive", file, InvalidDepthFile)
        if picture_is_plain or _is_plain_depth(data):
            return data
        assert self._scrambling.key is not None
        return xor(data, self._scrambling.key)

    def _bytes_of(self, name: str | None, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        if name is None:
            raise error(file, "file", "missing")
        data = self._files.read(name, limit, file, error)
        if not data:
            raise error(file, "size", "0 bytes", "a file with content")
        self._bytes += len(data)
        if self._bytes > MAX_SCAN_BYTES:
            raise error(file, "size", "too many bytes in all files before it", f"at most {MAX_SCAN_BYTES}")
        return data

    def _hash(self, role: str, data: bytes) -> None:
        self.digest.update(f"{role} {len(data)}\n".encode())
        self.digest.update(data)
