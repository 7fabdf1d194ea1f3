"""Which files make a scan's frames: from `scan.json`, or from the names in `rgb/` and `depth/`.

Names hold a person's code, so neither a name nor a part of one ever stands in an error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from pose.errors import InvalidManifest
from pose.scan.depth_file import Encoding

MANIFEST: Final = "scan.json"
CALIBRATION: Final = "camera_calibration.txt"
RGB_FOLDER: Final = "rgb"
DEPTH_FOLDER: Final = "depth"

MAX_BYTES: Final = 1024 * 1024
MAX_FRAMES: Final = 100
MAX_FILES: Final = 4096
MAX_NAME: Final = 512
MAX_ORDER: Final = 999_999
MAX_STEP: Final = 999_999_999

RGB_FORMATS: Final = ("rgb", "image/jpeg", "image/png")
DEPTH_FORMATS: Final = ("depth", "application/zip")

# Read from the right: a person's code may hold anything, underscores too.
_ARTEFACT: Final = re.compile(
    r"(?:rgb|depth)_(?P<person>.+)_(?P<ms>\d{1,20})_(?P<step>\d{1,9})_(?P<frame>\d{1,9})\.(?P<type>[a-z]+)",
    re.ASCII | re.DOTALL,
)
_TYPES: Final = {"rgb": ("jpg", "jpeg", "png"), "depth": ("depth",)}


@dataclass(frozen=True)
class Entry:
    """One frame's files.

    Attributes:
        order: the frame's number in the scan.
        step: of the scan, 0 to `MAX_STEP`, see `orientation`. It need not be a known one: estimators that
            look at the picture find out which way is up.
        rgb, depth: names of its files; None where there is none.
        problem: why the frame cannot be read whatever its files hold, or None.
    """

    order: int
    step: int
    rgb: str | None
    depth: str | None
    problem: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A scan's frames by their order, at least one, and how their depth is encoded."""

    entries: tuple[Entry, ...]
    encoding: Encoding = "zip"


def manifest_from_names(names: Iterable[str]) -> Manifest:
    """Pair `rgb/rgb_<person>_<unix ms>_<step>_<frame>.jpg` with `depth/depth_….depth`.

    The order of a frame is its position among all frames by their number. Other names are ignored.

    Raises:
        InvalidManifest: no such names, or too many of them.
    """
    found: dict[tuple[int, int, int, str], dict[str, str]] = {}
    for name in names:
        folder, _, rest = name.partition("/")
        match = _ARTEFACT.fullmatch(rest)
        if folder not in _TYPES or match is None or not rest.startswith(folder):
            continue
        if match["type"] in _TYPES[folder]:
            # The codes tell pairs apart, should a folder hold two with the same numbers.
            key = (int(match["frame"]), int(match["ms"]), int(match["step"]), match["person"])
            found.setdefault(key, {})[folder] = name
    if not found:
        raise InvalidManifest("scan", "frames", "none", "rgb/rgb_….jpg and depth/depth_….depth")
    _check_count(len(found))
    entries = []
    for order, (key, files) in enumerate(sorted(found.items())):
        entries.append(Entry(order, key[2], files.get("rgb"), files.get("depth")))
    return Manifest(tuple(entries))


def manifest_from_json(data: bytes, exists: Callable[[str], bool] = lambda name: True) -> Manifest:
    """Read a `scan.json`: frames are the pairs of artefacts of one `order`.

    Args:
        data: the file.
        exists: whether there is a file of this name. An artefact's `file` that is not there as it stands
            is looked for in `rgb/` or `depth/`.

    Raises:
        InvalidManifest: no JSON of the shape described in docs/scans.md, no artefacts or too many, or a step
            that is no integer from 0 to `MAX_STEP`.
    """
    if len(data) > MAX_BYTES:
        raise InvalidManifest(MANIFEST, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidManifest(MANIFEST, "content", "no JSON", "a JSON object") from None
    if not isinstance(record, dict):
        raise InvalidManifest(MANIFEST, "content", "no object", "a JSON object")
    step, artifacts = record.get("type"), record.get("artifacts")
    if type(step) is not int:
        raise InvalidManifest(MANIFEST, "type", "missing or no integer", "the step")
    if not 0 <= step <= MAX_STEP:
        raise InvalidManifest(MANIFEST, "type", "out of range", f"0 to {MAX_STEP}")
    if not isinstance(artifacts, list) or not artifacts:
        raise InvalidManifest(MANIFEST, "artifacts", "missing or empty", "a list")
    if len(artifacts) > MAX_FILES:
        raise InvalidManifest(MANIFEST, "artifacts", f"{len(artifacts)}", f"at most {MAX_FILES}")

    frames: dict[int, dict[str, str]] = {}
    problems: dict[int, str] = {}
    for artefact in artifacts:
        role = _role(artefact)
        if role is None:
            continue
        order = artefact.get("order")
        if type(order) is not int or not 0 <= order <= MAX_ORDER:
            raise InvalidManifest(MANIFEST, "order", "missing or out of range", f"0 to {MAX_ORDER}")
        files = frames.setdefault(order, {})
        if role in files:
            problems.setdefault(order, f"more than one {role}")
        elif not is_inside(name := artefact.get("file")):
            problems.setdefault(order, f"the file of its {role} is no name inside the scan")
        else:
            inner = f"{role}/{name}"
            files[role] = inner if not exists(name) and exists(inner) else name
    if not frames:
        raise InvalidManifest(MANIFEST, "artifacts", "neither pictures nor depth", "format rgb and depth")
    _check_count(len(frames))
    version = record.get("version")
    encoding: Encoding = "ir" if isinstance(version, str) and version.startswith("ir") else "zip"
    entries = (
        Entry(order, step, files.get("rgb"), files.get("depth"), problems.get(order))
        for order, files in sorted(frames.items())
    )
    return Manifest(tuple(entries), encoding)


def is_inside(name: Any) -> bool:
    """Whether this is a plain relative name, "/" separated, that stays inside its folder."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _role(artefact: Any) -> str | None:
    """Whether an artefact is "rgb" or "depth"; None for others, which a scan may have and nobody reads."""
    if not isinstance(artefact, dict):
        raise InvalidManifest(MANIFEST, "artifacts", "an entry that is no object", "a list of objects")
    kind = artefact.get("format")
    if not isinstance(kind, str):
        raise InvalidManifest(MANIFEST, "format", "missing or no text", "rgb or depth")
    return "rgb" if kind in RGB_FORMATS else "depth" if kind in DEPTH_FORMATS else None


def _check_count(frames: int) -> None:
    if frames > MAX_FRAMES:
        raise InvalidManifest("scan", "frames", f"{frames}", f"at most {MAX_FRAMES}")
