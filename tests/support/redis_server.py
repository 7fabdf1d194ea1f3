"""A real Redis for tests: on a free port of the loopback, in a folder of its own, gone with its block."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.support.s3_server import START_S, Ports, die_with_parent


class RedisServer:
    """`with RedisServer() as server:`. It can be stopped and started again on its port, with its data."""

    def __init__(self) -> None:
        self._ports = Ports()
        self.port = self._ports.first
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def emptied(self, *databases: int) -> list[str]:
        """The URLs of databases, with nothing left in them by earlier tests."""
        for database in databases:
            with self.client(database) as client:
                client.flushdb()
        return [self.url(database) for database in databases]

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis.from_url(self.url(database))

    def _listen(self) -> list[str]:
        return ["--port", str(self.port)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ports.release()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = "--bind 127.0.0.1 --save --appendonly yes --appendfsync always"
        self._process = subprocess.Popen(
            ["redis-server", *self._listen(), *options.split()],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server did not start") from None
                time.sleep(0.02)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Be away, and keep the data: every change is on disk before it is answered."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(START_S)
            self._process = None
