from __future__ import annotations

import json

import pytest

from worker.keys import ScanId
from worker.scans.event_reader import MAX_EVENT_BYTES, FileReader, parse_event
from worker.scans.events import EventType, FileEvents, cloud_event


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


@pytest.fixture
def reader(path):
    return FileReader(path, sleep=lambda _: None)


def told(reader: FileReader) -> list[str]:
    return [event.subject for event in reader.read(0)]


def send(events: FileEvents, *scan_ids: str) -> None:
    for scan_id in scan_ids:
        assert events.emit(EventType.RECEIVED, ScanId(scan_id))


def test_the_first_call_gives_the_history_and_later_ones_what_is_new(path, reader):
    events = FileEvents(path)
    send(events, "a", "b")
    assert told(reader) == ["a", "b"]
    assert told(reader) == []
    send(events, "c")
    assert told(reader) == ["c"]


def test_a_file_that_comes_later_is_read(path, reader):
    assert told(reader) == []
    send(FileEvents(path), "a")
    assert told(reader) == ["a"]


def test_no_event_is_lost_when_a_full_file_is_renamed(path, reader):
    events = FileEvents(path, max_bytes=600)
    read = []
    for number in range(20):
        send(events, f"s{number}")
        if number % 2:
            read += told(reader)
    assert path.with_name("events.jsonl.1").exists()
    assert read == [f"s{number}" for number in range(20)]


def test_a_half_written_line_is_read_once_it_is_whole(path, reader):
    line = cloud_event(EventType.RECEIVED, ScanId("a"), {}).encode() + b"\n"
    path.write_bytes(line[:50])
    assert told(reader) == []
    with path.open("ab") as file:
        file.write(line[50:])
    assert told(reader) == ["a"]


def test_a_file_that_is_written_anew_gives_no_event_twice(path, reader):
    events = FileEvents(path)
    send(events, "a", "b", "c")
    assert told(reader) == ["a", "b", "c"]
    events.forget(frozenset({ScanId("b")}))
    send(events, "d")
    assert told(reader) == ["d"]


def test_an_event_that_is_sent_twice_is_given_once(path, reader):
    events = FileEvents(path)
    for _ in range(2):
        events.emit(EventType.COMPLETED, ScanId("a"), idempotency_key="end", verdict="good")
    (event,) = reader.read(0)
    assert event.data.verdict == "good"


def test_what_an_event_says_is_read():
    text = cloud_event(EventType.PROGRESS, ScanId("a"), {"stage": "analyse", "frame": 3, "frames": 9})
    event = parse_event(text.encode())
    assert event is not None
    assert (event.type, event.data.stage, event.data.frame) == (EventType.PROGRESS, "analyse", 3)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "other"}, {"subject": "../x"}, {"subject": None}, {"time": "yesterday"},
        {"time": "2026-01-02T03:04:05"}, {"data": []}, {"data": {"stage": "sleep"}}, {"data": {"frame": "x"}},
        {"data": {"reason": ["x"]}}, {"id": 5}, {"id": "x" * 201},
    ],
)  # fmt: skip
def test_what_is_no_event_of_ours_is_left_out(change, path, reader):
    fields = json.loads(cloud_event(EventType.RECEIVED, ScanId("a"), {}))
    lines = [json.dumps({**fields, **change}), "", "{", "[" * 5000, "\x00", json.dumps(fields)]
    path.write_text("\n".join(lines) + "\n")
    assert told(reader) == ["a"]


def test_an_event_that_is_too_large_is_left_out():
    text = cloud_event(EventType.FAILED, ScanId("a"), {}).replace(
        "{}", f'{{"reason": "{"x" * MAX_EVENT_BYTES}"}}'
    )
    assert parse_event(text.encode()) is None
