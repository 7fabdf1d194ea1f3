"""Reports through a real pipe, and what they say about a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from worker import counters
from worker.runtime import reports
from worker.runtime.reports import MAX_FAILED, MAX_UNFIT, Condition, Kind, Report


@pytest.fixture(autouse=True)
def _pipe(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(reports, "_parent", None)
    monkeypatch.setattr(reports, "_pipe", None)
    reports.open_reports()
    yield
    assert reports._pipe is not None
    for end in reports._pipe:
        os.close(end)


def test_each_report_comes_as_it_was_sent():
    sent = [Report(Kind.READY), Report(Kind.UNFIT, "é" * reports.MAX_REASON), Report(Kind.DONE)]
    for each in sent:
        reports.send_report(each.kind, each.reason)
    assert list(reports.read_reports()) == sent
    assert list(reports.read_reports()) == []


def test_a_full_pipe_blocks_nobody():
    for _ in range(100_000):
        reports.send_report(Kind.FAILED, "x" * 1000)
    assert len(list(reports.read_reports())) > 10


def test_only_a_process_of_the_pool_can_be_replaced(monkeypatch):
    assert not reports.is_replaceable()
    monkeypatch.setattr(reports, "_parent", os.getpid() + 1)
    assert reports.is_replaceable()
    monkeypatch.setattr(reports, "_parent", None)
    assert not reports.is_replaceable()


def test_several_processes_in_a_row_that_cannot_work_are_a_problem_until_a_scan_is_done():
    condition = Condition()
    for _ in range(MAX_UNFIT):
        assert condition.problem is None
        condition.add(Report(Kind.UNFIT, "no device"))
        condition.add(Report(Kind.READY))
    assert condition.problem == "it takes no scans: 3 processes could not work, the last one: no device"
    condition.add(Report(Kind.DONE))
    assert condition.problem is None


def test_so_are_several_attempts_in_a_row_that_failed_for_no_reason_of_a_scan():
    condition = Condition()
    for _ in range(MAX_FAILED):
        assert condition.problem is None
        condition.add(Report(Kind.FAILED, "the storage of scans: it is full"))
    assert condition.problem == "its last 3 attempts failed: the storage of scans: it is full"
    condition.add(Report(Kind.DONE))
    assert condition.problem is None


def test_counts_reach_the_parent_and_wait_while_the_pipe_is_full(monkeypatch):
    waiting = [("pose_verdicts", ["good"], 1.0)] * 25
    monkeypatch.setattr(counters._Kept, "counts", waiting)
    taken: list[object] = []
    monkeypatch.setattr(reports, "add", taken.extend)
    while True:
        reports.send_report(Kind.FAILED, "x")
        before = len(waiting)
        reports.send_counts()
        if len(waiting) == before:  # the pipe is full
            break
        waiting += [("pose_verdicts", ["good"], 1.0)] * 25
    assert before > 0
    told = list(reports.read_reports())
    assert {each.kind for each in told} == {Kind.FAILED}
    reports.send_counts()
    assert list(reports.read_reports()) == []
    assert waiting == []
    assert len(taken) % 25 == 0
    assert taken[0] == ["pose_verdicts", ["good"], 1.0]


def test_a_report_of_the_longest_labels_is_one_write(monkeypatch):
    waiting = [("pose_pictures_withheld_total", ["x" * 64] * 5, 1.0)] * reports._MAX_COUNTS
    monkeypatch.setattr(counters._Kept, "counts", waiting)
    taken: list[object] = []
    monkeypatch.setattr(reports, "add", taken.append)
    reports.send_counts()
    assert list(reports.read_reports()) == []
    assert len(taken) == 1
