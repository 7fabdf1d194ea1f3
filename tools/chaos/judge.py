"""Judge what a chaos run left. Pure functions that know no server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tools.chaos.findings import ANY, Event, Published
from tools.chaos.plan import PlannedScan
from tools.chaos.scans import ENDLESS, KINDS, LETHAL

FINAL: Final = {"completed": "scan.completed", "failed": "scan.failed"}
MAX_LOST: Final = 0.05  # share of the malformed entries that faults of the network may lose


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        what: the thing that is checked.
        wanted, found: texts for people.
        faults: what is wrong; empty if all is well.
    """

    what: str
    wanted: str
    found: str
    faults: tuple[str, ...] = ()


def _check(what: str, of: int, faults: Iterable[str]) -> Check:
    """Return a check of `of` things that must all be right."""
    wrong = tuple(faults)
    return Check(what, str(of), str(of - len(wrong)), wrong)


def check_scans(
    scans: Sequence[PlannedScan], published: Mapping[str, Published], quiet: Mapping[str, Published]
) -> list[Check]:
    """Check the end of each scan against that of its kind without faults."""
    good = [scan for scan in scans if KINDS[scan.kind].failure is None]
    bad = [scan for scan in scans if KINDS[scan.kind].failure is not None]
    return [
        _check(
            "scans with a final status",
            len(scans),
            (
                f"{scan.scan_id} is {published[scan.scan_id].said}"
                for scan in scans
                if not _final(published[scan.scan_id])
            ),
        ),
        _check(
            "scans completed, equal to those without faults",
            len(good),
            _each(good, published, quiet, _completed),
        ),
        _check("corrupted scans failed with their reason", len(bad), _each(bad, published, quiet, _failed)),
        Check("partial results", "0", *_partial(scans, published)),
    ]


def _final(found: Published) -> bool:
    return found.said in FINAL


def _each(scans: Sequence[PlannedScan], published: Any, quiet: Any, judge: Any) -> Iterator[str]:
    for scan in scans:
        fault = judge(scan, published[scan.scan_id], quiet.get(scan.kind))
        if fault:
            yield f"{scan.scan_id} ({scan.kind}): {fault}"


def _completed(scan: PlannedScan, found: Published, quiet: Published) -> str | None:
    if found.said != "completed":
        return f"{found.said}, {found.reason}"
    if found.alike != quiet.alike:
        return f"other artefacts: {_difference(found.alike, quiet.alike)}"
    if comparable(scan.scan_id, found.result) != comparable("", quiet.result):
        return "another result.json"
    return None


def _failed(scan: PlannedScan, found: Published, quiet: Published | None) -> str | None:
    expected = KINDS[scan.kind].failure or ""
    if found.said != "failed" or not found.reason.startswith(expected):
        return f"{found.said}, {found.reason}"
    if quiet is not None and found.reason != quiet.reason:
        return f"{found.reason}; without faults {quiet.reason}"
    return None


def _partial(scans: Sequence[PlannedScan], published: Mapping[str, Published]) -> tuple[str, tuple[str, ...]]:
    faults = []
    for scan in scans:
        fault = partial(published[scan.scan_id])
        if fault:
            faults.append(f"{scan.scan_id}: {fault}")
    return str(len(faults)), tuple(faults)


def partial(found: Published) -> str | None:
    """Return what is inconsistent in a scan's files. A failed scan has no result."""
    if found.said == "failed":
        return "it has failed, and has a result.json" if found.result is not None else None
    if found.result is None:
        return "it has no result.json"
    listed = found.result["artefacts"]
    return None if found.digests == listed else f"not as listed: {_difference(found.digests, listed)}"


def _difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    return ", ".join(sorted(name for name in {*one, *other} if one.get(name) != other.get(name)))


def comparable(scan_id: str, result: Mapping[str, Any] | None) -> Any:
    """Return a result without the scan's id, without timings and without the digests that contain the id."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: plain(each) for name, each in value.items() if name not in ("timings_ms", "artefacts")
            }
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value

    own = scan_id or str((result or {}).get("scan_id"))
    return plain(json.loads(json.dumps(result).replace(own, ANY.decode())))


def check_events(
    scans: Sequence[PlannedScan], published: Mapping[str, Published], events: Mapping[str, list[Event]]
) -> Check:
    """Check the events of scans: received at least once, one end after the last start, no contradiction."""
    faults = []
    for scan in scans:
        fault = odd_events(
            [each.type for each in events.get(scan.scan_id, [])],
            FINAL.get(published[scan.scan_id].said, ""),
            aside=KINDS[scan.kind] in (LETHAL, ENDLESS),
        )
        if fault:
            faults.append(f"{scan.scan_id} ({scan.kind}): {fault}")
    return _check("scans with consistent events", len(scans), faults)


def odd_events(types: Sequence[str], end: str, aside: bool = False) -> str | None:
    """Return what is wrong with a scan's events; `end` is the end that its status states.

    A scan in quarantine is not started again: each further message for it ends with the same failure.
    """
    told = [each for each in types if each in ("scan.received", "scan.started", *FINAL.values())]
    short = ", ".join(each.removeprefix("scan.") for each in told)
    ends = [each for each in told if each in FINAL.values()]
    if "scan.received" not in told:
        return f"never received: {short}"
    if set(ends) != {end}:
        return f"its status is {end.removeprefix('scan.')}, its events: {short}"
    last_start = max((number for number, each in enumerate(told) if each == "scan.started"), default=-1)
    after = [each for each in told[last_start + 1 :] if each == end]
    if len(after) != 1 and not (aside and after):
        return f"{len(after)} ends after its last start: {short}"
    return None


def check_left_over(left: Mapping[str, int], processes: Sequence[int]) -> Check:
    """Check that nothing is left in any list and that no process remains."""
    faults = [f"{place}: {count}" for place, count in left.items() if count]
    faults += [f"process {pid} runs on" for pid in processes]
    return Check("left in queues, lists, locks and processes", "0", str(len(faults)), tuple(faults))


def check_dead_letters(name: str, marks: Sequence[str], letters: Sequence[Mapping[str, str]]) -> Check:
    """Check that a dead list holds each malformed entry with a reason, and nothing else.

    A few may be lost: Redis removes an entry when a worker takes it, and the connection may be cut before the
    answer arrives. A scan that is lost in this way is sent again; a malformed entry has no second copy.
    """
    reasons = {mark: [letter["reason"] for letter in letters if mark in letter["entry"]] for mark in marks}
    lost = [mark for mark in marks if not reasons[mark]]
    faults = [f"{mark} has no reason" for mark in marks if not all(reasons[mark])]
    if len(lost) > MAX_LOST * len(marks):
        faults += [f"{mark} is nowhere" for mark in lost]
    for letter in letters:
        if not any(mark in letter["entry"] for mark in marks):
            faults.append(f"not ours: {letter['reason']}: {letter['entry'][:300]}")
    return Check(f"bad entries on {name}", str(len(marks)), str(len(marks) - len(lost)), tuple(faults))


def check_exits(exits: Sequence[str]) -> Check:
    """Check that no worker ended by itself."""
    return Check("workers that ended by themselves", "0", str(len(exits)), tuple(exits))
