"""What only S3 does. What all storages do is in test_storage.py."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from types import SimpleNamespace

import pytest

from worker.storage import s3 as s3_storage
from worker.storage.base import StorageUnavailable
from worker.storage.s3 import S3Storage

KEY = "scan/rgb/rgb_p1_1622182020448_100_1.jpg"


@pytest.fixture
def prefix(s3_path, bucket) -> str:
    return s3_path.removeprefix(f"{bucket}/") + "/"


@pytest.fixture
def storage(bucket, prefix, s3_server) -> S3Storage:
    return S3Storage(bucket, prefix, "the storage of results", s3_server.endpoint)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which no server listens, or can start to listen during the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def one_try(monkeypatch) -> None:
    """Credentials, and no second try."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(s3_storage, "TRIES", 1)


def reason_of(storage: S3Storage) -> str:
    """Return the error text that all calls have in common. It must not contain the key."""
    said = set()
    for call in (
        lambda: storage.read(KEY, 10),
        lambda: storage.write(KEY, b"1", "image/jpeg"),
        lambda: storage.objects("scan", 10),
        lambda: storage.delete(KEY),
    ):
        with pytest.raises(StorageUnavailable) as error:
            call()
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__
        said.add(str(error.value))
    assert not any("p1" in text for text in said)
    (text,) = said
    return text


def test_objects_carry_their_content_type(storage, s3_client, bucket, prefix):
    storage.write("scan/status.json", b"{}", "application/json")
    about = s3_client.head_object(Bucket=bucket, Key=f"{prefix}scan/status.json")
    assert about["ContentType"] == "application/json"


def test_lists_of_several_pages_are_read_whole(storage, monkeypatch):
    paginate = storage._client.get_paginator("list_objects_v2").paginate

    def two_a_page(**arguments: object) -> object:
        return paginate(**arguments, PaginationConfig={"PageSize": 2})

    monkeypatch.setattr(storage._client, "get_paginator", lambda _: SimpleNamespace(paginate=two_a_page))
    for number in range(5):
        storage.write(f"scan/{number}", b"", "text/plain")
        storage.write(f"scan-{number}/x", b"", "text/plain")
    assert [each.key for each in storage.objects("scan", 100)] == [f"scan/{number}" for number in range(5)]
    assert len(storage.objects("scan", 3)) == 4
    assert storage.folders() == [*(f"scan-{number}" for number in range(5)), "scan"]


def test_empty_objects_that_stand_for_folders_are_not_listed(storage, s3_client, bucket, prefix):
    for key in ("scan/", "scan/rgb/", "scan//x", "scan/../x"):
        s3_client.put_object(Bucket=bucket, Key=prefix + key)
    assert storage.objects("scan", 10) == []


def test_a_missing_bucket_is_reported(s3_server, s3_path):
    storage = S3Storage("no-such-bucket", "", "the storage of scans", s3_server.endpoint)
    assert reason_of(storage) == "the storage of scans: its bucket does not exist"


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "unknown")]
)
def test_refused_credentials_are_reported_and_not_shown(bucket, s3_path, s3_server, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    storage = S3Storage(bucket, "", "the storage of scans", s3_server.endpoint)
    assert reason_of(storage) == "the storage of scans: our credentials were refused"


def test_missing_credentials_are_reported(closed_port, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    storage = S3Storage("bucket", "", "the storage of scans", f"http://127.0.0.1:{closed_port}")
    assert reason_of(storage) == "the storage of scans: there are no credentials for it"


@pytest.mark.usefixtures("one_try")
def test_an_unreachable_server_is_reported(closed_port):
    storage = S3Storage("bucket", "", "the storage of scans", f"http://127.0.0.1:{closed_port}")
    assert reason_of(storage) == "the storage of scans: it cannot be reached (EndpointConnectionError)"


@pytest.mark.usefixtures("one_try")
def test_a_server_that_never_answers_is_reported(monkeypatch):
    monkeypatch.setattr(s3_storage, "READ_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert (
            reason_of(S3Storage("bucket", "", "S3", endpoint))
            == "S3: it cannot be reached (ReadTimeoutError)"
        )


def test_a_missing_profile_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageUnavailable, match="ProfileNotFound"):
        S3Storage("bucket", "", "S3")


class Cut:
    """A server that sends the first `length` bytes of an answer and closes the connection."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.length = answer, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            with client, suppress(OSError):  # the client may have closed it already
                client.recv(65536)
                client.sendall(self.answer[: self.length])
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # this ends `accept`; closing alone does not
        self._server.close()


BODY = b"0123456789"
LISTED = b"""<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><Contents>\
<Key>scan/a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>3</Size></Contents></ListBucketResult>"""
HEAD = b'HTTP/1.1 200 OK\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\nETag: "e"\r\n'


def with_length(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\nx-amz-x: y\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "call", "whole"),
    [
        (with_length(BODY), lambda storage: storage.read("scan/a", 10), BODY),
        (with_length(LISTED), lambda storage: [each.key for each in storage.objects("scan", 9)], ["scan/a"]),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(LISTED), LISTED),
            lambda storage: [each.key for each in storage.objects("scan", 9)],
            ["scan/a"],
        ),
    ],
    ids=["object", "list", "list in chunks"],
)
@pytest.mark.usefixtures("one_try")
def test_an_answer_that_is_cut_off_anywhere_is_not_accepted(answer, call, whole):
    with closing(Cut(answer)) as server:
        storage = S3Storage("bucket", "", "S3", server.endpoint)
        for server.length in range(len(answer)):
            with suppress(StorageUnavailable):
                assert call(storage) == whole, f"after {server.length} bytes"
        server.length = len(answer)
        assert call(storage) == whole


@pytest.mark.parametrize(
    "answer",
    [
        with_length(b"<!doctype html><html><br></html>"),
        with_length(LISTED.replace(b"Size", b"Length")),
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nhello",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["a page", "a list without sizes", "a part", "sent on", "sent to a login", "401", "no HTTP"],
)
@pytest.mark.usefixtures("one_try")
def test_a_server_that_is_no_s3_server_counts_as_unavailable(answer):
    # A gateway, a login page, a load balancer without servers: the scan is not to blame.
    server = Cut(answer)
    server.length = len(answer)
    with pytest.raises(StorageUnavailable):
        S3Storage("bucket", "", "S3", server.endpoint).objects("scan", 9)
