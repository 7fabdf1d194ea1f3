"""Proxies that inject faults: one passes bytes (for Redis), one passes HTTP requests (for S3).

Each runs in its own thread, on a free loopback port. They hold whole requests and answers in memory, so
use them for small ones only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

END: Final = b"\r\n\r\n"
PIECE: Final = 64 * 1024
TEXT: Final = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>chaos</Message></Error>"
)
ERRORS: Final = ((500, "Internal Server Error", "InternalError"), (503, "Service Unavailable", "SlowDown"))
REFUSED: Final = (403, "Forbidden", "AccessDenied")


@dataclass(frozen=True)
class Weather:
    """Faults of requests.

    Attributes:
        delay_s: the shortest and the longest delay of a request.
        errors: the share, 0 to 1, that the proxy answers with 500 or 503 and does not pass on.
        drops: the share whose connection ends before the request, after it, or within the answer.
    """

    delay_s: tuple[float, float] = (0.0, 0.0)
    errors: float = 0.0
    drops: float = 0.0


FAIR: Final = Weather()


class Dropped(Exception):
    """Raised to end a connection."""


class Proxy:
    """Pass bytes on: `with Proxy(host, port) as proxy:`. `cut()` ends all connections.

    Args:
        host, port: of the server behind it. While the server is down, a connection ends at once.
        seed: of the random faults. Requests come in any order, so equal seeds give similar faults only.
    """

    def __init__(self, host: str, port: int, seed: object = 0) -> None:
        self.weather = FAIR
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._host, self._port = host, port
        self._random = random.Random(f"{seed}/proxy")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=PIECE))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End all connections at once, also in the middle of a request."""
        self.counts["cut"] += len(self._open) // 2
        self._call(self._abort())

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _abort(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A side that ends also ends the other side. Cancelling ends the proxy.
        with contextlib.suppress(OSError, EOFError, Dropped, asyncio.CancelledError):
            async with self._kept(writer):
                behind_reader, behind = await asyncio.open_connection(self._host, self._port, limit=PIECE)
                async with self._kept(behind):
                    await self._serve(reader, writer, behind_reader, behind)

    @contextlib.asynccontextmanager
    async def _kept(self, writer: asyncio.StreamWriter) -> Any:
        self._open.add(writer)
        try:
            yield
        finally:
            self._open.discard(writer)
            writer.close()

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind_reader: asyncio.StreamReader,
        behind: asyncio.StreamWriter,
    ) -> None:
        ways = {
            asyncio.ensure_future(_pump(reader, behind)),
            asyncio.ensure_future(_pump(behind_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


class HttpProxy(Proxy):
    """Pass HTTP/1.1 requests on, with the faults of `weather`. Connections are kept alive, as with S3.

    While `refusing` is true, answer each with 403, as while the rights of the workers are being changed.
    """

    refusing = False

    @classmethod
    def to(cls, endpoint: str, seed: object = 0) -> HttpProxy:
        """Make a proxy for the server at `http://host:port`."""
        parts = urlsplit(endpoint)
        return cls(parts.hostname or "", parts.port or 80, seed)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind_reader: asyncio.StreamReader,
        behind: asyncio.StreamWriter,
    ) -> None:
        while True:
            head, body = await _read_request(reader, writer)
            self.counts["requests"] += 1
            weather, chance = self.weather, self._random
            await asyncio.sleep(chance.uniform(*weather.delay_s))
            if self.refusing:
                await self._answer_error(writer, head, REFUSED)
                continue
            if chance.random() < weather.errors:
                await self._answer_error(writer, head, chance.choice(ERRORS))
                continue
            dropped = chance.choice(("before", "after", "within")) if chance.random() < weather.drops else ""
            self.counts["dropped"] += bool(dropped)
            if dropped == "before":
                raise Dropped
            behind.write(head + body)
            await behind.drain()
            answer = await _read_answer(behind_reader, head)
            if dropped == "after":
                raise Dropped
            if dropped == "within":
                writer.write(answer[: chance.randrange(len(answer))])
                await writer.drain()
                raise Dropped
            writer.write(answer)
            await writer.drain()

    async def _answer_error(
        self, writer: asyncio.StreamWriter, head: bytes, error: tuple[int, str, str]
    ) -> None:
        status, reason, code = error
        self.counts[str(status)] += 1
        text = b"" if head.startswith(b"HEAD ") else TEXT.format(code=code).encode()
        fields = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}"
        writer.write(fields.encode() + END + text)
        await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    head = await reader.readuntil(END)
    lines = head.split(b"\r\n")
    if any(_is(line, b"expect") for line in lines):
        # Answer it here: the server's own "100 Continue" would be taken for its final answer.
        writer.write(b"HTTP/1.1 100 Continue" + END)
        await writer.drain()
        head = b"\r\n".join(line for line in lines if not _is(line, b"expect"))
    return head, await _read_body(reader, head)


async def _read_answer(reader: asyncio.StreamReader, request: bytes) -> bytes:
    head = await reader.readuntil(END)
    status = int(head.split(b" ", 2)[1])
    if request.startswith(b"HEAD ") or status in (204, 304):
        return head
    return head + await _read_body(reader, head)


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if _is(line, b"content-length"):
            return await reader.readexactly(int(line.partition(b":")[2]))
        if _is(line, b"transfer-encoding"):
            return await _read_chunks(reader)
    return b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Return the header lines as they came, with the empty line at the end."""
    found = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        found += line + await reader.readexactly(size + 2)
        if size == 0:
            return found


def _is(line: bytes, name: bytes) -> bool:
    return line.partition(b":")[0].strip().lower() == name
