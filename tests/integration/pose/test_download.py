"""One file over HTTP, from a real server that does everything that servers do wrong."""

from __future__ import annotations

import hashlib
import itertools
import random
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pose.errors import DownloadError, NoNetwork, WeightsNotFound
from pose.weights.download import TRIES_TO_REACH, download
from tests.support.http_server import (
    FileServer,
    chunked,
    cut,
    dripping,
    no_ranges,
    range_of,
    silent,
    status,
    unknown_length,
)

CONTENT = random.Random(1).randbytes(100_000)
OTHER = random.Random(2).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with FileServer() as server:
        server.files["file.pth"] = CONTENT
        yield server


class Fetch:
    """Downloads the server's file, without pauses; `pauses` are those that it would have made."""

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
    """Where each request began."""
    return [request.get("Range", "bytes=0-").removeprefix("bytes=") for request in server.requests]


def kept(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], ""])
def test_a_file_is_fetched(fetch, server, sha256):
    assert fetch(sha256=sha256, size=len(CONTENT)) == CONTENT
    assert len(server.requests) == 1
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_progress_is_told_in_bytes(fetch):
    told = []
    fetch(progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("answer", [unknown_length, chunked])
def test_a_server_need_not_say_how_long_the_file_is(fetch, server, answer):
    server.answers = [answer]
    told = []
    assert fetch(progress=lambda done, total: told.append(total)) == CONTENT
    assert set(told) == {None}


def test_a_connection_that_is_cut_is_gone_on_with(fetch, server):
    server.answers = [cut(40_000), cut(0)]
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", "40000-", "0-"]  # the second began anew: it answered with the whole
    assert len(fetch.pauses) == 2


def test_a_later_call_goes_on_where_an_earlier_one_ended(fetch, server, tmp_path):
    server.answers = [cut(40_000)]
    with pytest.raises(DownloadError, match="cut"):
        fetch(tries=1)
    assert kept(tmp_path)["file.pth.part"] == CONTENT[:40_000]
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", "40000-"]
    assert server.requests[1]["If-Range"].startswith('"')


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(fetch, server, tmp_path):
    server.files["file.pth"] = OTHER
    server.answers = [cut(40_000)]
    with pytest.raises(DownloadError):
        fetch(tries=1)
    server.files["file.pth"] = CONTENT
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", "40000-"]  # If-Range: the server itself answers with the whole


def test_a_server_that_ignores_if_range_is_found_out_by_the_hash(fetch, server):
    server.files["file.pth"] = OTHER
    server.answers = [cut(40_000)]
    with pytest.raises(DownloadError):
        fetch(tries=1)
    server.files["file.pth"] = CONTENT
    server.answers = [range_of]
    assert fetch() == CONTENT
    assert starts_of(server) == ["0-", "40000-", "0-"]


def test_a_weak_etag_is_not_relied_on(fetch, server):
    server.answers = [cut(40_000, ETag='W/"1"', Last_Modified="Sun, 22 Nov 2026 11:00:00 GMT"), range_of]
    assert fetch() == CONTENT
    assert server.requests[1]["If-Range"] == "Sun, 22 Nov 2026 11:00:00 GMT"


def test_a_server_without_ranges_sends_it_all_again(fetch, server):
    server.answers = [cut(40_000), no_ranges]
    assert fetch() == CONTENT
    assert len(server.requests) == 2


def test_a_part_that_is_the_whole_already_is_taken(fetch, server, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    assert fetch() == CONTENT
    assert starts_of(server) == ["100000-"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(fetch, server, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(OTHER + OTHER)
    assert fetch() == CONTENT
    assert starts_of(server) == ["200000-", "0-"]


def test_a_part_that_was_not_asked_for_is_not_taken(fetch, server, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(CONTENT[:40_000])
    server.answers = [status(206, Content_Range="bytes 10-99999/100000")]
    assert fetch() == CONTENT
    assert starts_of(server) == ["40000-", "0-"]


def test_wrong_bytes_are_refused_and_deleted(fetch, server, tmp_path):
    server.files["file.pth"] = OTHER
    with pytest.raises(
        DownloadError, match=rf"SHA-256 {hashlib.sha256(OTHER).hexdigest()}, expected {SHA256}"
    ):
        fetch()
    assert kept(tmp_path) == {}
    assert len(server.requests) == 1  # the same bytes would come again


def test_the_hash_is_checked_as_far_as_it_is_known(fetch, server):
    server.files["file.pth"] = OTHER
    with pytest.raises(DownloadError, match=f"expected {SHA256[:8]}…"):
        fetch(sha256=SHA256[:8])


def test_another_size_is_refused_before_anything_is_read(fetch, server, tmp_path):
    with pytest.raises(DownloadError, match="100000 bytes, expected 99999"):
        fetch(size=99_999)
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("answer", [unknown_length, chunked])
def test_more_bytes_than_expected_are_not_read(fetch, server, tmp_path, answer):
    server.answers = [answer]
    with pytest.raises(DownloadError, match="more than the 90000 bytes"):
        fetch(size=90_000)
    assert kept(tmp_path) == {}


@pytest.mark.parametrize(("answer", "problem"), [(unknown_length, "more than"), (no_ranges, "at most 5000")])
def test_no_file_is_larger_than_it_may_be(fetch, server, tmp_path, answer, problem):
    server.answers = [answer]
    with pytest.raises(DownloadError, match=problem):
        fetch(max_bytes=5000, sha256="")
    assert kept(tmp_path) == {}


def test_a_file_cut_short_by_a_server_that_says_no_length_is_told_by_its_hash(fetch, server):
    server.files["file.pth"] = CONTENT[:50_000]
    server.answers = [unknown_length]
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch()


def test_with_its_size_known_it_is_gone_on_with(fetch, server):
    server.files["file.pth"] = CONTENT[:50_000]
    server.answers = [unknown_length]

    def complete(pause):
        server.files["file.pth"] = CONTENT

    assert fetch(size=len(CONTENT), sleep=complete) == CONTENT
    assert starts_of(server) == ["0-", "50000-"]


@pytest.mark.parametrize("code", [404, 410])
def test_a_file_that_is_not_there_is_said_so_at_once(fetch, server, code):
    server.answers = [status(code)]
    with pytest.raises(
        WeightsNotFound, match=rf"file\.pth from 127\.0\.0\.1: there is no such file \({code}\)"
    ):
        fetch()
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [400, 401, 403])
def test_a_refusal_is_said_at_once(fetch, server, code):
    server.answers = [status(code)]
    with pytest.raises(DownloadError, match=f"answered {code}"):
        fetch()
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(fetch, server, code):
    server.answers = [status(code), status(code)]
    assert fetch() == CONTENT
    assert len(fetch.pauses) == 2
    assert fetch.pauses[0] < fetch.pauses[1]


def test_a_server_that_stays_in_trouble_is_given_up(fetch, server):
    server.answers = [status(503)] * 5
    with pytest.raises(DownloadError, match=r"answered 503 \(tried 5 times\)"):
        fetch(tries=5)
    assert len(server.requests) == 5


def test_a_connection_that_is_cut_each_time_is_given_up_and_the_part_is_kept(fetch, server, tmp_path):
    server.answers = [cut(40_000)] * 4
    with pytest.raises(DownloadError, match=r"cut.*tried 4 times"):
        fetch(tries=4)
    assert kept(tmp_path)["file.pth.part"] == CONTENT[:40_000]


def test_a_server_that_falls_silent_is_left_and_gone_on_with(fetch, server):
    server.answers = [silent(40_000)]
    assert fetch(stall_s=2) == CONTENT  # a good answer may take a moment, too
    assert starts_of(server) == ["0-", "40000-"]


def test_a_server_that_stays_silent_is_given_up(fetch, server):
    server.answers = [silent(0), silent(0)]
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.1 s \(tried 2 times\)"):
        fetch(stall_s=0.1, tries=2)


def test_a_server_that_never_answers_is_given_up(fetch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/file.pth"
        with pytest.raises(DownloadError, match="sent nothing"):
            fetch(url, stall_s=0.1, tries=2)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(fetch, server, monkeypatch):
    seconds = itertools.count()  # a second passes with all that comes at once
    monkeypatch.setattr("pose.weights.download.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    server.answers = [dripping]
    assert fetch() == CONTENT
    assert len(server.requests) == 2
    server.answers = [dripping]
    with pytest.raises(DownloadError, match=r"only \d+ bytes came in 30 s"):
        fetch(tries=1)


@pytest.fixture
def nobody():
    """A port at which no one answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/file.pth"


def test_a_server_that_cannot_be_reached_is_soon_given_up(fetch, nobody):
    with pytest.raises(NoNetwork, match=r"file\.pth from 127\.0\.0\.1: the server cannot be reached"):
        fetch(nobody)
    assert len(fetch.pauses) == TRIES_TO_REACH - 1


def test_a_name_that_leads_nowhere_is_no_network(fetch):
    with pytest.raises(NoNetwork):
        fetch("http://weights.invalid/file.pth", tries=1)


def test_a_redirect_is_followed(fetch, server):
    server.answers = [status(302, Location="/file.pth")]
    assert fetch(f"{server.url}elsewhere") == CONTENT


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(fetch, server, tmp_path):
    server.answers = [status(302, Location="file:///etc/passwd")]
    with pytest.raises(DownloadError, match="InvalidSchema"):
        fetch(sha256="")
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("url", ["ftp://host/file", "file:///etc/passwd", "/etc/passwd", "http:///file"])
def test_nothing_but_http_is_fetched(fetch, url):
    with pytest.raises(ValueError, match="only http:// and https://"):
        fetch(url)


def test_no_error_tells_what_else_is_in_the_url(fetch, server, nobody):
    server.answers = [status(403)]
    for url in (
        f"http://user:hunter2@127.0.0.1:{server.server_port}/file.pth?key=hunter2",
        f"{nobody}?hunter2",
    ):
        with pytest.raises(DownloadError) as refused:
            fetch(url, tries=1)
        assert "hunter2" not in str(refused.value)


def test_a_file_that_is_there_is_replaced_only_by_the_right_one(fetch, server, tmp_path):
    (tmp_path / "file.pth").write_bytes(b"old")
    server.files["file.pth"] = OTHER
    with pytest.raises(DownloadError):
        fetch()
    assert (tmp_path / "file.pth").read_bytes() == b"old"
    server.files["file.pth"] = CONTENT
    assert fetch() == CONTENT
