"""The proxies pass everything on, with the faults of `weather`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import requests

from tools.chaos.proxy import HttpProxy, Proxy, Weather


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, bytes]]] = []

    def do_PUT(self) -> None:
        self.seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        self.seen.append((self.path, b""))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in (b"one", b"two" * 1000):
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the log out of the tests' output."""


@pytest.fixture
def port() -> Iterator[int]:
    Handler.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(port) -> Iterator[HttpProxy]:
    with HttpProxy.to(f"http://127.0.0.1:{port}", seed=1) as proxy:
        yield proxy


def test_requests_and_answers_of_each_form_pass_over_one_connection(proxy):
    with requests.Session() as session:
        for _ in range(2):
            assert session.put(f"{proxy.endpoint}/a", data=b"body").status_code == 204
            assert session.get(f"{proxy.endpoint}/b").content == b"one" + b"two" * 1000
            assert session.head(f"{proxy.endpoint}/c").headers["Content-Length"] == "1000"
    assert Handler.seen == [("/a", b"body"), ("/b", b"")] * 2
    assert proxy.counts == {"requests": 6, "dropped": 0}


def test_who_asks_before_he_sends_a_body_is_told_to_go_on(proxy):
    with closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=60)) as client:
        client.sendall(b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert client.recv(1000).startswith(b"HTTP/1.1 204 ")
    assert Handler.seen == [("/a", b"body")]


def test_errors_are_answered_over_a_connection_that_stays_and_not_passed_on(proxy):
    proxy.weather = Weather(errors=1.0)
    with requests.Session() as session:
        answers = [session.put(f"{proxy.endpoint}/a", data=b"body") for _ in range(20)]
        proxy.weather = Weather()
        assert session.put(f"{proxy.endpoint}/b", data=b"body").status_code == 204
    assert {(each.status_code, b"<Code>" in each.content) for each in answers} == {(500, True), (503, True)}
    assert Handler.seen == [("/b", b"body")]


def test_a_connection_drops_before_after_and_within_what_is_done(proxy):
    proxy.weather = Weather(drops=1.0)
    for _ in range(20):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            requests.get(f"{proxy.endpoint}/a", timeout=60)
    assert 0 < len(Handler.seen) < 20
    assert proxy.counts["dropped"] == 20


def test_while_it_refuses_nothing_reaches_the_server(proxy):
    proxy.refusing = True
    refused = requests.put(f"{proxy.endpoint}/a", data=b"body")
    assert (refused.status_code, "<Code>AccessDenied</Code>" in refused.text) == (403, True)
    assert requests.head(f"{proxy.endpoint}/a").text == ""
    proxy.refusing = False
    assert requests.put(f"{proxy.endpoint}/a", data=b"body").status_code == 204
    assert Handler.seen == [("/a", b"body")]


def test_a_delay_is_within_its_limits(proxy):
    proxy.weather = Weather(delay_s=(0.2, 0.3))
    assert 0.2 <= requests.get(f"{proxy.endpoint}/a").elapsed.total_seconds() < 30


def test_where_nobody_is_behind_a_connection_ends():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with HttpProxy("127.0.0.1", port) as proxy, pytest.raises(requests.ConnectionError):
        requests.get(f"{proxy.endpoint}/a", timeout=60)


def test_bytes_pass_both_ways_until_the_connection_is_cut():
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        Proxy("127.0.0.1", server.getsockname()[1]) as proxy,
        closing(socket.create_connection(("127.0.0.1", proxy.port), timeout=60)) as client,
        closing(server.accept()[0]) as behind,
    ):
        behind.settimeout(60)
        client.sendall(b"question")
        assert behind.recv(100) == b"question"
        behind.sendall(b"answer")
        assert client.recv(100) == b"answer"
        proxy.cut()
        assert (client.recv(100), behind.recv(100)) == (b"", b"")
        assert proxy.counts == {"cut": 1}
