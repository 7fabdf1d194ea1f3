from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.running import PATIENCE_S, wait_until
from worker.demo import SCANS, DemoFailed, analysis_state, is_finished, table, unconfigured_environment


@pytest.fixture
def folder(tmp_path) -> Path:
    """What the demo leaves: the standing child 2 cm too long, and the lying one taken for a standing one."""
    for scan, length in zip(SCANS, (0.92, None), strict=True):
        truth = {"posture": scan.posture, "frames": [{"people": [{"body_length_m": 0.9}]}]}
        result: dict[str, object] = {
            "posture": "standing",
            "body_length_m": length,
            "frames_used": 1,
            "frames": [{}, {}],
            "timings_ms": {"total": 500.0},
        }
        for name, value in (("scans", truth), ("results", result)):
            (tmp_path / name / scan.scan_id).mkdir(parents=True)
            (
                tmp_path / name / scan.scan_id / ("truth.json" if name == "scans" else "result.json")
            ).write_text(json.dumps(value))
    return tmp_path


def write_status(folder: Path, **fields: object) -> None:
    status = {"scan_id": SCANS[0].scan_id, "updated_at": "2026-01-01T00:00:00Z", **fields}
    (folder / "results" / SCANS[0].scan_id / "status.json").write_text(json.dumps(status))


def test_the_table_holds_what_was_found_beside_the_truth(folder):
    console = Console(width=80, record=True)
    console.print(table(folder))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "demo-standing standing ✓ 92.0 cm 90.0 cm +2.0 cm 1 of 2 0.25" in lines
    assert "demo-lying standing ✗ ? 90.0 cm ? 1 of 2 0.25" in lines


def test_a_scan_is_finished_when_its_status_says_completed(folder):
    assert not is_finished(folder, SCANS[0])
    assert analysis_state(folder, SCANS[0]) == ("waiting", 0)
    write_status(folder, status="progress", stage="analyse", frames_done=4, frames=9)
    assert not is_finished(folder, SCANS[0])
    assert analysis_state(folder, SCANS[0]) == ("analyse", 4)
    write_status(folder, status="completed", frames_done=9, frames=9)
    assert is_finished(folder, SCANS[0])


def test_a_scan_that_failed_ends_the_demo_with_its_reason(folder):
    write_status(folder, status="failed", reason="it has no frames")
    with pytest.raises(DemoFailed, match="demo-standing: it has no frames"):
        is_finished(folder, SCANS[0])


def test_no_setting_of_the_user_reaches_the_demo(monkeypatch):
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "RESULTS_URL", "MODEL", "LOG_FORMAT"):
        monkeypatch.setenv(name, "something")
    environment = unconfigured_environment()
    assert not {name for name, value in environment.items() if value == "something"}
    assert environment["PATH"] == os.environ["PATH"]


def processes_in(folder: Path) -> dict[int, str]:
    """Command lines of the processes that work in a folder, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve() == folder:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def demo(tmp_path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A demo under way, whose worker is up."""
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "worker.demo", "--frames", "1", "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + PATIENCE_S
        while "process_ready" not in (log.read_text() if (log := folder / "worker.log").exists() else ""):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert processes_in(folder)
        yield process, folder
        process.kill()


def test_ctrl_c_leaves_no_process_behind(demo):
    process, folder = demo
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert "nothing is left running" in output
    assert process.returncode == 128 + signal.SIGINT
    wait_until(lambda: not processes_in(folder), "those that were killed to go")


def test_a_worker_that_dies_ends_the_demo_with_an_error(demo):
    process, folder = demo
    # The others of that name are its children.
    (worker,) = (
        pid
        for pid, command in processes_in(folder).items()
        if "celery" in command and parent_of(pid) == process.pid
    )
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert "The demo failed: `celery -A worker worker` ended with exit code -9" in output
    assert process.returncode == 1
    wait_until(lambda: not processes_in(folder), "those that were killed to go")
