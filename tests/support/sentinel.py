"""A real Redis Sentinel for tests: it watches a master and its replica, and makes the replica the master."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

from tests.support.redis_server import RedisServer
from tests.support.running import wait_until
from tests.support.s3_server import START_S, Ports, die_with_parent

MASTER_NAME: Final = "pose"


class Sentinel:
    """`with Sentinel() as sentinel:`. The first address of its URL is one where nobody listens."""

    def __init__(self) -> None:
        self._ports = Ports()
        self._folder = Path(tempfile.mkdtemp(prefix="sentinel-"))
        self._servers = [RedisServer(), RedisServer()]
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        dead, alive = self._ports.first + 1, self._ports.first
        return f"sentinel://127.0.0.1:{dead}/{database};sentinel://127.0.0.1:{alive}/{database}"

    def master(self) -> int:
        """The port of the master."""
        with redis.Redis(port=self._ports.first) as client:
            return int(client.sentinel_get_master_addr_by_name(MASTER_NAME)[1])

    def kill_master(self) -> None:
        """Kill the master, and wait until the other server is it."""
        before = self.master()
        next(server for server in self._servers if server.port == before).stop(signal.SIGKILL)
        wait_until(lambda: self.master() != before, "another master", START_S)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
        for server in self._servers:
            server.__exit__(None, None, None)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ports.release()

    def _start(self) -> None:
        for server in self._servers:
            server.start()
        master, replica = self._servers
        with replica.client() as client:
            client.replicaof("127.0.0.1", master.port)
            wait_until(
                lambda: client.info("replication")["master_link_status"] == "up", "the replica", START_S
            )
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self._ports.first}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} 500\n"
            f"sentinel failover-timeout {MASTER_NAME} 3000\n"
        )
        self._process = subprocess.Popen(
            ["redis-server", config, "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        wait_until(self._knows_replica, "the sentinel", START_S)

    def _knows_replica(self) -> bool:
        try:
            with redis.Redis(port=self._ports.first) as client:
                return bool(client.sentinel_slaves(MASTER_NAME))
        except redis.ConnectionError:
            return False
