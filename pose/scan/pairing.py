"""Find the picture and the depth map of a frame: by their names, or by the times at which they were taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Final

from pose.errors import InvalidManifest
from pose.scan.names import MAX_SPREAD_S, ROLES, ArtefactName, FrameKey, Role, fold

MAX_FRAMES: Final = 100
MAX_GAP_S: Final = Decimal("0.1")  # between the times of a picture and of its depth map

Files = dict[Role, str]


def group_by_name(found: Sequence[ArtefactName]) -> list[tuple[FrameKey, Files]]:
    """Return the names of the files of each frame, sorted, with one file of each role at most.

    Raises:
        InvalidManifest: there are more than `MAX_FRAMES`.
    """
    first: dict[tuple[Role, FrameKey], ArtefactName] = {}
    for each in sorted(found, key=lambda each: each.rank):
        first.setdefault((each.role, each.key), each)
    for role in ROLES:
        check_count(sum(each.role == role for each in first.values()))
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
    check_count(len(frames))
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


def nearest_pairs(
    pictures: Sequence[tuple[Decimal, str]], depths: Sequence[tuple[Decimal, str]], limit: Decimal
) -> list[tuple[str, str]]:
    """Pair the names of pictures and depth maps by the nearest time, the nearest pair first.

    Args:
        pictures, depths: times and names. The time that it takes grows with the product of both.
        limit: the largest difference between the times of a pair.

    Returns:
        pairs of a picture and a depth map. No name is in two pairs. The order of the files does not count.

    >>> early, late = Decimal("1.0"), Decimal("2.0")
    >>> nearest_pairs([(early, "a"), (late, "b")], [(late, "c"), (Decimal("1.5"), "d")], early)
    [('b', 'c'), ('a', 'd')]
    """
    gaps = sorted(
        (abs(time - other), picture, depth)
        for time, picture in pictures
        for other, depth in depths
        if abs(time - other) <= limit
    )
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, picture, depth in gaps:
        if picture not in pairs and depth not in taken:
            pairs[picture] = depth
            taken.add(depth)
    return list(pairs.items())


def nearest_pair(times: Mapping[Role, Mapping[str, float | None]]) -> tuple[str, str] | None:
    """Return the picture and the depth map of one frame that belong together, or None if nothing tells.

    Those that are nearest in time do or, where no times are known, those whose names are alike.

    Args:
        times: of each role, the names with their times in seconds or None, at least one.
    """
    if all(len(names) == 1 for names in times.values()):
        return next(iter(times["rgb"])), next(iter(times["depth"]))
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


def check_count(frames: int) -> None:
    """Raise InvalidManifest if a scan has too many frames."""
    if frames > MAX_FRAMES:
        raise InvalidManifest("scan", "frames", f"{frames}", f"at most {MAX_FRAMES}")
