"""Download a file from a real server that does everything that servers do wrong."""

from __future__ import annotations

import hashlib
import random
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from pose.errors import DownloadError, NoNetwork, WeightsNotFound
from pose.weights.download import CHUNK, TRIES_TO_CONNECT, download
from tests.support.http_server import (
    FileServer,
    chunked,
    cut,
    no_ranges,
    range_of,
    silent,
    status,
    unknown_length,
)

CONTENT = random.Random(1).randbytes(100_000)
OTHER = random.Random(2).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEPT = 2 * CHUNK  # bytes that arrive before a connection is cut


@pytest.fixture
def server():
    with FileServer() as server:
        server.files["file.pth"] = CONTENT
        yield server


class Fetch:
    """Downloads the server's file; notes `pauses` instead of sleeping."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self.pauses: list[float] = []

    def __call__(self, url: str | None = None, **options: Any) -> bytes:
        options = {"sha256": SHA256, "max_bytes": 1_000_000, "sleep": self.pauses.append, **options}
        to = self._folder / "file.pth"
        download(url or self._url, to, **options)
        assert [path.name for path in self._folder.iterdir()] == ["file.pth"]
        return to.read_bytes()


@pytest.fixture
def fetch(server, tmp_path):
    return Fetch(f"{server.url}file.pth", tmp_path)


def starts_of(server):
    """The first byte of each request."""
    return [request.get("Range", "bytes=0-").removeprefix("bytes=") for request in server.requests]


def kept(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], ""])
def test_a_file_is_downloaded_and_progress_is_told_in_bytes(fetch, server, sha256):
    told = []
    assert fetch(sha256=sha256, progress=lambda *now: told.append(now)) == CONTENT
    assert len(server.requests) == 1
    assert server.requests[0]["Accept-Encoding"] == "identity"
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


@pytest.mark.parametrize("answer", [unknown_length, chunked])
def test_the_server_need_not_tell_the_length(fetch, server, answer):
    server.answers = [answer]
    told = []
    assert fetch(progress=lambda done, total: told.append(total)) == CONTENT
    assert set(told) == {None}


def test_a_download_continues_after_the_connection_was_cut(fetch, server):
    server.answers = [cut(KEPT), cut(0)]
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", f"{KEPT}-", "0-"]  # the second answer began with the first byte again
    assert len(fetch.pauses) == 2


def test_a_later_call_continues_where_an_earlier_one_gave_up(fetch, server, tmp_path):
    server.answers = [cut(KEPT)] * 4
    with pytest.raises(DownloadError, match=r"cut.*tried 4 times"):
        fetch(tries=4)
    assert kept(tmp_path)["file.pth.part"] == CONTENT[:KEPT]
    assert fetch() == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={KEPT}-"
    assert server.requests[-1]["If-Range"].startswith('"')


def test_a_file_that_has_changed_is_downloaded_from_its_start(fetch, server):
    server.files["file.pth"] = OTHER
    server.answers = [cut(KEPT)]
    with pytest.raises(DownloadError):
        fetch(tries=1)
    server.files["file.pth"] = CONTENT
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", f"{KEPT}-"]  # If-Range: the server itself sends the whole file


def test_the_hash_finds_a_part_of_another_version_if_the_server_ignores_if_range(fetch, server):
    server.files["file.pth"] = OTHER
    server.answers = [cut(KEPT)]
    with pytest.raises(DownloadError):
        fetch(tries=1)
    server.files["file.pth"] = CONTENT
    server.answers = [range_of]
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", f"{KEPT}-", "0-"]


def test_a_weak_etag_is_not_used(fetch, server):
    server.answers = [cut(KEPT, ETag='W/"1"', Last_Modified="Sun, 22 Nov 2026 11:00:00 GMT"), range_of]
    assert fetch() == CONTENT
    assert server.requests[1]["If-Range"] == "Sun, 22 Nov 2026 11:00:00 GMT"


def test_a_server_without_ranges_sends_the_whole_file_again(fetch, server):
    server.answers = [cut(KEPT), no_ranges]
    assert fetch() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("part", "starts"),
    [(CONTENT, ["100000-"]), (OTHER + OTHER, ["200000-", "0-"]), (CONTENT[:-1] + b"?", ["100000-", "0-"])],
    ids=["whole", "too long", "wrong"],
)
def test_a_part_is_used_only_if_it_belongs_to_the_file(fetch, server, tmp_path, part, starts):
    (tmp_path / "file.pth.part").write_bytes(part)
    assert fetch() == CONTENT
    assert starts_of(server) == starts


def test_a_range_that_was_not_asked_for_is_not_used(fetch, server, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(CONTENT[:KEPT])
    server.answers = [status(206, Content_Range="bytes 10-99999/100000")]
    assert fetch() == CONTENT
    assert starts_of(server) == [f"{KEPT}-", "0-"]


@pytest.mark.parametrize("content", [OTHER, CONTENT[:50_000]])
@pytest.mark.parametrize("expected", [SHA256, f"{SHA256[:8]}…"])
def test_a_file_with_another_hash_is_refused_and_deleted(fetch, server, tmp_path, content, expected):
    server.files["file.pth"] = content
    server.answers = [unknown_length]
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(DownloadError, match=f"SHA-256 {found}, expected {expected}$"):
        fetch(sha256=expected.removesuffix("…"))
    assert kept(tmp_path) == {}
    assert len(server.requests) == 1  # the same bytes would come again


@pytest.mark.parametrize("answer", [unknown_length, chunked, no_ranges])
def test_a_file_that_is_too_large_is_refused(fetch, server, tmp_path, answer):
    server.answers = [answer]
    with pytest.raises(DownloadError, match=r"more than 90000 bytes|100000 bytes, expected at most 90000"):
        fetch(max_bytes=90_000, sha256="")
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_an_error_at_once(fetch, server, code):
    server.answers = [status(code)]
    missing = code in (404, 410)
    problem = f"there is no such file ({code})" if missing else f"the server answered {code}"
    with pytest.raises(DownloadError, match=re.escape(f"file.pth from 127.0.0.1: {problem}")) as refused:
        fetch()
    assert isinstance(refused.value, WeightsNotFound) == missing
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again_after_longer_and_longer_pauses(fetch, server, code):
    server.answers = [status(code), status(code)]
    assert fetch() == CONTENT
    assert len(fetch.pauses) == 2
    assert fetch.pauses[0] < fetch.pauses[1]


def test_a_server_that_stays_in_trouble_is_given_up(fetch, server):
    server.answers = [status(503)] * 5
    with pytest.raises(DownloadError, match=r"answered 503 \(tried 5 times\)"):
        fetch(tries=5)
    assert len(server.requests) == 5


def test_a_download_continues_after_the_server_fell_silent(fetch, server):
    server.answers = [silent(KEPT)]
    assert fetch(timeout_s=2) == CONTENT  # a good answer may take a moment, too
    assert starts_of(server) == ["0-", f"{KEPT}-"]


def test_a_server_that_never_answers_is_given_up(fetch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/file.pth"
        with pytest.raises(DownloadError, match=r"sent nothing for 0\.1 s \(tried 2 times\)"):
            fetch(url, timeout_s=0.1, tries=2)


@pytest.fixture
def closed_port():
    """The URL of a file on a port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/file.pth"


def test_a_server_that_cannot_be_reached_is_soon_given_up(fetch, closed_port):
    with pytest.raises(NoNetwork, match=r"file\.pth from 127\.0\.0\.1: the server cannot be reached"):
        fetch(closed_port)
    assert len(fetch.pauses) == TRIES_TO_CONNECT - 1


def test_an_unknown_host_is_no_network(fetch):
    with pytest.raises(NoNetwork):
        fetch("http://weights.invalid/file.pth", tries=1)


def test_a_redirect_is_followed_but_not_to_a_file_of_this_machine(fetch, server):
    server.answers = [status(302, Location="/file.pth")]
    assert fetch(f"{server.url}elsewhere") == CONTENT
    server.answers = [status(302, Location="file:///etc/passwd")]
    with pytest.raises(DownloadError, match="InvalidSchema"):
        fetch(sha256="")


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "/etc/passwd", "http:///file"])
def test_only_http_is_supported(fetch, url):
    with pytest.raises(ValueError, match="only http:// and https://"):
        fetch(url)


def test_no_error_holds_the_password_of_the_url(fetch, server, closed_port):
    server.answers = [status(403)]
    for url in (
        f"http://user:hunter2@127.0.0.1:{server.server_port}/file.pth?key=hunter2",
        f"{closed_port}?hunter2",
    ):
        with pytest.raises(DownloadError) as refused:
            fetch(url, tries=1)
        assert "hunter2" not in str(refused.value)


def test_an_existing_file_is_replaced_only_by_the_right_one(fetch, server, tmp_path):
    (tmp_path / "file.pth").write_bytes(b"old")
    server.files["file.pth"] = OTHER
    with pytest.raises(DownloadError):
        fetch()
    assert (tmp_path / "file.pth").read_bytes() == b"old"
    server.files["file.pth"] = CONTENT
    assert fetch() == CONTENT
