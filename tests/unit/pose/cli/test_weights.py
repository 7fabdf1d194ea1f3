"""`pose weights …` as it is typed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pose.cli import weights as weights_cli
from pose.cli.main import app
from pose.hrnet import VARIANTS
from pose.weights.registry import DEFAULT_DETECTOR, DEFAULT_POSE, FACE_DETECTOR, REGISTRY
from pose.weights.store import WeightsStore
from tests.support.published import THIN, as_mmpose, thin_state, write_pth

NAME = "hrnet-w32-256x192"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The store that the commands use when they are told of no other."""
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    monkeypatch.delenv("WEIGHTS_URL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pose-worker" / "weights"


@pytest.fixture
def file(tmp_path):
    return write_pth(tmp_path / "w32.pth", as_mmpose(thin_state()))


def weights(*arguments):
    done = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_list_has_every_model_and_file(folder):
    done = weights("list")
    assert done.exit_code == 0
    for name, files in REGISTRY.items():
        assert name in done.stdout
        for published in files:
            assert f"{published.file}" in done.stdout
            assert published.licence in done.stdout
    assert "76.7" in done.stdout
    assert str(folder) in done.stdout


def test_the_list_says_what_is_stored(file, folder):
    facts = WeightsStore(folder).add(NAME, file, own=True)
    WeightsStore(folder).path("hrnet-w32-384x288").write_bytes(b"")
    lines = {line.split()[0]: line.split()[1] for line in weights("list").stdout.splitlines() if line.strip()}
    assert lines[NAME] == facts["version"]
    assert lines["hrnet-w32-384x288"] == "damaged"
    assert lines[DEFAULT_POSE] == "-"


def test_the_list_says_what_to_do_first_for_production(folder, tmp_path):
    line = "the first thing to do for production: pose weights pull yunet"
    assert line in weights("list").stdout
    WeightsStore(folder).path("yunet").parent.mkdir(parents=True)
    WeightsStore(folder).path("yunet").write_bytes(b"")
    assert line not in weights("list").stdout


def test_without_a_name_the_face_detector_the_default_model_and_its_detector_are_pulled(monkeypatch):
    asked = []

    def pull(name, store, source, progress):
        asked.append(name)
        progress(1, 2)
        return {"version": "12345678"}

    monkeypatch.setattr("pose.weights.sources.pull", pull)
    assert weights("pull").exit_code == 0
    assert asked == [FACE_DETECTOR, DEFAULT_POSE, DEFAULT_DETECTOR]


@pytest.mark.parametrize(
    "arguments",
    [("pull", "hrnet-w64"), ("verify", "hrnet-w64"), ("add", "hrnet-w64", "f.pth"),
     ("pull", "--url", "ftp://host/x"), ("list", "--url", "s3://?"), ("verify", "--url", "file://elsewhere/x")],
)  # fmt: skip
def test_what_cannot_be_begun_ends_with_two(arguments, folder):
    done = weights(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"pose weights {arguments[0]}: ")
    assert not folder.exists()


def test_a_file_of_ones_own_is_added_only_when_that_is_said(file, folder):
    refused = weights("add", NAME, file)
    assert refused.exit_code == 1
    assert "--own" in refused.stderr
    assert not folder.exists()
    added = weights("add", NAME, file, "--own")
    assert added.exit_code == 0
    assert "own-" in added.stdout
    assert WeightsStore(folder).has(NAME)


@pytest.mark.parametrize("problem", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, problem):
    done = weights("add", NAME, tmp_path / "missing.pth" if problem == "missing" else tmp_path)
    assert done.exit_code == 1
    assert "there is no such file" in done.stderr


def test_a_store_that_cannot_be_written_is_told(file, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    done = weights("add", NAME, file, "--own", "--url", tmp_path / "taken" / "store")
    assert done.exit_code == 1
    assert done.stderr == "pose weights add: Not a directory\n"


def test_what_is_stored_is_verified(file, folder):
    WeightsStore(folder).add(NAME, file, own=True)
    done = weights("verify")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{NAME}  own-")
    assert "whole; made from w32.pth, SHA-256 " in done.stdout
    damaged = bytearray(WeightsStore(folder).path(NAME).read_bytes())
    damaged[-1] ^= 1
    WeightsStore(folder).path(NAME).write_bytes(damaged)
    assert weights("verify").exit_code == 1
    done = weights("verify", NAME)
    assert done.exit_code == 1
    assert "damaged" in done.stderr


def test_to_verify_what_is_not_there_fails_and_to_verify_nothing_does_not():
    assert weights("verify", NAME).exit_code == 1
    done = weights("verify")
    assert done.exit_code == 0
    assert "nothing is stored" in done.stdout


def test_help_says_what_the_commands_are_for():
    assert str(weights_cli.app.info.help) in " ".join(weights("--help").stdout.split())
