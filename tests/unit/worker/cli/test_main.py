from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from worker.cli import main as cli
from worker.cli import prospects, watch
from worker.config.settings import Settings, read_settings
from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.scans.status import ScanStatus, Status, now, read_status, write_status
from worker.storage.base import Storage
from worker.storage.opening import open_storages

SCAN = ScanId("scan")


@pytest.fixture
def settings(here, monkeypatch) -> Settings:
    settings = read_settings(
        scans_url=url_of_folder(here / "scans"), results_url=url_of_folder(here / "results")
    )
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    monkeypatch.setattr(watch, "load_settings", lambda: settings)
    return settings


@pytest.fixture
def results(settings) -> Storage:
    return open_storages(settings)[1]


def put(results: Storage, scan_id: str, status: Status, **fields: object) -> None:
    about = {"scan_id": scan_id, "status": status, "updated_at": now(), **fields}
    write_status(results, ScanStatus.model_validate(about))


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.cli, arguments)
    return done.exit_code, done.output


def test_status_tells_what_became_of_a_scan(results):
    put(results, "scan", Status.COMPLETED)
    assert call("status", "scan") == (0, "scan: completed\n")


def test_status_of_a_failed_scan_tells_the_reason_and_exits_with_1(results):
    put(results, "scan", Status.FAILED, reason="no [frames]")
    assert call("status", "scan") == (1, "scan: failed, no [frames]\n")


def test_status_prints_json_as_it_is_stored(results):
    put(results, "scan", Status.PROGRESS, stage="analyse", frames_done=2, frames=9)
    code, text = call("status", "scan", "--json")
    assert code == 0
    assert text.strip() == results.read("scan/status.json", 10_000).decode()


def test_status_of_an_unknown_scan_exits_with_3(settings):
    assert call("status", "scan") == (3, "scan: nothing is known about this scan\n")


@pytest.mark.parametrize("command", ["status", "watch"])
def test_an_id_that_is_none_is_refused(settings, command):
    code, text = call(command, "a/b")
    assert code == 2
    assert "a scan id is 1 to 128 letters" in text


def test_watch_ends_when_all_scans_are_done(results):
    put(results, "a", Status.COMPLETED)
    put(results, "b", Status.COMPLETED)
    code, text = call("watch", "a", "b")
    assert code == 0
    assert [line.split("  ", 1)[1] for line in text.splitlines()] == ["a: completed", "b: completed"]


def test_watch_tells_of_scans_in_json(results):
    put(results, "a", Status.FAILED, reason="no frames", queued_at=now(), finished_at=now())
    code, text = call("watch", "a", "--json")
    assert code == 1
    told = json.loads(text)
    assert (told["scan_id"], told["outcome"], told["reason"]) == ("a", "failed", "no frames")
    assert told["age_s"] < 60


def test_watch_exits_with_1_when_a_scan_failed(results):
    put(results, "a", Status.COMPLETED)
    put(results, "b", Status.FAILED, reason="no frames")
    code, text = call("watch", "a", "b")
    assert code == 1
    assert "no frames" in text


@pytest.fixture
def sent(settings, monkeypatch) -> list[dict[str, object]]:
    """The messages that were sent."""
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(cli, "_sender", lambda: sent.append)
    monkeypatch.setattr(prospects, "warnings_about", lambda *_: ["nobody works"])
    return sent


def test_a_scan_that_is_forced_is_pardoned_and_says_so(settings, sent):
    open_ledger(settings).quarantine(SCAN, "poison: …")
    assert call("enqueue", "scan", "--force") == (0, "scan: queued\nWarning: nobody works\n")
    assert sent == [{"scan_id": "scan", "force": True}]
    assert open_ledger(settings).quarantine_reason(SCAN) is None


def test_replay_puts_scans_back_that_were_set_aside(settings, results, sent):
    put(results, "scan", Status.FAILED, reason="poison: …")
    open_ledger(settings).quarantine(SCAN, "poison: …")
    assert call("replay", "scan") == (0, "scan: queued\n")
    assert sent == [{"scan_id": "scan"}]
    assert open_ledger(settings).quarantine_reason(SCAN) is None
    status = read_status(results, SCAN)
    assert status is not None
    assert status.status is Status.QUEUED


def test_replay_of_all_that_failed_leaves_the_others(results, sent):
    for scan_id, status in (("a", Status.FAILED), ("b", Status.COMPLETED), ("c", Status.FAILED)):
        put(results, scan_id, status)
    results.write("no scan at all/x", b"", "text/plain")
    assert call("replay", "--failed") == (0, "a: queued\nc: queued\n")
    assert sent == [{"scan_id": "a"}, {"scan_id": "c"}]
    assert call("replay", "--failed") == (0, "no scan has failed\n")


@pytest.mark.parametrize("arguments", [(), ("scan", "--failed")])
def test_replay_wants_either_scans_or_all(sent, arguments):
    code, text = call("replay", *arguments)
    assert (code, "either scan ids or --failed" in text) == (2, True)
    assert sent == []


def test_reconcile_sends_what_is_overdue_and_says_which(settings, here, sent):
    (here / "scans").mkdir()
    open_ledger(settings).set_deadline(ScanId("late"), 1.0)
    open_ledger(settings).set_deadline(ScanId("early"), time.time() + 600)
    code, text = call("reconcile")
    assert (code, "late: queued again\n" in text) == (0, True)
    code, text = call("reconcile", "--all")
    assert (code, text.splitlines()[-1]) == (0, "no scan had to be sent again")
    assert sent == [{"scan_id": "late", "resent": True}]


def test_help_lists_the_commands():
    code, text = call("--help")
    assert code == 0
    assert all(command in text for command in ("enqueue", "status", "watch", "replay", "reconcile"))
