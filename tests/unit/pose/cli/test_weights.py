"""`pose weights …` as it is typed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pose.cli import weights as weights_cli
from pose.cli.main import app
from pose.hrnet import VARIANTS
from pose.weights.registry import DEFAULT_DETECTOR, DEFAULT_POSE, REGISTRY
from pose.weights.store import WeightsStore
from tests.support.http_server import FileServer
from tests.support.published import THIN, as_mmpose, publish, thin_state, write_pth

NAME = "hrnet-w32-256x192"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The store that the commands use by default."""
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    monkeypatch.delenv("WEIGHTS_URL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pose-worker" / "weights"


@pytest.fixture
def file(tmp_path):
    return write_pth(tmp_path / "w32.pth", as_mmpose(thin_state()))


@pytest.fixture
def server(file, monkeypatch):
    """A server at which the file is published."""
    with FileServer() as server:
        server.files[file.name] = file.read_bytes()
        publish(monkeypatch, NAME, file, url=f"{server.url}{file.name}")
        yield server


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


def test_the_list_shows_what_is_stored(file, folder):
    facts = WeightsStore(folder).add(NAME, file, own=True)
    WeightsStore(folder).path("hrnet-w32-384x288").write_bytes(b"")
    lines = {line.split()[0]: line.split()[1] for line in weights("list").stdout.splitlines() if line.strip()}
    assert lines[NAME] == facts["version"]
    assert lines["hrnet-w32-384x288"] == "damaged"
    assert lines[DEFAULT_POSE] == "-"


def test_pull_prints_where_the_weights_are(server, folder):
    done = weights("pull", NAME)
    assert done.exit_code == 0, done.output
    store = WeightsStore(folder)
    assert done.stdout == f"{NAME}  {store.load(NAME).facts['version']}  {store.path(NAME)}\n"
    assert done.stderr == ""


def test_without_a_name_the_default_model_and_its_detector_are_pulled(monkeypatch):
    asked = []

    def pull(name, store, source, progress):
        asked.append(name)
        progress(1, 2)
        return {"version": "12345678"}

    monkeypatch.setattr("pose.weights.sources.pull", pull)
    assert weights("pull").exit_code == 0
    assert asked == [DEFAULT_POSE, DEFAULT_DETECTOR]


def test_a_failed_pull_does_not_stop_the_others(server, folder, monkeypatch, tmp_path):
    gone = write_pth(tmp_path / "gone.pth", thin_state(2))
    publish(monkeypatch, "hrnet-w32-384x288", gone, url=f"{server.url}gone.pth")
    done = weights("pull", "hrnet-w32-384x288", NAME)
    assert done.exit_code == 1
    assert "there is no such file (404)" in done.stderr
    assert WeightsStore(folder).has(NAME)


def test_pull_writes_to_the_folder_of_weights_url(server, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("WEIGHTS_URL", (tmp_path / "shared").as_uri())
    assert weights("pull", NAME).exit_code == 0
    assert WeightsStore(tmp_path / "shared").has(NAME)
    assert not folder.exists()


def test_pull_downloads_from_a_mirror(server, file, folder):
    server.files = {f"mirror/{file.name}": file.read_bytes()}
    assert weights("pull", NAME, "--url", f"{server.url}mirror").exit_code == 0
    assert WeightsStore(folder).has(NAME)


@pytest.mark.parametrize(
    "arguments",
    [("pull", "hrnet-w64"), ("verify", "hrnet-w64"), ("add", "hrnet-w64", "f.pth"),
     ("pull", "--url", "ftp://host/x"), ("list", "--url", "s3://?"), ("verify", "--url", "file://elsewhere/x")],
)  # fmt: skip
def test_invalid_arguments_give_exit_code_two(arguments, folder):
    done = weights(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"pose weights {arguments[0]}: ")
    assert not folder.exists()


def test_an_own_file_is_added_only_with_own(file, folder):
    refused = weights("add", NAME, file)
    assert refused.exit_code == 1
    assert "--own" in refused.stderr
    assert not folder.exists()
    added = weights("add", NAME, file, "--own")
    assert added.exit_code == 0
    assert "own-" in added.stdout
    assert WeightsStore(folder).has(NAME)


@pytest.mark.parametrize("problem", ["missing", "folder"])
def test_an_unreadable_file_is_reported(tmp_path, problem):
    done = weights("add", NAME, tmp_path / "missing.pth" if problem == "missing" else tmp_path)
    assert done.exit_code == 1
    assert "there is no such file" in done.stderr


def test_a_read_only_store_is_reported(file, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    done = weights("add", NAME, file, "--own", "--url", tmp_path / "taken" / "store")
    assert done.exit_code == 1
    assert done.stderr == "pose weights add: Not a directory\n"


def test_stored_weights_are_verified(file, folder):
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


def test_verify_fails_for_missing_weights_but_not_for_an_empty_store():
    assert weights("verify", NAME).exit_code == 1
    done = weights("verify")
    assert done.exit_code == 0
    assert "nothing is stored" in done.stdout


def test_help_loads_no_torch():
    code = "import sys; import pose.cli.main; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert str(weights_cli.app.info.help) in " ".join(weights("--help").stdout.split())


def test_pull_keeps_own_weights_and_says_so(file, folder, server):
    before = WeightsStore(folder).add(NAME, file, own=True)
    published = weights("pull", NAME)
    assert (published.exit_code, "kept" in published.stdout) == (0, False)  # this file is a published one
    other = write_pth(file.with_name("other.pth"), thin_state(seed=1))
    own = WeightsStore(folder).add(NAME, other, own=True)
    assert own["version"] != before["version"]
    kept = weights("pull", NAME)
    assert kept.exit_code == 0
    assert f"{own['version']}" in kept.stdout
    assert "kept: these are your own" in kept.stdout
