"""Find the files of each frame of a scan: from `scan.json`, or from the names of the files.

File names contain a person's code, so no message contains a name or a part of one that may be the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from pose.errors import InvalidManifest
from pose.scan.depth_file import Encoding
from pose.scan.names import (
    MAX_GAP_S,
    MAX_SPREAD_S,
    ROLES,
    ArtefactName,
    FrameKey,
    Role,
    check_one_scan,
    fold,
    is_safe_path,
    nearest_pairs,
    parse_name,
    unrecognised,
)
from pose.scan.record import MANIFEST, Artefact, BadEntry, describe, parse_record

CALIBRATION: Final = "camera_calibration.txt"

MAX_FRAMES: Final = 100
# A frame with more pictures or depth maps is not read: comparing all their times would take long.
MAX_OF_ONE_ORDER: Final = 100

Files = dict[Role, str]
_KINDS: Final = {"rgb": "picture", "depth": "depth map"}
_EXPECTED: Final = "rgb/rgb_<person>_<unix ms>_<step>_<frame>.jpg and depth/depth_….depth"


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
    """The frames of a scan.

    Attributes:
        entries: at least one, sorted by order.
        encoding: of the depth maps.
        version: of the record, which can be anything.
        ignored: what belongs to no frame, or is not needed: a line for each kind, with the reason.
    """

    entries: tuple[Entry, ...]
    encoding: Encoding = "zip"
    version: Any = None
    ignored: tuple[str, ...] = ()


def manifest_from_names(names: Iterable[str]) -> Manifest:
    """Pair `rgb/rgb_<person>_<unix ms>_<step>_<frame>.jpg` with `depth/depth_….depth`.

    Frames are sorted by their number, and the order of a frame is its index. Names with a time in place of
    the frame's number are paired by the nearest time, up to `MAX_GAP_S`. The order of the names does not
    count.

    Raises:
        InvalidManifest: there are no such names, or too many of them, or they are of several scans.

    >>> manifest_from_names(["rgb/rgb_p_1622182020448_104_7.jpg"]).entries
    (Entry(order=0, step=104, rgb='rgb/rgb_p_1622182020448_104_7.jpg', depth=None, problem=None),)
    """
    names = list(names)
    odd = unrecognised(names)
    found = [each for each in map(parse_name, names) if each is not None]
    if not found:
        folders = sum(name.endswith("/") for name in names)
        unread = odd or (f"{_count(folders, 'other folder')} not read" if folders else None)
        raise InvalidManifest("scan", "frames", f"none; {unread}" if unread else "none", _EXPECTED)
    check_one_scan(found)
    frames = _group(found)
    entries = []
    for order, (key, files) in enumerate(frames):
        lacking = _lacking(order, files, key.timed, odd)
        entries.append(Entry(order, key.step, files.get("rgb"), files.get("depth"), lacking))
    spare = len(found) - sum(len(files) for _, files in frames)
    return Manifest(tuple(entries), ignored=_lines("scan: files", odd, _spare(spare)))


def _group(found: list[ArtefactName]) -> list[tuple[FrameKey, Files]]:
    """Return the names of the files of each frame, sorted, with one file of each role at most."""
    first: dict[tuple[Role, FrameKey], ArtefactName] = {}
    for each in sorted(found, key=lambda each: each.rank):
        first.setdefault((each.role, each.key), each)
    for role in ROLES:
        _check_count(sum(each.role == role for each in first.values()))
    numbered: dict[FrameKey, Files] = {}
    timed: dict[int, list[ArtefactName]] = {}
    for each in first.values():
        if each.seconds is None:
            numbered.setdefault(each.key, {})[each.role] = each.name
        else:
            timed.setdefault(each.step, []).append(each)
    frames = list(numbered.items())
    for files in timed.values():
        frames += _pair_by_time(files)
    _check_count(len(frames))
    return sorted(frames, key=lambda frame: (frame[0], sorted(frame[1].items())))


def _pair_by_time(files: list[ArtefactName]) -> Iterator[tuple[FrameKey, Files]]:
    """Yield the frames of files that have times. A frame with a picture has the time of its picture."""
    left = {each.name: each for each in files}
    times = {role: [(each.number, each.name) for each in files if each.role == role] for role in ROLES}
    for picture, depth in nearest_pairs(times["rgb"], times["depth"], MAX_GAP_S):
        del left[depth]
        yield left.pop(picture).key, {"rgb": picture, "depth": depth}
    for each in left.values():
        yield each.key, {each.role: each.name}


def _lacking(order: int, files: Files, timed: bool, odd: str | None) -> str | None:
    """Return why a frame lacks a file; None if it lacks none, or the file is just missing."""
    role = next((role for role in ROLES if role not in files), None)
    if role is None or not (timed or odd):
        return None
    problem = "not found by its name"
    if timed:
        (other,) = files
        problem = f"no {_KINDS[role]} within {MAX_GAP_S} s of the {_KINDS[other]}"
    return "; ".join(filter(None, (f"{role} of frame {order}: file: {problem}", odd)))


def manifest_from_json(data: bytes, find: Callable[[str], str | None] = lambda name: name) -> Manifest:
    """Read a `scan.json`: the artefacts of one `order` are one frame.

    An entry that cannot be used costs no more than itself. Of several pictures or depth maps of one order,
    the two that are nearest in time count or, where no times are known, those whose names are equal but for
    folder and type.

    Args:
        data: the bytes of the file.
        find: returns the name under which the scan has a file, or None. A file that is not there is looked
            for in `rgb/` or `depth/`.

    Raises:
        InvalidManifest: this is not JSON of the shape that docs/scans.md describes, it lists no pictures or
            depth maps or too many, or they are of several scans.

    >>> text = b'{"type": 100, "artifacts": [{"format": "rgb", "order": 0, "file": "rgb/a.jpg"}]}'
    >>> manifest_from_json(text).entries
    (Entry(order=0, step=100, rgb='rgb/a.jpg', depth=None, problem=None),)
    """
    record = parse_record(data)
    frames: dict[int, _Listed] = {}
    for artefact in record.artefacts:
        frames.setdefault(artefact.order, _Listed()).add(artefact, find)
    for entry in record.bad:
        if entry.order is not None:
            frames.setdefault(entry.order, _Listed()).bad.append(entry)
    for order in record.other & frames.keys():
        frames[order].other = True
    if not any(any(listed.times.values()) for listed in frames.values()):
        if record.bad:
            raise record.bad[0].error()
        raise InvalidManifest(MANIFEST, "artifacts", "neither pictures nor depth", "format rgb and depth")
    _check_count(len(frames))
    entries = tuple(listed.entry(order, record.step) for order, listed in sorted(frames.items()))
    used = [name for entry in entries for name in (entry.rgb, entry.depth) if name is not None]
    check_one_scan([each for each in map(_parse_base, used) if each is not None])
    # What breaks a frame is said there.
    broken = {entry.order for entry in entries if entry.problem is not None}
    bad = describe(entry for entry in record.bad if entry.order not in broken)
    listed_names = sum(frames[entry.order].count for entry in entries if entry.problem is None)
    ignored = (*bad, *_lines(MANIFEST, _spare(max(0, listed_names - len(used)))))
    version = record.version
    encoding: Encoding = "ir" if isinstance(version, str) and version.startswith("ir") else "zip"
    return Manifest(entries, encoding, version, ignored)


def _parse_base(name: str) -> ArtefactName | None:
    """Return what a file's name says, in whatever folder it lies."""
    return parse_name(PurePosixPath(name).name)


def _resolve(artefact: Artefact, find: Callable[[str], str | None]) -> str | None:
    """Return the name of an artefact's file in the scan, or None if there is none."""
    names = (artefact.file, unquote(artefact.file))
    places = (place for name in names if is_safe_path(name) for place in (name, f"{artefact.role}/{name}"))
    return next(filter(None, map(find, places)), None)


@dataclass
class _Listed:
    """What a record lists for one order: names of files with their times, and entries that cannot be used."""

    times: dict[Role, dict[str, float | None]] = field(default_factory=lambda: {role: {} for role in ROLES})
    missing: set[str] = field(default_factory=set)
    bad: list[BadEntry] = field(default_factory=list)
    other: bool = False

    def add(self, artefact: Artefact, find: Callable[[str], str | None]) -> None:
        """Add a file. Its time is that of the record or else of its name."""
        name = _resolve(artefact, find)
        if name is None:
            name = artefact.file
            self.missing.add(name)
        time, parsed = artefact.time, _parse_base(name)
        if time is None and parsed is not None and parsed.seconds is not None:
            time = float(parsed.seconds)
        self.times[artefact.role].setdefault(name, time)

    @property
    def count(self) -> int:
        """How many files it lists."""
        return sum(map(len, self.times.values()))

    def entry(self, order: int, step: int) -> Entry:
        """Return the frame."""
        where = f"{MANIFEST}: frame {order}"
        lacking = next((role for role in ROLES if not self.times[role]), None)
        if lacking is not None:
            problem = None
            if self.bad:
                problem = next(describe(self.bad))
            elif self.other:
                problem = f"{where}: no {_KINDS[lacking]}, but a file of another format"
            rgb, depth = (min(self.times[role], default=None) for role in ROLES)
            return Entry(order, step, rgb, depth, problem)
        pair = _nearest({role: self._there(names) for role, names in self.times.items()})
        if pair is None:
            count = " and ".join(_count(len(names), _KINDS[role]) for role, names in self.times.items())
            return Entry(order, step, None, None, f"{where}: {count}; nothing tells which belong together")
        return Entry(order, step, *pair)

    def _there(self, names: dict[str, float | None]) -> dict[str, float | None]:
        """Return the names without those of missing files, unless all are missing."""
        return {name: time for name, time in names.items() if name not in self.missing} or names


def _nearest(times: Mapping[Role, Mapping[str, float | None]]) -> tuple[str, str] | None:
    """Return the picture and the depth map that belong together, or None if nothing tells."""
    if all(len(names) == 1 for names in times.values()):
        return next(iter(times["rgb"])), next(iter(times["depth"]))
    if any(len(names) > MAX_OF_ONE_ORDER for names in times.values()):
        return None
    gaps = [
        (abs(time - other), _stem(picture) != _stem(depth), picture, depth)
        for picture, time in times["rgb"].items()
        for depth, other in times["depth"].items()
        if time is not None and other is not None and abs(time - other) <= MAX_SPREAD_S
    ] or [
        (0.0, False, picture, depth)
        for picture in times["rgb"]
        for depth in times["depth"]
        if _stem(picture) == _stem(depth)
    ]
    return min(gaps)[2:] if gaps else None


def _stem(name: str) -> str:
    """Return a name without folder, type and role: equal ones belong together."""
    return re.sub("^(rgb|depth)_", "", PurePosixPath(fold(name)).stem)


def _spare(number: int) -> str | None:
    return f"{_count(number, 'file')} not needed: the frame has another one" if number else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _lines(where: str, *texts: str | None) -> tuple[str, ...]:
    return tuple(f"{where}: {text}" for text in texts if text is not None)


def _check_count(frames: int) -> None:
    if frames > MAX_FRAMES:
        raise InvalidManifest("scan", "frames", f"{frames}", f"at most {MAX_FRAMES}")
