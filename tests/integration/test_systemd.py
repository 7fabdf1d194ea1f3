"""The units of deploy/systemd: systemd takes them, and they fit this worker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import ROOT
from worker.config.secrets import S3_KEYS, SETTINGS
from worker.config.settings import Settings, read_settings

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted([*FOLDER.glob("*.service"), *FOLDER.glob("*.timer")])
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PYTHON = "/opt/pose-worker/.venv/bin/python"
KNOWN = {str(field.validation_alias) for field in Settings.model_fields.values()}


def complaints(folder: Path, change: tuple[str, str] = ("", "")) -> str:
    """What systemd says of copies of the units in which Python is the one of these tests."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    for path in UNITS:
        text = path.read_text().replace(PYTHON, sys.executable).replace(*change)
        (folder / path.name).write_text(text)
    units = sorted(map(str, folder.iterdir()))
    command = [tool, "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    # Of an unknown key it only warns, and its exit code is 0. What it says of other units is none of ours.
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "pose-" in line)


def test_systemd_takes_the_units(tmp_path):
    assert complaints(tmp_path) == ""


@pytest.mark.parametrize(
    "change",
    [
        ("KillMode=mixed", "KillModes=mixed"),
        ("RestartSec=10", "RestartSec=soon"),
        (sys.executable, "/opt/pose-worker/nothing"),
    ],
)
def test_systemd_finds_a_fault(tmp_path, change):
    assert complaints(tmp_path, change)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_every_variable_is_a_setting_and_every_secret_is_a_credential(path):
    text = path.read_text() + (FOLDER / "environment").read_text()
    names = set(re.findall(r"(?:^|Environment=| )([A-Z][A-Z0-9_]+)=", text, flags=re.M))
    secrets = {f"{name}_FILE" for name in (*SETTINGS, *S3_KEYS)}
    assert names - KNOWN - secrets <= {"XDG_CACHE_HOME"}
    loaded = dict(re.findall(r"^LoadCredential=(\w+):(\S+)$", text, flags=re.M))
    assert set(re.findall(r"%d/(\w+)", text)) == set(loaded)
    assert set(loaded.values()) == {f"/etc/pose-worker/{name}" for name in loaded}


def test_a_worker_has_more_time_to_end_than_it_takes_and_hears_sigterm_alone():
    text = (FOLDER / "pose-worker.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, flags=re.M)
    assert int(seconds) > Settings.model_fields["shutdown_grace_s"].default + 5
    assert "\nKillMode=mixed\n" in text


def test_worker_and_beat_of_one_machine_have_ports_of_their_own():
    ports = re.findall(r"METRICS_PORT=(\d+)", "".join(path.read_text() for path in SERVICES))
    assert sorted(ports) == ["9464", "9465"]


def test_the_page_on_deployment_installs_and_starts_the_units():
    page = (ROOT / "docs" / "deployment.md").read_text()
    (started,) = re.findall(r"systemctl enable --now (.*)", page)
    # The timer starts its service.
    assert {*started.split(), "pose-worker-health.service"} == {path.name for path in UNITS}
    (copied,) = re.findall(r"sudo cp (\S+) (\S+) /etc/systemd/system/", page)
    assert {path for pattern in copied for path in ROOT.glob(pattern)} == set(UNITS)
    (owner,) = re.findall(r"useradd .* (\S+)\n", page)
    assert all(f"User={owner}\n" in path.read_text() for path in SERVICES)


def test_the_settings_of_the_example_can_be_used(monkeypatch):
    for line in (FOLDER / "environment").read_text().splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    found = read_settings(broker_url="redis://localhost:6379/0")
    assert (found.results_url, found.log_format) == ("s3://results/pose", "json")
