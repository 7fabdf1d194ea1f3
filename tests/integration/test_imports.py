"""What an import loads, in a Python of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pose.cli.main import app as pose_app
from tests.support.running import unconfigured
from worker.cli.main import cli as worker_app

ROOT = Path(__file__).parents[2]


def loaded_by(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import pose", {"torch", "torchvision", "pose.synthetic", "worker"}),
        ("import pose.cli.main, pose.cli.report, pose.report.report", {"torch"}),
        ("import worker.tasks, worker.cli.main", {"pose", "torch", "cv2", "boto3", "botocore"}),
    ],
)
def test_an_import_loads_nothing_that_takes_long_or_breaks_a_fork(statement: str, unwanted: set[str]):
    assert not loaded_by(statement) & unwanted


# With these a command does its work in an empty folder. One that is not listed shows its help.
ARGUMENTS = {
    "status": ["a"], "enqueue": ["a"], "replay": ["a"], "cancel": ["a"], "erase": ["a", "--yes"],
    "reconcile": [], "health": [], "doctor": [], "metrics": [], "schema": [],
}  # fmt: skip


def commands(program: str, app: typer.Typer) -> list[list[str]]:
    """Return a call of each command of a program."""
    known = typer.main.get_group(app).commands
    return [[program, name, *ARGUMENTS.get(name, ["--help"])] for name in known]


@pytest.mark.parametrize(
    "call",
    [["pose", "--help"], ["worker", "--help"], *commands("pose", pose_app), *commands("worker", worker_app)],
    ids=" ".join,
)
def test_a_light_command_never_imports_torch(call: list[str], tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *call],
        cwd=tmp_path,
        env=unconfigured(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1, 2, 3), done.stderr[-2000:]
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "typer" in loaded
    assert not loaded & {"torch", "torchvision", "openvino"}
