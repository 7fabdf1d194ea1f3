"""The shell scripts behind the Makefile: what a newcomer reads when something is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    """The environment of a machine that has next to nothing, and no apt to get more."""
    for program in ("sh", "dirname", "rm"):
        found = shutil.which(program)
        assert found
        (tmp_path / program).symlink_to(found)
    return {"PATH": str(tmp_path)}


def call(script: str, *arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [SCRIPTS / script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_what_is_there_is_not_spoken_of(bare):
    assert call("need.sh", "command -v sh", "dash", environment=bare) == (0, "")


def test_what_is_missing_is_named_where_it_cannot_be_installed(bare):
    code, text = call("need.sh", "command -v redis-server", "redis-server", environment=bare)
    assert code == 1
    assert "Missing: redis-server" in text


def test_what_only_ci_needs_is_no_error_elsewhere(bare):
    code, text = call("need.sh", "--in-ci", "command -v radosgw", "radosgw", "ceph-mon", environment=bare)
    assert code == 0
    assert "sudo apt install radosgw ceph-mon" in text


def test_what_ci_needs_is_an_error_there(bare):
    code, text = call(
        "need.sh", "--in-ci", "command -v radosgw", "radosgw", environment={**bare, "CI": "true"}
    )
    assert code == 1
    assert "Missing: radosgw" in text


def test_a_machine_without_python_is_told_so(bare, tmp_path):
    code, text = call("make-venv.sh", str(tmp_path / "venv"), environment=bare)
    assert code == 1
    assert "Missing: python3-venv" in text


def test_a_python_that_is_not_there_is_named(bare, tmp_path):
    code, text = call("make-venv.sh", str(tmp_path / "venv"), environment={**bare, "PYTHON": "python9"})
    assert code == 1
    assert "There is no 'python9'" in text


def test_a_python_that_is_too_old_is_told_from_one_that_is_missing(bare, tmp_path):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.9.2; exit; }\nexit 1\n')
    old.chmod(0o755)
    code, text = call("make-venv.sh", str(tmp_path / "venv"), environment=bare)
    assert code == 1
    assert "Python 3.9.2 is too old, 3.11 is needed" in text
    assert not (tmp_path / "venv").exists()


@pytest.fixture
def noted(tmp_path) -> dict[str, str]:
    """An environment in which pip only notes what it is asked for, and the content of files it is given."""
    pip = tmp_path / "pip"
    pip.write_text(
        f'#!/bin/sh\nfor each; do [ ! -f "$each" ] || cat "$each" >>{tmp_path}/files; done\n'
        f'echo "$@" >>{tmp_path}/calls\n'
    )
    pip.chmod(0o755)
    return {"PATH": os.environ["PATH"], "PIP": str(pip)}


LOCK = SCRIPTS.parent / "requirements.lock"


def test_packages_are_installed_as_they_are_locked(noted, tmp_path):
    assert call("dependencies.sh", str(LOCK), environment=noted) == (0, "")
    assert (tmp_path / "calls").read_text() == f"install --require-hashes -r {LOCK}\n"


def test_another_index_gives_torch_and_nothing_else(noted, tmp_path):
    code, text = call("dependencies.sh", str(LOCK), environment={**noted, "TORCH_INDEX": "https://there"})
    assert (code, text) == (0, "")
    others, torch = (tmp_path / "calls").read_text().splitlines()
    assert others.startswith("install --require-hashes --no-deps -r ")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(), flags=re.M))
    torch_itself = f"torch=={locked['torch']} torchvision=={locked['torchvision']}"
    assert torch == f"install --no-deps --index-url https://there {torch_itself}"

    asked = (tmp_path / "files").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", asked, flags=re.M))
    left_out = set(locked) - names
    assert {"torch", "torchvision", "triton"} < left_out
    assert all(
        name.startswith(("nvidia-", "cuda-")) for name in left_out - {"torch", "torchvision", "triton"}
    )
    assert {"celery", "numpy", "opencv-python-headless", "filelock"} < names
    # As many packages with hashes as there are packages.
    assert len(re.findall(r"^[a-z0-9-]+==.*\\\n(?:    --hash=sha256:)", asked, flags=re.M)) == len(names)
