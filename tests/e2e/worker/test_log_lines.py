"""With LOG_FORMAT=json, whatever worker, beat and Flower write is a line of JSON."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, World, wait_until
from tests.support.s3_server import Ports

JSON = {"LOG_FORMAT": "json", "SCAN_URL": "s3://scans"}
# As a library may do it, in the process of a scan and past the logging.
NOISY = """
import os, sys, threading, warnings
from celery import signals
from worker.app import app

@signals.worker_process_init.connect
def make_noise(**_):
    print("printed by a library")
    os.write(2, b"libpng warning: iCCP: known incorrect sRGB profile\\n")
    warnings.warn("a warning of Python")
    threading.Thread(target=lambda: 1 / 0, name="broken").start()
"""


@pytest.fixture
def world(tmp_path) -> World:
    (tmp_path / "noisy.py").write_text(NOISY)
    return World(tmp_path, JSON)


def lines(running: Running) -> list[dict[str, Any]]:
    """All that was written to standard output and error."""
    found = [json.loads(line) for line in running.log().splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in found)
    return found


def texts(running: Running) -> str:
    return "\n".join(f"{line['event']} {line.get('line', '')}" for line in lines(running))


def test_each_line_of_a_worker_is_json(world, make_scan):
    path = os.pathsep.join([str(world.folder), world.environment["PYTHONPATH"]])
    with world.start("celery", "-A", "noisy", "worker", "--loglevel", "INFO", PYTHONPATH=path) as worker:
        worker.wait_for_event("worker_ready")
        world.put_scan("good", make_scan(frames=1))
        world.put_scan("bad", {"camera_calibration.txt": b"nothing", "rgb/rgb_p_1_100_1.jpg": b"no picture"})
        world.enqueue("good", "bad")
        world.wait_for("good", "completed")
        world.wait_for("bad", "failed")
        assert worker.stop() == 0
    text = texts(worker)
    for written in (
        "[queues]",  # Celery's banner
        "printed by a library",
        "libpng warning",
        "a warning of Python",
        "ZeroDivisionError",
        "variable_unknown",
    ):
        assert written in text, written
    (unknown,) = worker.events("variable_unknown")
    assert (unknown["variable"], unknown["nearest"]) == ("SCAN_URL", "SCANS_URL")


def test_each_line_of_beat_is_json(world):
    with world.start("celery", "-A", "worker", "beat", "--loglevel", "INFO") as beat:
        wait_until(lambda: "beat: Starting" in beat.log(), "beat")
        beat.stop()
    assert "is starting." in texts(beat)


def test_each_line_of_flower_is_json(world):
    ports = Ports()
    options = ("--address=127.0.0.1", f"--port={ports.first}")
    with world.start("celery", "-A", "worker", "flower", *options) as flower:
        wait_until(lambda: "Visit me at" in flower.log(), "Flower")
        flower.stop()
    ports.release()
    assert "Visit me at" in texts(flower)


def test_wrong_settings_are_a_line_of_json(world):
    done = world.call("celery", "-A", "worker", "worker", DEVICE="gpu")
    (told,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, done.stdout, told["event"]) == (1, "", "settings_unusable")
    assert "DEVICE: must be auto, cpu, cuda or cuda:N" in told["reason"]


def log_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("program", ["celery", "python -m celery"])
def test_a_log_file_that_logrotate_renames_is_opened_again(world, make_scan, program):
    path, rotated = world.folder / "worker.log", world.folder / "worker.log.1"
    script = world.folder / "celery"  # as pip makes it
    script.write_text("import sys\nfrom celery.__main__ import main\nsys.exit(main())\n")
    command = str(script) if program == "celery" else "celery"
    with world.start(command, "-A", "worker", "worker", "-c", "1", "--logfile", str(path)) as worker:
        wait_until(lambda: "worker_ready" in log_of(path), "the worker")
        path.rename(rotated)
        worker.process.send_signal(signal.SIGHUP)
        # Celery starts the worker again in the same process.
        wait_until(lambda: "worker_ready" in log_of(path), "the worker that was started again")
        assert worker.process.poll() is None
        world.put_scan("scan", make_scan(frames=1))
        world.enqueue("scan")
        world.wait_for("scan", "completed")
        assert worker.stop() == 0
    for file in (path, rotated):
        assert all(map(json.loads, file.read_text().splitlines()))
    assert "Restarting celery worker" in path.read_text()
    assert "scan_completed" in path.read_text()
