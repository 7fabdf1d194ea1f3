"""A scan: frames of a picture and a depth map each, in order, from a folder or from named bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose import archive, calibration, manifest, pictures
from pose.calibration import Calibration, Intrinsics, parse_calibration, through
from pose.depthmap import DepthMap, Encoding, parse_depth
from pose.errors import InvalidCalibration, InvalidDepthFile, InvalidManifest, InvalidPicture, InvalidScan
from pose.files import FolderFiles, MemoryFiles, ScanFiles
from pose.manifest import CALIBRATION, MANIFEST, Entry, manifest_from_json, manifest_from_names
from pose.orientation import STANDING_STEPS, is_known

# Of a scan as a whole, whose frames are all in memory at once.
MAX_SCAN_BYTES: Final = 256 * 1024 * 1024
MAX_SCAN_PIXELS: Final = 160_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and the depth map that was taken with it, both in sensor orientation.

    Attributes:
        order: the frame's number in its scan.
        step: what was scanned, see `orientation`; not always a known one.
        rgb: (H, W, 3) uint8 RGB. Its size and aspect need not be those of the depth map.
        depthmap: depth, its camera and its pose.
        calibration: of both cameras; None means that they share one view.
    """

    order: int
    step: int
    rgb: NDArray[np.uint8]
    depthmap: DepthMap
    calibration: Calibration | None = None

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[0])

    @property
    def color(self) -> Intrinsics:
        """Intrinsics of the colour camera for a picture of this size."""
        if self.calibration is not None:
            return self.calibration.color_intrinsics(*self.picture_size)
        return self.depthmap.intrinsics.resized(*self.picture_size)

    @property
    def fits_calibration(self) -> bool:
        """Whether picture and depth map have the shape of what their cameras see: not turned, not cropped.

        One that was turned by half, or mirrored, has it too.
        """
        return self.color.is_square and self.depthmap.intrinsics.is_square

    def to_depth(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where the rays of picture pixels meet the depth map.

        On most devices both cameras share one view, and this scales the picture. On those whose cameras
        differ (Lenovo) their intrinsics count; the few millimetres between the cameras do not.

        Args:
            points: (..., 2) u and v in the picture.

        Returns:
            (..., 2) float64 u and v in the depth map, not rounded, maybe outside it.
        """
        return through(points, self.color, self.depthmap.intrinsics)

    def to_picture(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where the rays of depth pixels meet the picture: the exact inverse of `to_depth`."""
        return through(points, self.depthmap.intrinsics, self.color)


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that cannot be read, and why, for a person to read. No file names stand in the reason."""

    order: int
    step: int
    reason: str


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that was read.

    Attributes:
        step: what was scanned: that of the first frame.
        frames: at least one, by their order.
        broken: frames that could not be read, by their order.
        digest: SHA-256 (hex) over what was read: each file's role, order and bytes, and no name. A folder
            and the same bytes in memory have equal digests.
    """

    step: int
    frames: tuple[Frame, ...]
    broken: tuple[BrokenFrame, ...]
    digest: str

    @property
    def declared(self) -> Literal["standing", "lying"] | None:
        """The posture that the scan's step says the child was in; None if the step is unknown."""
        if not is_known(self.step):
            return None
        return "standing" if self.step in STANDING_STEPS else "lying"


def read_scan(folder: Path | str) -> Scan:
    """Read a scan's folder: its `scan.json` if it has one, or else the names in `rgb/` and `depth/`.

    A frame that cannot be read is among `Scan.broken`, and does not keep others from being read.

    Raises:
        InvalidScan: no calibration, no frames, or no frame that can be read.
        OSError: the storage fails; the scan itself may be whole.
    """
    return _read(FolderFiles(folder))


def read_scan_files(files: Mapping[str, bytes]) -> Scan:
    """`read_scan` for files in memory.

    Args:
        files: bytes by name, relative to the scan and "/" separated: "rgb/rgb_….jpg", "scan.json", ….

    Raises:
        InvalidScan: as `read_scan`.
    """
    return _read(MemoryFiles(files))


def _read(files: ScanFiles) -> Scan:
    if files.exists(MANIFEST):
        record = files.read(MANIFEST, manifest.MAX_BYTES, MANIFEST, InvalidManifest)
        listed = manifest_from_json(record, files.exists)
    else:
        listed = manifest_from_names(files.names())
    reader = _Reader(files, listed.encoding)

    frames: list[Frame] = []
    broken: list[BrokenFrame] = []
    for entry in listed.entries:
        try:
            frames.append(reader.frame(entry))
        except InvalidScan as problem:
            broken.append(BrokenFrame(entry.order, entry.step, str(problem)))
    if not frames:
        raise InvalidScan("scan", "frames", f"none can be read; {broken[0].reason}")
    return Scan(listed.entries[0].step, tuple(frames), tuple(broken), reader.digest.hexdigest())


class _Reader:
    """Reads frames while it counts what they cost and hashes what they are made of."""

    def __init__(self, files: ScanFiles, encoding: Encoding) -> None:
        self.digest = hashlib.sha256()
        self._files = files
        self._encoding = encoding
        self._bytes = 0
        self._pixels = 0
        data = self._bytes_of(CALIBRATION, calibration.MAX_BYTES, "calibration", InvalidCalibration)
        self._hash(f"calibration {encoding}", data)
        self._calibration = parse_calibration(data)

    def frame(self, entry: Entry) -> Frame:
        if entry.problem is not None:
            raise InvalidManifest(MANIFEST, f"frame {entry.order}", entry.problem)
        rgb_file, depth_file = f"rgb of frame {entry.order}", f"depth of frame {entry.order}"
        rgb_data = self._bytes_of(entry.rgb, pictures.MAX_BYTES, rgb_file, InvalidPicture)
        self._hash(f"rgb {entry.order} {entry.step}", rgb_data)
        depth_data = self._bytes_of(entry.depth, archive.MAX_BYTES, depth_file, InvalidDepthFile)
        self._hash(f"depth {entry.order} {entry.step}", depth_data)
        depthmap = parse_depth(depth_data, self._calibration, depth_file, self._encoding)
        width, height = pictures.picture_size(rgb_data, rgb_file)
        self._pixels += width * height
        if self._pixels > MAX_SCAN_PIXELS:
            problem = "too many pixels in all frames before it"
            raise InvalidPicture(rgb_file, "size", problem, f"at most {MAX_SCAN_PIXELS} in a scan")
        rgb = pictures.decode_picture(rgb_data, rgb_file)
        return Frame(entry.order, entry.step, rgb, depthmap, self._calibration)

    def _bytes_of(self, name: str | None, limit: int, file: str, error: type[InvalidScan]) -> bytes:
        if name is None:
            raise error(file, "file", "missing")
        data = self._files.read(name, limit, file, error)
        self._bytes += len(data)
        if self._bytes > MAX_SCAN_BYTES:
            raise error(file, "size", "too many bytes in all files before it", f"at most {MAX_SCAN_BYTES}")
        return data

    def _hash(self, role: str, data: bytes) -> None:
        self.digest.update(f"{role} {len(data)}\n".encode())
        self.digest.update(data)
