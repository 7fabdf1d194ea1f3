"""The file names of a scan: what they say of a file, and which of them belong together.

File names contain a person's code, so no message contains a name or a part of one that may be the code.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from pose.errors import InvalidManifest

Role = Literal["rgb", "depth"]
ROLES: Final[tuple[Role, ...]] = ("rgb", "depth")  # also the names of their folders

MAX_NAME: Final = 512
MAX_SPREAD_S: Final = 60  # between the times of a scan's first and last file

_TYPES: Final = {"rgb": ("jpg", "jpeg", "png"), "depth": ("depth",)}
# Matched from the right: a person's code can contain anything, also underscores. A code that ends like a unix
# time means that something stands behind the frame's number, such as the "_1" of a copy. Browsers write
# " (1)" at the end of the name of a file that they download a second time.
_START: Final = r"(?P<role>rgb|depth)_(?P<person>.+)(?<!_\d{13})"
_END: Final = r"(?P<copy> ?\(\d{1,3}\))?\.(?P<type>[a-z]+)"
_PATTERNS: Final = tuple(
    re.compile(_START + numbers + _END, re.ASCII | re.DOTALL | re.IGNORECASE)
    for numbers in (
        r"_(?P<ms>\d{1,20})_(?P<step>\d{1,9})_(?P<frame>\d{1,20})",
        # Tango devices: the time in seconds of one clock, after another number in the names of depth files.
        r"_(?P<ms>\d{10,20})_(?P<step>\d{1,9})(?:_\d{1,9})?_(?P<seconds>\d{1,15}[.,]\d{1,15}(?:e\d{1,2})?)",
    )
)
# What systems and programs put beside files: it belongs to no scan. Also all names that start with a dot.
_SYSTEM_FILES: Final = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir")
# Types that may be shown: the end of another name could be a part of a person's code.
_SHOWN_TYPES: Final = (
    *(
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "webp",
        "heic",
        "heif",
        "avif",
        "bmp",
        "gif",
        "tif",
        "tiff",
        "dng",
    ),
    *("depth", "zip", "gz", "pcd", "ply", "mp4", "json", "txt", "csv", "bak", "tmp", "part", "crdownload"),
)


class FrameKey(NamedTuple):
    """Sorts frames: by their number or, after those, by their time."""

    timed: bool
    number: Decimal
    ms: int
    step: int


@dataclass(frozen=True)
class ArtefactName:
    """What the name of a picture or depth map says.

    Attributes:
        name: with its folder, as it is stored.
        person: the person's code, folded.
        ms: the unix time of the scan in milliseconds.
        number: of the frame, or the time in its place.
        seconds: that time, of a clock that starts anywhere, or None.
        rank: sorts several files of the same frame: the first one is used.
    """

    name: str
    role: Role
    person: str
    ms: int
    step: int
    number: Decimal
    seconds: Decimal | None
    rank: tuple[Any, ...]

    @property
    def key(self) -> FrameKey:
        """What a picture and a depth map of one frame share, unless they have times."""
        return FrameKey(self.seconds is not None, self.number, self.ms, self.step)


def parse_name(name: str) -> ArtefactName | None:
    """Return what a name says, or None if it is not the name of a picture or depth map of a scan.

    The file lies in the scan's folder, or in its `rgb` or `depth`. Upper case and lower case mean the same.

    >>> found = parse_name("rgb/rgb_p_1622182020448_104_7.JPG")
    >>> found.role, found.step, found.number
    ('rgb', 104, Decimal('7'))
    """
    folder, _, base = name.replace("\\", "/").rpartition("/")
    if folder.casefold() not in ("", *ROLES):
        return None
    match = next(filter(None, (pattern.fullmatch(base) for pattern in _PATTERNS)), None)
    if match is None:
        return None
    timed = "seconds" in match.groupdict()
    number = Decimal(match["seconds"].replace(",", ".") if timed else match["frame"])
    role: Role = "rgb" if match["role"].lower() == "rgb" else "depth"
    if match["type"].lower() not in _TYPES[role]:
        return None
    return ArtefactName(
        name,
        role,
        fold(match["person"]),
        int(match["ms"]),
        int(match["step"]),
        number,
        number if timed else None,
        (match["copy"] is not None, folder != role, match["type"] not in _TYPES[role], name),
    )


def check_one_scan(found: Sequence[ArtefactName]) -> None:
    """Check that files are of one scan.

    Raises:
        InvalidManifest: they are of several persons' codes, or their times are more than a minute apart.
    """
    people = len({each.person for each in found})
    if people > 1:
        problem = f"they have the codes of {people} persons"
        raise InvalidManifest("scan", "files", problem, "one person's: one folder is one scan")
    clocks = (
        [Decimal(each.ms) / 1000 for each in found],
        [each.seconds for each in found if each.seconds is not None],
    )
    for times in clocks:
        if times and max(times) - min(times) > MAX_SPREAD_S:
            problem = f"their times are more than {MAX_SPREAD_S} s apart"
            raise InvalidManifest("scan", "files", problem, "those of one recording: one folder is one scan")


def unrecognised(names: Iterable[str]) -> str | None:
    """Return how many files are named in a way that is not known, with an example; None if there are none.

    Only files that look like pictures and depth maps count, or lie among them.

    >>> unrecognised(["rgb/rgb_p_1_104_1.webp", "rgb/Thumbs.db", "notes.txt"])
    '1 file not recognised, such as rgb/rgb_….webp'
    """
    found = sorted(name for name in names if _is_odd(name))
    if not found:
        return None
    return f"{len(found)} file{'s' * (len(found) > 1)} not recognised, such as {_shown(found[0])}"


def _is_odd(name: str) -> bool:
    if is_system_file(name) or parse_name(name) is not None:
        return False
    *folders, base = fold(name).removesuffix("/").split("/")
    of_artefacts = any(base.endswith(f".{each}") for types in _TYPES.values() for each in types)
    among_them = (folders or [base])[0] in ROLES
    return among_them or of_artefacts or base.startswith(("rgb_", "depth_"))


def _shown(name: str) -> str:
    """Return what of a name can be shown: it contains no part of a person's code."""
    *folders, base = name.replace("\\", "/").removesuffix("/").split("/")
    known = len(folders) == 1 and folders[0].casefold() in ROLES
    folder = f"{folders[0]}/" if known else "…/" if folders else ""
    start = next((base[: len(role) + 1] for role in ROLES if base.casefold().startswith(f"{role}_")), "")
    end = base.rpartition(".")[2]
    return f"{folder}{start}…" + (f".{end}" if end.casefold() in _SHOWN_TYPES else "")


def is_system_file(name: str) -> bool:
    """Return whether a system or a program put this file or folder there, such as `.DS_Store`.

    >>> is_system_file("rgb/._rgb_p_1_104_1.jpg"), is_system_file("__MACOSX/rgb/a.jpg")
    (True, True)
    """
    return any(part.startswith(".") or part in _SYSTEM_FILES for part in fold(name).split("/"))


def fold(name: str) -> str:
    r"""Return a text that is equal for names that people take as the same.

    macOS may store "ä" as two characters, and other systems as one.

    >>> fold("RGB\\A.jpg")
    'rgb/a.jpg'
    """
    return unicodedata.normalize("NFC", name).casefold().replace("\\", "/")


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
