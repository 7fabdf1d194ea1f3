"""What is in the wheel that others install."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
import torch
import torchvision
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TOPS = ("pose", "worker")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    # Built from a copy: setuptools leaves its own folders beside what it builds.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*TOPS, "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)
    (built,) = out.iterdir()
    return zipfile.ZipFile(built)


def test_the_wheel_holds_both_packages_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(TOPS)


def test_the_wheel_holds_every_module(wheel):
    sources = {str(path.relative_to(ROOT)) for top in TOPS for path in (ROOT / top).rglob("*.py")}
    assert sources <= set(wheel.namelist())


def test_the_wheel_says_that_it_is_typed(wheel):
    assert {"pose/py.typed", "worker/py.typed"} <= set(wheel.namelist())


def test_the_wheel_holds_the_weights_and_their_card_and_they_are_small(wheel):
    data = [info for info in wheel.infolist() if info.filename.startswith("pose/data/")]
    weights = [info for info in data if info.filename.endswith(".safetensors")]
    assert weights
    assert [info for info in data if info.filename.endswith(".md")]
    assert all(info.file_size <= 8_000_000 for info in weights)


def test_the_wheel_holds_what_pages_are_made_of(wheel):
    report = ROOT / "pose" / "report"
    parts = {path for name in ("static", "templates", "locale") for path in (report / name).iterdir()}
    assert {"LICENSE.three", "three.min.js", "page.html.jinja", "report.pot"} <= {path.name for path in parts}
    assert {str(path.relative_to(ROOT)) for path in parts} <= set(wheel.namelist())


def test_the_licence_comes_along(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    fields = Parser().parsestr(wheel.read(metadata).decode())
    assert fields["Name"] == "pose-worker"
    assert fields["License-Expression"] == "Apache-2.0"
    assert metadata.replace("METADATA", "licenses/LICENSE") in wheel.namelist()


def test_the_wheel_installs_the_pose_command(wheel):
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "pose = pose.cli.main:main" in wheel.read(entry_points).decode()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_pins_every_package_with_its_hash_and_names_no_index(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    packages = [line for line in lines if not line.startswith(" ")]
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert len(packages) == len({line.split("==")[0] for line in packages})
    assert not [line for line in lines if "://" in line or "index" in line.split("==")[0]]
    assert all(line.strip().startswith("--hash=sha256:") for line in lines if line.startswith(" "))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_holds_what_the_project_pins(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {requirement for requirement in project["dependencies"] if "==" in requirement}
    locked = {line.split()[0] for line in (ROOT / name).read_text().splitlines() if "==" in line}
    assert pinned
    assert pinned <= locked


def test_what_kombu_needs_for_redis_is_locked():
    # It imports them wherever Redis is the broker, but names them as an extra.
    requirements = [Requirement(text) for text in metadata.requires("kombu") or []]
    wanted = {each.name for each in requirements if each.marker and each.marker.evaluate({"extra": "redis"})}
    assert {"redis", "packaging"} <= wanted
    lock = (ROOT / "requirements.lock").read_text()
    assert {name for name in wanted if f"\n{name}==" in lock} == wanted


def test_torch_and_torchvision_belong_together():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [20.0, 0.0, 30.0, 10.0]])
    # With a torch that it was not built for: "operator torchvision::nms does not exist".
    assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
