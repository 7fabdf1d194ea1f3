"""The judge finds each kind of fault. A chaos run is worth no more than its judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tools.chaos.findings import Event, Published
from tools.chaos.judge import (
    Check,
    check_dead_letters,
    check_events,
    check_exits,
    check_left_over,
    check_scans,
    comparable,
)
from tools.chaos.plan import PlannedScan
from tools.chaos.scans import BROKEN, GOOD, LETHAL

REASON = f"{BROKEN[0].failure}"


def published(scan_id: str) -> Published:
    result = {
        "scan_id": scan_id,
        "posture": "standing",
        "frames": [{"picture": f"{scan_id}/frames/0/blurred.jpg", "timings_ms": {"all": len(scan_id)}}],
        "artefacts": {"frames/0/pose.json": f"digest of {scan_id}"},
        "timings_ms": {"all": len(scan_id)},
    }
    status = {"scan_id": scan_id, "status": "completed"}
    return Published(
        status, result, {"frames/0/pose.json": f"digest of {scan_id}"}, {"frames/0/pose.json": "d"}
    )


def failed(reason: str = REASON) -> Published:
    return Published({"status": "failed", "reason": reason}, None, {}, {})


SCANS = [PlannedScan("good-one", GOOD[0].name, ()), PlannedScan("bad", BROKEN[0].name, ())]
QUIET = {GOOD[0].name: published("quiet"), BROKEN[0].name: failed()}
WELL = {"good-one": published("good-one"), "bad": failed()}


def faults(checks: list[Check]) -> dict[str, str]:
    return {check.what: " ".join(check.faults) for check in checks if check.faults}


def test_where_all_is_well_nothing_is_found():
    assert faults(check_scans(SCANS, WELL, QUIET)) == {}


def change(**changes: Any) -> Published:
    return replace(WELL["good-one"], **changes)


@pytest.mark.parametrize(
    ("scan_id", "found", "what", "text"),
    [
        ("good-one", change(status=None), "scans with a final status", "good-one is None"),
        ("good-one", change(status={"status": "queued"}), "scans with a final status", "is queued"),
        ("good-one", failed("why"), "scans completed, equal to those without faults", "failed, why"),
        ("good-one", change(alike={}), "scans completed, equal to those without faults", "other artefacts"),
        (
            "good-one",
            change(result={**(WELL["good-one"].result or {}), "posture": "lying"}),
            "scans completed, equal to those without faults",
            "another result.json",
        ),
        ("good-one", change(result=None), "partial results", "no result.json"),
        ("good-one", change(digests={}), "partial results", "not as listed: frames/0/pose.json"),
        ("good-one", change(digests={"frames/0/pose.json": "x"}), "partial results", "not as listed"),
        (
            "good-one",
            change(digests={**WELL["good-one"].digests, "frames/1/pose.json": "old"}),
            "partial results",
            "not as listed: frames/1/pose.json",
        ),
        ("bad", published("bad"), "corrupted scans failed with their reason", "completed"),
        ("bad", failed("another"), "corrupted scans failed with their reason", "failed, another"),
        ("bad", failed(f"{REASON} more"), "corrupted scans failed with their reason", "without faults"),
        ("bad", replace(failed(), result={}), "partial results", "it has failed, and has a result.json"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_scan_is_found(scan_id, found, what, text):
    assert text in faults(check_scans(SCANS, {**WELL, scan_id: found}, QUIET))[what]


def test_results_of_two_scans_are_alike_but_for_ids_and_timings():
    one, other = published("one").result, published("another").result
    assert comparable("one", one) == comparable("another", other)
    assert comparable("one", {**(one or {}), "posture": "lying"}) != comparable("another", other)


def events(*types: str, kind: str = GOOD[0].name, end: str = "completed") -> str:
    scan = PlannedScan("scan", kind, ())
    told = {"scan": [Event(f"scan.{each}", "scan") for each in types]}
    check = check_events([scan], {"scan": Published({"status": end}, None, {}, {})}, told)
    return " ".join(check.faults)


def test_consistent_events_are_found_to_be_so():
    assert events("received", "started", "progress", "completed") == ""
    assert (
        events("received", "received", "started", "started", "completed", "received", "started", "completed")
        == ""
    )
    assert events("received", "started", "failed", "failed", kind=LETHAL.name, end="failed") == ""


@pytest.mark.parametrize(
    ("types", "text"),
    [
        (("started", "completed"), "never received"),
        (("received", "started"), "its status is completed"),
        (("received", "started", "failed"), "its status is completed"),
        (("received", "started", "completed", "started", "failed"), "its status is completed"),
        (("received", "started", "completed", "started"), "0 ends after its last start"),
        (("received", "started", "completed", "completed"), "2 ends after its last start"),
    ],
)
def test_odd_events_are_found(types, text):
    assert text in events(*types)


def test_what_is_left_anywhere_is_found():
    assert check_left_over({"queue": 0}, []).faults == ()
    assert check_left_over({"queue": 2, "locks": 0}, [7]).faults == ("queue: 2", "process 7 runs on")


def test_bad_entries_that_are_nowhere_and_entries_that_were_good_are_found():
    letters = [{"reason": "why", "entry": "x bad-1 x"}, {"reason": "why", "entry": "a good one"}]
    assert check_dead_letters("d", ["bad-1"], letters[:1]).faults == ()
    assert check_dead_letters("d", ["bad-1", "bad-2"], letters[:1]).faults == ("bad-2 is nowhere",)
    assert check_dead_letters("d", ["bad-1"], letters).faults == ("not ours: why: a good one",)
    assert check_dead_letters("d", ["bad-1"], [{**letters[0], "reason": ""}]).faults == (
        "bad-1 has no reason",
    )


def test_few_bad_entries_may_be_lost_and_the_table_shows_it():
    marks = [f"bad-{number:02d}" for number in range(20)]
    letters = [{"reason": "why", "entry": mark} for mark in marks]
    one_lost = check_dead_letters("d", marks, letters[1:])
    assert (one_lost.found, one_lost.faults) == ("19", ())
    assert check_dead_letters("d", marks, letters[2:]).faults == ("bad-00 is nowhere", "bad-01 is nowhere")


def test_a_worker_that_ended_by_itself_is_found():
    assert check_exits([]).faults == ()
    assert check_exits(["a ended"]).faults == ("a ended",)
