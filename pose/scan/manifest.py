"""Find the files of each frame of a scan: from `scan.json`, or from the file names in `rgb/` and `depth/`.

File names contain a person's code, so no error message contains a name or a part of one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

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

# What the `format` of an artefact in a `scan.json` means. Files of other formats are not read.
_ROLES: Final = {
    "rgb": "rgb",
    "image/jpeg": "rgb",
    "image/png": "rgb",
    "depth": "depth",
    "application/zip": "depth",
}

# Matched from the right: a person's code can contain anything, also underscores.
_ARTEFACT: Final = re.compile(
    r"(?:rgb|depth)_(?P<person>.+)_(?P<ms>\d{1,20})_(?P<step>\d{1,9})_(?P<frame>\d{1,9})\.(?P<type>[a-z]+)",
    re.ASCII | re.DOTALL,
)
_TYPES: Final = {"rgb": ("jpg", "jpeg", "png"), "depth": ("depth",)}


@dataclass(frozen=True)
class Entry:
    """The files of one frame.

    Attributes:
        order: the frame's number in the scan.
        step: 0 to `MAX_STEP`, see `geometry.orientation`. It need not be a known step: RGB models find out by
            themselves which way is up.
        rgb, depth: the names of the files; None for a missing one.
        problem: why the frame cannot be read, whatever its files contain, or None.
    """

    order: int
    step: int
    rgb: str | None
    depth: str | None
    problem: str | None = None


@dataclass(frozen=True)
class Manifest:
    """The frames of a scan, at least one, sorted by order, how their depth maps are encoded, and the record's
    `version`, which can be anything.
    """

    entries: tuple[Entry, ...]
    encoding: Encoding = "zip"
    version: Any = None


def manifest_from_names(names: Iterable[str]) -> Manifest:
    """Pair `rgb/rgb_<person>_<unix ms>_<step>_<frame>.jpg` with `depth/depth_….depth`.

    Frames are sorted by their number, and the order of a frame is its index. Other names are ignored.

    Raises:
        InvalidManifest: there are no such names, or too many of them.

    >>> manifest_from_names(["rgb/rgb_p_1622182020448_104_7.jpg"]).entries
    (Entry(order=0, step=104, rgb='rgb/rgb_p_1622182020448_104_7.jpg', depth=None, problem=None),)
    """
    found: dict[tuple[int, int, int, str], dict[str, str]] = {}
    for name in names:
        folder, _, rest = name.partition("/")
        match = _ARTEFACT.fullmatch(rest)
        if folder not in _TYPES or match is None or not rest.startswith(folder):
            continue
        if match["type"] in _TYPES[folder]:
            # The person's code separates two pairs that have the same numbers.
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
    """Read a `scan.json`: the artefacts of one `order` are one frame.

    Args:
        data: the bytes of the file.
        exists: tells whether the scan has a file of this name. An artefact's `file` that does not exist is
            looked for in `rgb/` or `depth/`.

    Raises:
        InvalidManifest: this is not JSON of the shape that docs/scans.md describes, it lists no pictures or
            depth maps or too many, or the step is not an integer from 0 to `MAX_STEP`.

    >>> text = b'{"type": 100, "artifacts": [{"format": "rgb", "order": 0, "file": "rgb/a.jpg"}]}'
    >>> manifest_from_json(text).entries
    (Entry(order=0, step=100, rgb='rgb/a.jpg', depth=None, problem=None),)
    """
    record = _parse_record(data)
    frames: dict[int, dict[str, str]] = {}
    problems: dict[int, str] = {}
    for artefact in record.artifacts:
        role, name = _ROLES.get(artefact.format), artefact.file
        if role is None:
            continue
        files = frames.setdefault(artefact.order, {})
        if role in files:
            problems.setdefault(artefact.order, f"more than one {role}")
        elif not is_safe_path(name):
            problems.setdefault(artefact.order, f"the file of its {role} is no name inside the scan")
        else:
            inner = f"{role}/{name}"
            files[role] = inner if not exists(name) and exists(inner) else name
    if not frames:
        raise InvalidManifest(MANIFEST, "artifacts", "neither pictures nor depth", "format rgb and depth")
    _check_count(len(frames))
    version = record.version
    encoding: Encoding = "ir" if isinstance(version, str) and version.startswith("ir") else "zip"
    entries = (
        Entry(order, record.type, files.get("rgb"), files.get("depth"), problems.get(order))
        for order, files in sorted(frames.items())
    )
    return Manifest(tuple(entries), encoding, version)


class _Artefact(BaseModel):
    """One file in a `scan.json`. A bad `file` breaks only its frame, so it is not checked here."""

    model_config = ConfigDict(strict=True)

    format: str
    order: int = Field(ge=0, le=MAX_ORDER)
    file: Any = None

    @model_validator(mode="before")
    @classmethod
    def _ignore_other_formats(cls, data: Any) -> Any:
        """Keep only the format of a file that is neither a picture nor depth: the rest is not read."""
        if isinstance(data, dict) and isinstance(data.get("format"), str) and data["format"] not in _ROLES:
            return {"format": data["format"], "order": 0}
        return data


class _Record(BaseModel):
    """A `scan.json`."""

    model_config = ConfigDict(strict=True)

    type: int = Field(ge=0, le=MAX_STEP)
    artifacts: Annotated[list[_Artefact], FailFast()] = Field(min_length=1, max_length=MAX_FILES)
    version: Any = None


# What an error says of each field. The values themselves are left out: they may hold a person's code.
_FIELD_ERRORS: Final = {
    "type": ("missing, not an integer or out of range", f"the step, 0 to {MAX_STEP}"),
    "artifacts": ("not a list of objects, empty or too long", f"a list of 1 to {MAX_FILES} objects"),
    "format": ("missing or no text", "rgb or depth"),
    "order": ("missing or out of range", f"0 to {MAX_ORDER}"),
}


def _parse_record(data: bytes) -> _Record:
    if len(data) > MAX_BYTES:
        raise InvalidManifest(MANIFEST, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    try:
        # Not `model_validate_json`: it refuses lone surrogates, which would break more than their frame.
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidManifest(MANIFEST, "content", "no JSON", "a JSON object") from None
    if not isinstance(record, dict):
        raise InvalidManifest(MANIFEST, "content", "no object", "a JSON object")
    try:
        return _Record.model_validate(record)
    except ValidationError as problem:
        # ("type",), ("artifacts",), ("artifacts", 3) or ("artifacts", 3, "order")
        location = problem.errors(include_url=False, include_input=False)[0]["loc"]
        field = next(part for part in reversed(location) if isinstance(part, str))
        raise InvalidManifest(MANIFEST, field, *_FIELD_ERRORS[field]) from None


def is_safe_path(name: Any) -> bool:
    """Return whether a name is a relative, "/" separated path to something inside its folder.

    >>> is_safe_path("rgb/a.jpg"), is_safe_path("../a.jpg"), is_safe_path("/a.jpg")
    (True, False, False)
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _check_count(frames: int) -> None:
    if frames > MAX_FRAMES:
        raise InvalidManifest("scan", "frames", f"{frames}", f"at most {MAX_FRAMES}")
