"""`python -m worker …`, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.running import PATIENCE_S
from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger

ROOT = Path(__file__).parents[3]


def command(here: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_enqueue_puts_messages_into_the_queue_and_says_so_in_the_status(here):
    (here / "scans" / "scan-1").mkdir(parents=True)
    (here / "scans" / "scan-1" / "scan.json").write_text("{}")
    done = command(here, "enqueue", "scan-1", "scan-2")
    assert (done.returncode, done.stdout) == (0, "scan-1: queued\nscan-2: queued\n")
    files, worker = done.stderr.splitlines()
    assert files == "Warning: scan-2: SCANS_URL has no files of this scan. Check the id, or upload them"
    assert worker.startswith("Warning: no worker answers that takes scans from the queue celery; ")
    for scan_id in ("scan-1", "scan-2"):
        status = json.loads((here / "results" / scan_id / "status.json").read_text())
        assert status["status"] == "queued"
        assert status["queued_at"] is not None
    messages = [path.name for path in (here / ".run" / "broker" / "queue").iterdir()]
    assert len(messages) == 2
    assert all(name.endswith(".celery.msg") for name in messages)


def test_enqueue_takes_all_scans_or_none(here):
    done = command(here, "enqueue", "scan-1", "../scan")
    assert done.returncode == 2
    assert "a scan id is 1 to 128 letters" in done.stderr
    assert not (here / "results").exists()


def test_enqueue_says_that_the_broker_is_away(here, redis_server):
    done = command(here, "enqueue", "scan-1", CELERY_BROKER_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 2
    assert done.stderr == "Error: Redis (REDIS_URL, or the broker's) cannot be used: ConnectionError\n"
    assert not (here / "results").exists()
    other = {"CELERY_BROKER_URL": "amqp://guest:hunter2@127.0.0.1:1//", "REDIS_URL": redis_server.url(9)}
    done = command(here, "enqueue", "scan-1", **other)
    assert (done.returncode, "the broker cannot be reached (CELERY_BROKER_URL)" in done.stderr) == (2, True)


def test_enqueue_needs_no_result_store(here):
    done = command(here, "enqueue", "scan-1", CELERY_RESULT_BACKEND="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout, "Error" in done.stderr) == (0, "scan-1: queued\n", False)


def test_all_that_is_wrong_with_the_settings_is_said(here):
    done = command(here, "status", "scan-1", DEVICE="gpu", SCANS_URL="ftp://x")
    assert done.returncode == 2
    assert "DEVICE: must be auto, cpu, cuda or cuda:N" in done.stderr
    assert "SCANS_URL: must start with file:// or s3://" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_told_with_what_it_may_mean(here):
    done = command(here, "status", "scan-1", SCAN_URL="file:///elsewhere")
    assert done.returncode == 3
    (told, _) = done.stderr.splitlines()
    assert json.loads(told)["event"] == "variable_unknown"
    assert (json.loads(told)["variable"], json.loads(told)["nearest"]) == ("SCAN_URL", "SCANS_URL")
    assert "elsewhere" not in done.stderr


def test_erase_says_what_it_removed_and_what_is_left(here):
    (here / "scans" / "scan-1").mkdir(parents=True)
    (here / "scans" / "scan-1" / "calibration.txt").write_text("1")
    command(here, "enqueue", "scan-1")
    done = command(here, "erase", "scan-1", "scan-2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "scan-1: erased: 1 entries of the ledger, 1 events, 1 messages in the queue,"
        " 1 objects and versions of results\n"
        "  proven: nothing names it any more but the event scan.erased\n"
        "  its own files are still in the storage of scans; no worker takes them\n"
        "scan-2: erased: nothing was stored\n"
        "  proven: nothing names it any more but the event scan.erased\n"
    )
    for arguments in (["enqueue", "scan-1"], ["enqueue", "--force", "scan-1"], ["replay", "scan-1"]):
        done = command(here, *arguments)
        assert done.returncode == 2
        assert "the scan was erased; `python -m worker enqueue --again` takes it back" in done.stderr
    assert command(here, "enqueue", "--again", "scan-1").stdout == "scan-1: queued\n"


def test_erase_refuses_a_scan_that_a_worker_has(here):
    settings = read_settings()
    lease = open_ledger(settings).lock(ScanId("scan-1"))
    assert lease is not None
    with lease:
        done = command(here, "erase", "scan-1")
    assert (done.returncode, done.stdout) == (
        1,
        "scan-1: not erased, as a worker has it: cancel it, or wait for its end\n",
    )
