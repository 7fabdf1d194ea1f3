"""Redis and S3 behind their proxies, and the faults of both."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import redis
from botocore.config import Config

from tests.support.redis_server import RedisServer
from tests.support.running import unconfigured
from tests.support.s3_server import S3Server
from tools.chaos.fleet import Fleet
from tools.chaos.plan import Step
from tools.chaos.proxy import HttpProxy, Proxy, Weather
from tools.chaos.settings import ENVIRONMENT, RESULTS, SCANS


class Servers:
    """`with Servers(seed) as servers:`. Workers connect through the proxies; the run itself does not."""

    def __init__(self, seed: int) -> None:
        self._stack = ExitStack()
        self._seed = seed

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.redis_server = stack.enter_context(RedisServer())
            self.s3_server = stack.enter_context(S3Server())
            port = urlsplit(self.redis_server.url()).port or 0
            self.redis_proxy = stack.enter_context(Proxy("127.0.0.1", port, self._seed))
            self.s3_proxy = stack.enter_context(HttpProxy.to(self.s3_server.endpoint, self._seed))
            self.redis = redis.Redis.from_url(self.redis_server.url(), socket_timeout=10)
            self.s3 = s3_client(self.s3_server)
            for bucket in (SCANS, RESULTS):
                self.s3.create_bucket(Bucket=bucket)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the workers, without the settings of the process that runs this."""
        redis_url = f"redis://127.0.0.1:{self.redis_proxy.port}"
        return {
            **unconfigured(),
            **ENVIRONMENT,
            **self.s3_server.environment,
            "AWS_ENDPOINT_URL_S3": self.s3_proxy.endpoint,
            "CELERY_BROKER_URL": f"{redis_url}/0",
            "CELERY_RESULT_BACKEND": f"{redis_url}/1",
        }


def s3_client(server: S3Server) -> Any:
    """Return a client that fails at once when the server is down."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        config=Config(
            retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20, max_pool_connections=16
        ),
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
    )


class Faults:
    """The faults that a plan can name."""

    def __init__(self, servers: Servers, fleet: Fleet) -> None:
        self._servers = servers
        self._fleet = fleet
        self._frozen: dict[tuple[str, float], int] = {}
        self._redis_up = self._s3_up = True
        self.counts: Counter[str] = Counter()

    def do(self, step: Step) -> None:
        """Do one of the methods below."""
        getattr(self, step.name)(*step.arguments)

    def kill_child(self, name: str, choice: float) -> None:
        pid = self._child(name, choice)
        if pid is not None:
            self._fleet.kill_child(name, pid)
            self.counts["children killed"] += 1

    def kill_worker(self, name: str, whole: bool) -> None:
        self._fleet.kill(name, whole)
        self.counts["beat killed" if name == "beat" else "workers killed"] += 1

    def stop_worker(self, name: str) -> None:
        self._fleet.terminate(name)
        self.counts["workers told to end"] += 1

    def freeze_child(self, name: str, choice: float) -> None:
        pid = self._child(name, choice)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._frozen[name, choice] = pid
                self.counts["children frozen"] += 1

    def thaw(self, name: str, choice: float) -> None:
        pid = self._frozen.pop((name, choice), None)
        if pid is not None and pid in self._fleet.children(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def break_child(self, name: str, choice: float, fault: str) -> None:
        pid = self._child(name, choice)
        if pid is not None:
            self._fleet.break_child(pid, fault)
            self.counts[f"children with {fault}"] += 1

    def stop_redis(self, at_once: bool) -> None:
        self._servers.redis_server.stop(signal.SIGKILL if at_once else signal.SIGTERM)
        self._redis_up = False
        self.counts["Redis restarted"] += 1

    def start_redis(self) -> None:
        self._servers.redis_server.start()
        self._redis_up = True

    def cut_redis(self) -> None:
        self._servers.redis_proxy.cut()
        self.counts["Redis cut off"] += 1

    def stop_s3(self) -> None:
        self._servers.s3_server.stop_gateway()
        self._s3_up = False
        self.counts["S3 stopped"] += 1

    def start_s3(self) -> None:
        self._servers.s3_server.start_gateway()
        self._s3_up = True

    def refuse_s3(self) -> None:
        self._servers.s3_proxy.refusing = True
        self.counts["S3 refused"] += 1

    def accept_s3(self) -> None:
        self._servers.s3_proxy.refusing = False

    def set_weather(self, weather: Weather) -> None:
        self._servers.s3_proxy.weather = weather
        self.counts["S3 slow or failing"] += weather != Weather()

    def mend(self) -> None:
        """End all faults that have not ended."""
        self._servers.s3_proxy.weather = Weather()
        self.accept_s3()
        if not self._redis_up:
            self.start_redis()
        if not self._s3_up:
            self.start_s3()
        for name, choice in tuple(self._frozen):
            self.thaw(name, choice)

    def _child(self, name: str, choice: float) -> int | None:
        children = self._fleet.children(name)
        return random.Random(choice).choice(children) if children else None
