"""Find the files of each frame of a scan: from `scan.json`, or from the names of the files.

File names contain a person's code, so no message contains a name or a part of one that may be the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from pose.errors import InvalidManifest
from pose.scan.depth_file import Encoding
from pose.scan.names import (
    ROLES,
    ArtefactName,
    Role,
    check_one_scan,
    is_safe_path,
    is_system_file,
    parse_name,
    unrecognised,
)
from pose.scan.pairing import MAX_GAP_S, Files, check_count, group_by_name, nearest_pair
from pose.scan.record import MANIFEST, Artefact, BadEntry, describe, parse_record

CALIBRATION: Final = "camera_calibration.txt"

# A frame with more pictures or depth maps is not read: comparing all their times would take long.
MAX_OF_ONE_ORDER: Final = 100

_KINDS: Final = {"rgb": "picture", "depth": "depth map"}
_EXPECTED: Final = "rgb/rgb_<person>_<unix ms>_<step>_<frame>.jpg and depth/depth_….depth"


@dataclass(frozen=True)
class Entry:
    """The files of one frame.

    Attributes:
        order: the frame's number in the scan.
        step: 0 to `MAX_STEP`, see `geometry.orientation`. It need not be a known step: what the frame
            shows tells posture and turn.
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
    folders = sum(name.endswith("/") and not is_system_file(name) for name in names)
    unread = "; ".join(filter(None, (odd, f"{_count(folders, 'other folder')} not read" if folders else "")))
    found = [each for each in map(parse_name, names) if each is not None]
    if not found:
        raise InvalidManifest("scan", "frames", f"none; {unread}" if unread else "none", _EXPECTED)
    check_one_scan(found)
    frames = group_by_name(found)
    entries = []
    for order, (key, files) in enumerate(frames):
        lacking = _lacking(order, files, key.timed, unread)
        entries.append(Entry(order, key.step, files.get("rgb"), files.get("depth"), lacking))
    spare = len(found) - sum(len(files) for _, files in frames)
    return Manifest(tuple(entries), ignored=_lines("scan: files", odd, _spare(spare)))


def _lacking(order: int, files: Files, timed: bool, unread: str) -> str | None:
    """Return why a frame lacks a file; None if it lacks none, or the file is just missing."""
    role = next((role for role in ROLES if role not in files), None)
    if role is None or not (timed or unread):
        return None
    problem = "not found by its name"
    if timed:
        (other,) = files
        problem = f"no {_KINDS[role]} within {MAX_GAP_S} s of the {_KINDS[other]}"
    return "; ".join(filter(None, (f"{role} of frame {order}: file: {problem}", unread)))


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
    check_count(len(frames))
    lost = [entry for entry in record.bad if entry.order is None]
    entries = tuple(listed.entry(order, record.step, lost) for order, listed in sorted(frames.items()))
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
        times = self.times[artefact.role]
        times[name] = min((each for each in (time, times.get(name)) if each is not None), default=None)

    @property
    def count(self) -> int:
        """How many files it lists."""
        return sum(map(len, self.times.values()))

    def entry(self, order: int, step: int, lost: list[BadEntry]) -> Entry:
        """Return the frame. The reason why it is broken may be among the entries that are `lost`."""
        where = f"{MANIFEST}: frame {order}"
        lacking = next((role for role in ROLES if not self.times[role]), None)
        if lacking is not None:
            problem = None
            if self.other and not self.bad:
                problem = f"{where}: no {_KINDS[lacking]}, but a file of another format"
            elif self.bad or lost:
                problem = f"{where}: no {_KINDS[lacking]}; {next(describe(self.bad or lost))}"
            rgb, depth = (min(self.times[role], default=None) for role in ROLES)
            return Entry(order, step, rgb, depth, problem)
        candidates = {role: self._there(names) for role, names in self.times.items()}
        too_many = any(len(names) > MAX_OF_ONE_ORDER for names in candidates.values())
        pair = None if too_many else nearest_pair(candidates)
        if pair is not None:
            return Entry(order, step, *pair)
        count = " and ".join(_count(len(names), _KINDS[role]) for role, names in candidates.items())
        expected = f"expected at most {MAX_OF_ONE_ORDER} of each"
        problem = expected if too_many else "nothing tells which belong together"
        return Entry(order, step, None, None, f"{where}: {count}; {problem}")

    def _there(self, names: dict[str, float | None]) -> dict[str, float | None]:
        """Return the names without those of missing files, unless all are missing."""
        return {name: time for name, time in names.items() if name not in self.missing} or names


def _spare(number: int) -> str | None:
    return f"{_count(number, 'file')} not needed: the frame has another one" if number else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _lines(where: str, *texts: str | None) -> tuple[str, ...]:
    return tuple(f"{where}: {text}" for text in texts if text is not None)
