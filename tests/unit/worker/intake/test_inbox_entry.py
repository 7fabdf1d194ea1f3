from __future__ import annotations

import json
from typing import Any

import pytest

from worker.config.settings import Settings, read_settings
from worker.intake.inbox_entry import InboxEntry, parse_entry
from worker.keys import InvalidRequest, ScanId

BUCKET = {"scans_url": "s3://scans/in", "results_url": "s3://results"}


def settings(**values: Any) -> Settings:
    return read_settings(redis_url="redis://host", arrivals_list="arrived", **values)


def read(entry: object, **values: Any) -> InboxEntry:
    data = entry if isinstance(entry, bytes) else json.dumps(entry).encode()
    return parse_entry(data, settings(**values))


def stored(*keys: str) -> dict[str, Any]:
    names = [{"bucket": {"name": "scans"}, "object": {"key": key}} for key in keys]
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": each} for each in names]}


def test_one_scan():
    assert read({"scan_id": "scan-1"}) == InboxEntry(announced=(ScanId("scan-1"),))


def test_several_scans_each_once():
    assert read({"scan_ids": ["b", "a", "b"]}) == InboxEntry(announced=(ScanId("b"), ScanId("a")))


def test_an_object_that_came_only_touches_its_scan():
    assert read(stored("in/a/x", "in/b/x", "in/a/y"), **BUCKET) == InboxEntry(
        touched=(ScanId("a"), ScanId("b"))
    )


def test_the_valid_scans_of_an_entry_count():
    found = read({"scan_ids": ["a", "../b", 7, "c"]})
    assert found.announced == ("a", "c")
    assert found.problem is not None
    assert found.problem.startswith("scan id 2: a scan id is")
    found = read(stored("in/a/x", "out/b/x"), **BUCKET)
    assert (found.touched, found.problem) == (
        ("a",),
        "record 2: it is about an object that is not below the prefix of SCANS_URL",
    )


def test_a_notification_without_anything_for_us_is_no_problem():
    assert read({"Records": []}, **BUCKET) == InboxEntry()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"scan-1", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b'{"scan_id": "' + b"a" * 300_000 + b'"}', "more than 262144 bytes"),
        ([], "neither"),
        ("scan-1", "neither"),
        ({}, "neither"),
        ({"scan_id": "a", "path": "/etc"}, "neither"),
        ({"scan_ids": "a"}, "neither"),
        ({"scan_ids": []}, "empty"),
        ({"scan_id": None}, "a scan id is"),
        ({"scan_id": "a/b"}, "a scan id is"),
        ({"scan_id": "a\n"}, "a scan id is"),
        (stored("in/a/x"), "SCANS_URL is a folder"),
    ],
)
def test_anything_else_is_refused_with_the_reason(entry, reason):
    with pytest.raises(InvalidRequest, match=reason):
        read(entry)
