"""`pose weights pull` from a server."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pose.cli.main import app
from pose.hrnet import VARIANTS
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


def test_weights_are_pulled_and_where_they_are_is_said(server, folder):
    done = weights("pull", NAME)
    assert done.exit_code == 0, done.output
    store = WeightsStore(folder)
    assert done.stdout == f"{NAME}  {store.load(NAME).facts['version']}  {store.path(NAME)}\n"
    assert done.stderr == ""


def test_one_that_cannot_be_pulled_does_not_keep_the_others(server, folder, monkeypatch, tmp_path):
    gone = write_pth(tmp_path / "gone.pth", thin_state(2))
    publish(monkeypatch, "hrnet-w32-384x288", gone, url=f"{server.url}gone.pth")
    done = weights("pull", "hrnet-w32-384x288", NAME)
    assert done.exit_code == 1
    assert "there is no such file (404)" in done.stderr
    assert WeightsStore(folder).has(NAME)


def test_pulling_goes_to_the_folder_that_weights_url_names(server, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("WEIGHTS_URL", (tmp_path / "shared").as_uri())
    assert weights("pull", NAME).exit_code == 0
    assert WeightsStore(tmp_path / "shared").has(NAME)
    assert not folder.exists()


def test_a_mirror_is_pulled_from(server, file, folder):
    server.files = {f"mirror/{file.name}": file.read_bytes()}
    assert weights("pull", NAME, "--url", f"{server.url}mirror").exit_code == 0
    assert WeightsStore(folder).has(NAME)


def test_pulling_where_there_are_weights_of_ones_own_keeps_them_and_says_so(file, folder, server):
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
