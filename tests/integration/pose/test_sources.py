"""Getting weights: from who published them, from a mirror, or from a source that something else brings."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from pose.errors import DownloadError, NoNetwork, WeightsNotFound
from pose.hrnet import VARIANTS
from pose.weights import sources as weights_sources
from pose.weights.download import CHUNK
from pose.weights.sources import Mirror, open_weights, pull
from pose.weights.store import WeightsStore
from tests.support.http_server import FileServer, cut
from tests.support.published import THIN, as_mmpose, publish, same, thin_state, write_pth

NAME = "hrnet-w32-256x192"
CONVERTED = f"{NAME}.safetensors"


@pytest.fixture(autouse=True)
def _thin(monkeypatch):
    monkeypatch.setitem(VARIANTS, "w32", THIN)


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture
def store(tmp_path):
    return WeightsStore(tmp_path / "store")


@pytest.fixture
def file(tmp_path, server, monkeypatch):
    """A file that is published at the server."""
    file = write_pth(tmp_path / "published.pth", as_mmpose(thin_state()))
    server.files[file.name] = file.read_bytes()
    publish(monkeypatch, NAME, file, url=f"{server.url}{file.name}")
    return file


def left_in(store):
    """Files of the store and of its folder of downloads, but for locks."""
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock")


class Shelf:
    """A source that is a dict."""

    def __init__(self, converted_first=True, **files):
        self.converted_first = converted_first
        self.files = files
        self.asked = []

    def fetch(self, file_name, to, *, max_bytes, sha256, progress):
        self.asked.append(file_name)
        if file_name not in self.files:
            raise WeightsNotFound("not here")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(self.files[file_name])
        progress(len(self.files[file_name]), None)


def test_published_weights_are_pulled_into_the_store(store, file, server):
    told = []
    facts = pull(NAME, store, progress=lambda done, total: told.append((done, total)))
    assert same(store.load(NAME).tensors, thin_state())
    assert facts == store.load(NAME).facts
    assert facts["source_file"] == file.name
    assert told[-1] == (file.stat().st_size, file.stat().st_size)
    assert left_in(store) == [CONVERTED]


def test_stored_weights_are_not_pulled_again(store, file, server):
    facts = pull(NAME, store)
    assert pull(NAME, store) == facts
    assert len(server.requests) == 1


def test_stored_weights_are_found_in_a_read_only_store(store, file, monkeypatch):
    facts = pull(NAME, store)
    monkeypatch.setattr(WeightsStore, "lock", lambda self, name: pytest.fail("the store was written to"))
    assert pull(NAME, store) == facts


def test_damaged_weights_are_pulled_again(store, file, server):
    facts = pull(NAME, store)
    store.path(NAME).write_bytes(b"damaged")
    assert pull(NAME, store) == facts
    assert store.verify(NAME) == facts


def test_processes_that_pull_the_same_download_it_once(store, file, server):
    threads = [threading.Thread(target=pull, args=(NAME, WeightsStore(store.folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(server.requests) == 1
    assert same(store.load(NAME).tensors, thin_state())


def test_the_next_pull_continues_one_that_was_cut_off(store, file, server, monkeypatch):
    download = weights_sources.download
    monkeypatch.setattr(weights_sources, "download", lambda *given, **more: download(*given, **more, tries=1))
    server.answers = [cut(CHUNK)]
    with pytest.raises(DownloadError, match="cut"):
        pull(NAME, store)
    assert not store.has(NAME)
    pull(NAME, store)
    assert server.requests[1]["Range"] == f"bytes={CHUNK}-"
    assert left_in(store) == [CONVERTED]


def test_a_file_with_another_hash_is_not_stored(store, file, server):
    server.files[file.name] = bytes(len(server.files[file.name]))
    with pytest.raises(DownloadError, match="SHA-256"):
        pull(NAME, store)
    assert left_in(store) == []


def test_without_a_network_the_error_says_what_to_do(store, file, monkeypatch):
    publish(monkeypatch, NAME, file, url="http://weights.invalid/published.pth")
    monkeypatch.setattr("pose.weights.download.TRIES_TO_CONNECT", 1)
    with pytest.raises(NoNetwork) as refused:
        pull(NAME, store)
    for said in (
        f"`pose weights pull {NAME}` on a machine",
        f"`pose weights add {NAME} FILE` here",
        "WEIGHTS_URL",
    ):
        assert said in str(refused.value)


def test_a_file_without_a_url_cannot_be_pulled(store, file, monkeypatch):
    publish(monkeypatch, NAME, file, url=None)
    with pytest.raises(
        WeightsNotFound, match=f"cannot be downloaded by a program: use `pose weights add {NAME} FILE`"
    ):
        pull(NAME, store)


def test_an_unknown_name_is_refused_before_anything_is_made(store):
    with pytest.raises(ValueError, match="unknown weights"):
        pull("hrnet-w64", store)
    assert not store.folder.exists()


def test_a_mirror_has_the_published_files(store, file, server):
    pull(NAME, store, Mirror(server.url.rstrip("/")))
    assert same(store.load(NAME).tensors, thin_state())
    assert [request["path"] for request in server.requests] == [f"/{file.name}"]


def test_the_wrong_file_of_a_mirror_is_refused(store, file, server):
    server.files[file.name] = b"another file"
    with pytest.raises(DownloadError, match="SHA-256"):
        pull(NAME, store, Mirror(server.url))
    assert left_in(store) == []


def test_a_mirror_may_have_files_of_a_store(store, file, server, tmp_path):
    other = WeightsStore(tmp_path / "other")
    facts = other.add(NAME, file)
    server.files = {CONVERTED: other.path(NAME).read_bytes()}
    assert pull(NAME, store, Mirror(server.url)) == facts


def test_own_weights_of_a_source_come_before_the_published_ones(store, file, tmp_path):
    other = WeightsStore(tmp_path / "other")
    own = other.add(NAME, write_pth(tmp_path / "own.pth", thin_state(2)), own=True)
    source = Shelf(**{CONVERTED: other.path(NAME).read_bytes(), file.name: file.read_bytes()})
    assert pull(NAME, store, source) == own
    assert source.asked == [CONVERTED]


def test_a_source_may_have_the_published_file(store, file):
    source = Shelf(**{file.name: file.read_bytes()})
    assert pull(NAME, store, source)["source_file"] == file.name
    assert source.asked == [CONVERTED, file.name]
    assert left_in(store) == [CONVERTED]


@pytest.mark.parametrize("content", [b"", b"damaged", b"12345678{"])
def test_a_file_from_a_source_is_checked(store, file, content):
    for name in (CONVERTED, file.name):
        with pytest.raises(DownloadError, match=f"{NAME}: the downloaded file cannot be used"):
            pull(NAME, store, Shelf(**{name: content}))
        assert left_in(store) == []


def test_a_source_without_the_files_is_an_error(store, file):
    with pytest.raises(WeightsNotFound, match=rf"holds none of {CONVERTED}, {file.name}"):
        pull(NAME, store, Shelf())


def test_a_folder_is_the_store_itself(tmp_path):
    folder = tmp_path / "my weights"
    for place in (str(folder), folder.as_uri(), f"file://localhost{folder}"):
        store, source = open_weights(place.replace(" ", "%20") if "://" in place else place)
        assert (store.folder, source) == (folder, None)
    assert not folder.exists()


@pytest.mark.parametrize("place", [None, ""])
def test_the_default_is_the_users_cache_and_the_publisher(place):
    store, source = open_weights(place)
    assert store.folder == WeightsStore().folder
    assert source is None


def test_a_mirror_is_recognised_by_its_scheme():
    store, source = open_weights("https://mirror.example/weights")
    assert store.folder == WeightsStore().folder
    assert isinstance(source, Mirror)


def test_other_schemes_are_entry_points(monkeypatch):
    entry = EntryPoint("shelf", f"{__name__}:Shelf", weights_sources.GROUP)
    installed = EntryPoints([entry])
    monkeypatch.setattr(weights_sources, "entry_points", lambda **wanted: installed.select(**wanted))
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda url: Shelf(url=url))
    _, source = open_weights("shelf://bucket/prefix")
    assert isinstance(source, Shelf)
    assert source.files == {"url": "shelf://bucket/prefix"}
    with pytest.raises(ValueError, match=r"no weights can be got from ftp://, expected .* shelf://"):
        open_weights("ftp://host/folder")


@pytest.mark.parametrize(
    "place", ["file://host/folder", "file:folder//x://", "https:///x", "http://h/?key=hunter2", "hunter2://x"]
)
def test_an_invalid_url_is_refused(place):
    with pytest.raises(ValueError) as refused:
        open_weights(place)
    assert place not in str(refused.value)


def test_a_path_stays_a_path():
    assert open_weights("./weights")[0].folder == Path("weights")
