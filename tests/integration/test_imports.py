"""What an import loads, in a Python of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
        # A process that has used torch forks children that cannot use a GPU.
        ("import worker.tasks, worker.cli.main", {"pose", "torch", "cv2", "boto3", "botocore"}),
    ],
)
def test_an_import_loads_nothing_that_takes_long_or_breaks_a_fork(statement: str, unwanted: set[str]):
    assert not loaded_by(statement) & unwanted
