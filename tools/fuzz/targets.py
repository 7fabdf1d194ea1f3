"""The readers of outside data, and what each promises about an input that it accepts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import numpy as np
from hypothesis.strategies import SearchStrategy

from pose.errors import InvalidScan
from pose.scan import depth_file as archive
from pose.scan import pictures
from pose.scan.calibration import Calibration, parse_calibration
from pose.scan.depth_file import Encoding, parse_depth
from pose.scan.depth_header import MAX_PIXELS, parse_header
from pose.scan.exif import exif_orientation
from pose.scan.frame import Scan
from pose.scan.manifest import Manifest, manifest_from_json, manifest_from_names
from pose.scan.names import fold, is_safe_path
from pose.scan.pairing import MAX_FRAMES
from pose.scan.reader import read_scan, read_scan_files
from tools.fuzz import seeds, strategies
from tools.fuzz.mutations import Seed

_PHONE: Final = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
CALIBRATION: Final = Calibration(_PHONE, _PHONE)

TOKENS: Final = (
    b"\n", b"_", b"x", b"0x", b"\xff", b"\0", b"data", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06",
    b"PK\x06\x07", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"IHDR", b"IDAT",
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b'"order"', b'"file"', b'"__type__"', b"\xef\xbb\xbf",
    b"Depth camera intrinsic:\n", b"rgb/rgb_", b".jpg", b"../", b"\xed\xa0\x80",
    b";", b"\t", b"NaN", b"\xff\xfe", b"\xc2\xa0",
)  # fmt: skip


class BrokenPromise(AssertionError):
    """Raised when a reader accepts an input and returns something that breaks its promise."""


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        name: of the reader and of its folder in `corpus/`.
        share: of all inputs, in thousandths.
        read: reads an input; raises `BrokenPromise` if the reader breaks its promise.
        seeds: valid inputs to change.
        strategy: of hypothesis, for inputs without a seed.
        refusals: the errors by which it may refuse an input.
        limit_mib: how much memory an input may cost.
    """

    name: str
    share: int
    read: Callable[[bytes], None]
    seeds: tuple[Seed, ...]
    strategy: SearchStrategy[bytes]
    refusals: tuple[type[Exception], ...] = field(default=(InvalidScan,))
    limit_mib: int = 16


def promise(kept: object, what: str) -> None:
    """Raise `BrokenPromise` with this text if `kept` is false."""
    if not kept:
        raise BrokenPromise(what)


def read_header(data: bytes) -> None:
    header = parse_header(data, "depth")
    promise(0 < header.width * header.height <= MAX_PIXELS, "size within limits")
    promise(1e-5 <= header.scale <= 0.01 and 0 <= header.levels <= 255, "fields within limits")
    product = header.rotation @ header.rotation.T
    promise(np.allclose(product, np.eye(3), atol=1e-9), "a rotation")
    promise(np.isfinite(header.translation).all(), "a finite position")


def read_archive(data: bytes) -> None:
    with archive.open_member(data, "depth") as (stream, length):
        content = stream.read(512)
        content += stream.read(max(0, length - len(content)))
        promise(len(content) <= length, "no more than declared")


def read_depth(data: bytes, encoding: Encoding = "zip") -> None:
    depthmap = parse_depth(data, CALIBRATION, "depth", encoding)
    depth, confidence = depthmap.depth, depthmap.confidence
    promise(depth.dtype == np.float32 and depth.shape == (depthmap.height, depthmap.width), "shape")
    promise(np.isfinite(depth).all() and depth.min() >= 0, "depths are finite and not negative")
    if confidence is not None:
        promise(confidence.shape == depth.shape, "confidence of each pixel")
        promise((confidence >= 0).all() and (confidence <= 1).all(), "confidence is 0 to 1")


def read_ir_depth(data: bytes) -> None:
    read_depth(data, "ir")


def read_calibration(data: bytes) -> None:
    calibration = parse_calibration(data)
    values = (*calibration.color, *calibration.depth, *calibration.position)
    promise(np.isfinite(values).all() and min(calibration.color[:2]) >= 0.1, "finite, in range")


def _check_manifest(manifest: Manifest) -> None:
    orders = [entry.order for entry in manifest.entries]
    promise(0 < len(orders) <= MAX_FRAMES and orders == sorted(set(orders)), "frames by their order")
    for entry in manifest.entries:
        promise(type(entry.step) is int and 0 <= entry.step <= 999_999_999, "a step")
        promise(entry.problem is None or _is_telling(entry.problem), "a problem that can be shown")
    promise(all(map(_is_telling, manifest.ignored)), "what is not used, in lines that can be shown")


def read_manifest(data: bytes) -> None:
    there = {*seeds.artefact_names(1), *seeds.artefact_names(2), "scan.json"}
    by_folded = {fold(name): name for name in there}
    manifest = manifest_from_json(data, lambda name: by_folded.get(fold(name)))
    _check_manifest(manifest)
    names = [name for entry in manifest.entries for name in (entry.rgb, entry.depth) if name is not None]
    promise(all(is_safe_path(name) for name in names), "names inside the scan")


def read_names(data: bytes) -> None:
    names = data.decode("utf-8", "surrogateescape").split("\n")
    manifest = manifest_from_names(names)
    _check_manifest(manifest)
    used = [name for entry in manifest.entries for name in (entry.rgb, entry.depth) if name is not None]
    promise(len(set(used)) == len(used) and set(used) <= set(names), "each file in one frame")
    promise(manifest_from_names(names[::-1]) == manifest, "the same frames in any order of files")


def read_picture(data: bytes) -> None:
    picture = pictures.decode_picture(data)
    width, height = pictures.picture_size(data)
    promise(picture.shape == (height, width, 3) and picture.dtype == np.uint8, "the declared size")
    promise(1 <= exif_orientation(data) <= 8, "a known orientation")


def read_files(data: bytes) -> None:
    """Read a JSON object of file contents; values that are not texts become texts."""
    try:
        files = json.loads(data[: 256 * 1024])  # our own limit: this time counts as the reader's
    except (ValueError, RecursionError):
        files = None
    files = files if isinstance(files, dict) else {}
    contents = {name: str(text).encode("latin-1", "replace") for name, text in files.items()}
    _check_scan(read_scan_files(contents, xor_key=seeds.XOR_KEY))


def _check_scan(scan: Scan) -> None:
    promise(scan.frames and len(scan.digest) == 64, "frames and a digest")
    promise(all(_is_telling(broken.reason) for broken in scan.broken), "reasons that can be shown")
    promise(all(map(_is_telling, scan.ignored)), "what is not used, in lines that can be shown")


class ScanFolder:
    """A scan's folder with a new `scan.json` for each input. Files outside it must not be read."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def __call__(self, data: bytes) -> None:
        if self._folder is None:
            self._folder = _make_folder()
        (self._folder / "scan.json").write_bytes(data)
        scan = read_scan(self._folder)
        _check_scan(scan)
        promise(all(frame.rgb.shape == (16, 16, 3) for frame in scan.frames), "no file from outside")


def _make_folder() -> Path:
    above = memory_folder()
    folder = above / "scan"
    for name, text in seeds.scan_files(2).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    (above / "outside.jpg").write_bytes(seeds.picture(".jpg", 48, 32))
    os.symlink(above / "outside.jpg", folder / "rgb/outside.jpg")
    os.symlink(above, folder / "up")
    os.symlink("loop", folder / "rgb/loop")
    os.mkfifo(folder / "rgb/pipe.jpg")
    return folder


def memory_folder() -> Path:
    """Return a new folder, in memory if the system allows it. It is deleted with the process."""
    place = "/dev/shm"
    folder = Path(mkdtemp(prefix="fuzz-", dir=place if os.access(place, os.W_OK) else None))
    # Processes of multiprocessing skip `atexit`, but not this.
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    return folder


def _is_telling(text: str) -> bool:
    """Return whether an error's text may be logged: short, one line, without the person's code."""
    return 0 < len(text) <= 500 and text.isprintable() and seeds.CODE not in text


def check_text(error: Exception) -> None:
    """Check the text of an error. It goes into status.json, logs and events.

    Raises:
        BrokenPromise: it is too long, would break a line or a terminal, or repeats the person's code.
    """
    promise(_is_telling(str(error)), f"a text that can be shown, not {str(error)[:100]!a}")


SCAN_TARGETS: Final = (
    Target("header", 120, read_header, seeds.HEADERS, strategies.headers),
    Target("archive", 120, read_archive, seeds.ARCHIVES, strategies.archives, limit_mib=32),
    Target("depth", 120, read_depth, seeds.DEPTHS, strategies.depths, limit_mib=64),
    Target("depth-ir", 50, read_ir_depth, seeds.IR_DEPTHS, strategies.depths, limit_mib=64),
    Target("calibration", 100, read_calibration, seeds.CALIBRATIONS, strategies.calibrations),
    Target("manifest", 100, read_manifest, seeds.MANIFESTS, strategies.manifests, limit_mib=48),
    Target("names", 50, read_names, seeds.NAMES, strategies.names),
    Target("picture", 80, read_picture, seeds.PICTURES, strategies.binaries, limit_mib=320),
    Target("scan", 40, read_files, seeds.SCANS, strategies.scans, limit_mib=64),
    Target("folder", 30, ScanFolder(), seeds.FOLDER_RECORDS, strategies.manifests, limit_mib=64),
)
