"""A real HTTP server for tests, that serves files well or as badly as a test wants.

It serves `files` by their path, with ranges and ETags, and keeps what was asked of it. `answers` are taken
one a request before that: each is a function of the handler.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def do_GET(self) -> None:
        self.server.requests.append({**dict(self.headers), "path": self.path})
        answer = self.server.answers.pop(0) if self.server.answers else whole
        answer(self)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Not into the tests' output."""

    @property
    def content(self) -> bytes | None:
        return self.server.files.get(self.path.lstrip("/"))

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content or b"").hexdigest()[:16]}"'

    def begin(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        # Else a client may send its next request, as after a redirect, into a connection about to be closed.
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


Answer = Callable[[Handler], None]


class FileServer(ThreadingHTTPServer):
    """Runs within `with FileServer() as server:`, on a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.requests: list[dict[str, str]] = []
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has had enough goes away in the middle: that is what many tests are about."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()


def whole(handler: Handler) -> None:
    """As a good server: the file, or the range of it, unless it has changed since."""
    content = handler.content
    if content is None:
        return handler.begin(404, Content_Length=0)
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked and handler.headers.get("If-Range", handler.etag) == handler.etag:
        return rest(handler, int(asked[1]))
    handler.begin(200, Content_Length=len(content), ETag=handler.etag)
    handler.wfile.write(content)


def rest(handler: Handler, start: int) -> None:
    """From there on; 416 if nothing is there."""
    content = handler.content or b""
    if start >= len(content):
        return handler.begin(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.begin(206, Content_Length=len(content) - start, Content_Range=span, ETag=handler.etag)
    handler.wfile.write(content[start:])


def range_of(handler: Handler) -> None:
    """The range, whatever the client says that it has a part of."""
    rest(handler, int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")))


def no_ranges(handler: Handler) -> None:
    """Always the whole file, and no word about its version."""
    content = handler.content or b""
    handler.begin(200, Content_Length=len(content))
    handler.wfile.write(content)


def unknown_length(handler: Handler) -> None:
    """All of it, then the connection's end."""
    handler.begin(200, Connection="close")
    handler.wfile.write(handler.content or b"")


def chunked(handler: Handler) -> None:
    """In pieces, each with its length; no length of the whole."""
    handler.begin(200, Transfer_Encoding="chunked")
    content = handler.content or b""
    for start in range(0, len(content), 1000):
        piece = content[start : start + 1000]
        handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.begin(code, Content_Length=0, **headers)


def cut(after: int, **headers: str) -> Answer:
    """The file's length and so many bytes, then nothing."""

    def answer(handler: Handler) -> None:
        content = handler.content or b""
        version = headers or {"ETag": handler.etag}
        handler.begin(200, Content_Length=len(content), **version)
        handler.wfile.write(content[:after])

    return answer


def silent(after: int) -> Answer:
    """So many bytes; then the connection stays open, and nothing comes."""

    def answer(handler: Handler) -> None:
        cut(after)(handler)
        handler.wfile.flush()
        handler.server.stopped.wait(30)

    return answer
