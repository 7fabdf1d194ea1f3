"""Measure real workers while scans wait: scans a minute, memory, start, calls of Redis and S3."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import boto3

from tests.support.redis_server import RedisServer
from tests.support.running import Running, World, wait_until
from tests.support.s3_server import S3Server, missing_programs

_S3_LOG: Final = "S3_LOG"  # not a variable of the worker: where the server logs its calls
# Tests use one thread and no stored weights. Here the worker is as it is installed.
_OF_TESTS: Final = ("TORCH_THREADS", "OMP_NUM_THREADS", "WEIGHTS_URL")
FIRST: Final = "first"  # the scan that waits when the worker starts


@dataclass(frozen=True)
class Memory:
    """Memory of one process in MiB.

    Attributes:
        rss: All pages that it has touched, also those that it shares with others.
        pss: The same, with a shared page divided by the number of those who share it: the sum over all
            processes is what they need together.
        uss: Only its own pages: what one process more needs.
    """

    rss: float
    pss: float
    uss: float


@dataclass(frozen=True)
class Throughput:
    """What a worker did.

    Attributes:
        services: "embedded" or "Redis + S3".
        processes: Of the worker.
        threads: Of each process.
        scans: How many waited.
        scans_per_minute: From the start of the first to the end of the last.
        cpu_s: CPU seconds of the worker for one scan.
        ready_s: From the start of the worker until it is ready.
        first_scan_s: From the start of the worker until it takes the first scan.
        memory: Of a process after the scans, the median.
        worker_memory: Of the worker's main process.
        total_pss: Of all processes of the worker, in MiB.
        redis_commands, redis_bytes: For one scan; None without Redis.
        s3_calls: For one scan, by kind; None without S3.
    """

    services: str
    processes: int
    threads: int
    scans: int
    scans_per_minute: float
    cpu_s: float
    ready_s: float
    first_scan_s: float
    memory: Memory
    worker_memory: Memory
    total_pss: float
    redis_commands: float | None
    redis_bytes: float | None
    s3_calls: dict[str, float] | None


@contextmanager
def services(over: str) -> Iterator[Mapping[str, str] | None]:
    """Start the servers; give the variables with which a worker uses them, or None if there is no server."""
    with ExitStack() as stack:
        if over == "embedded":
            yield {}
            return
        if missing_programs() or shutil.which("redis-server") is None:
            yield None
            return
        redis, s3 = stack.enter_context(RedisServer()), stack.enter_context(S3Server())
        client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint,
            region_name="us-east-1",
            aws_access_key_id=s3.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=s3.environment["AWS_SECRET_ACCESS_KEY"],
        )
        for bucket in ("scans", "results"):
            client.create_bucket(Bucket=bucket)
        yield {
            **s3.environment,
            "CELERY_BROKER_URL": redis.url(0),
            "CELERY_RESULT_BACKEND": redis.url(0),
            "SCANS_URL": "s3://scans",
            "RESULTS_URL": "s3://results",
            _S3_LOG: str(s3.access_log),
        }


def measure_worker(
    files: Mapping[str, bytes], over: str, environment: Mapping[str, str], processes: int, scans: int
) -> Throughput:
    """Start a worker with one scan that waits, then give it more, and measure both.

    Args:
        files: A scan; each scan has the same.
        over: "embedded" or "Redis + S3".
        environment: Of `services`.
        processes: Of the worker.
        scans: How many are sent at once.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = {name: value for name, value in environment.items() if name != _S3_LOG}
        world = World(Path(folder), {**given, "LOG_FORMAT": "json"})
        for name in _OF_TESTS:
            world.environment.pop(name, None)
        prefix = f"{processes}-{time.time_ns()}"
        ids = [f"{prefix}-{i:03d}" for i in range(scans)]
        for scan_id in (f"{prefix}-{FIRST}", *ids):
            world.put_scan(scan_id, files)
        world.enqueue(f"{prefix}-{FIRST}")
        began = time.time()
        with world.start_worker("--concurrency", str(processes)) as worker:
            ready = worker.wait_for_event("worker_ready")
            first = worker.wait_for_event("scan_started")
            world.wait_for(f"{prefix}-{FIRST}", "completed")
            usage = _Usage(worker, environment)
            world.enqueue(*ids)
            wait_until(lambda: len(worker.events("scan_completed")) > scans, "all scans", 60 + 60 * scans)
            spent = usage.since(scans)
            started, ended = worker.events("scan_started")[1:], worker.events("scan_completed")[1:]
            seconds = max(map(_time, ended)) - min(map(_time, started))
            children = [memory_of(pid) for pid in worker.children()[:processes]]
            parent = memory_of(worker.process.pid)
            threads = worker.events("process_ready")[-1]["threads"]
            worker.stop()
    median = Memory(
        *(statistics.median(getattr(each, name) for each in children) for name in ("rss", "pss", "uss"))
    )
    return Throughput(
        over,
        processes,
        threads,
        scans,
        60 * scans / seconds,
        spent["cpu_s"],
        _time(ready) - began,
        _time(first) - began,
        median,
        parent,
        parent.pss + sum(each.pss for each in children),
        spent.get("redis_commands"),
        spent.get("redis_bytes"),
        spent.get("s3_calls"),
    )


class _Usage:
    """What a worker and its servers have used so far."""

    def __init__(self, worker: Running, environment: Mapping[str, str]) -> None:
        self._worker = worker
        self._environment = environment
        self._before = self._read()

    def since(self, scans: int) -> dict[str, Any]:
        """Return what was used since this object was made, for one of so many scans."""
        now, then = self._read(), self._before
        used: dict[str, Any] = {name: (now[name] - then[name]) / scans for name in now if name != "s3_calls"}
        if "s3_calls" in now:
            used["s3_calls"] = {
                kind: (number - then["s3_calls"].get(kind, 0)) / scans
                for kind, number in now["s3_calls"].items()
            }
        return used

    def _read(self) -> dict[str, Any]:
        used: dict[str, Any] = {"cpu_s": sum(map(_cpu_s, self._worker.alive()))}
        if "CELERY_BROKER_URL" in self._environment:
            import redis

            with redis.Redis.from_url(self._environment["CELERY_BROKER_URL"]) as client:
                told = client.info("stats")
            used["redis_commands"] = told["total_commands_processed"]
            used["redis_bytes"] = told["total_net_input_bytes"] + told["total_net_output_bytes"]
            used["s3_calls"] = _s3_calls(Path(self._environment[_S3_LOG]).read_text(errors="replace"))
        return used


def _s3_calls(log: str) -> dict[str, int]:
    """Return the number of calls in a server's log, by kind: PUT, GET, HEAD, DELETE and LIST."""
    calls = dict.fromkeys(("LIST", "PUT", "GET", "HEAD", "DELETE"), 0)
    for line in log.splitlines():
        if "beast: " not in line or '"' not in line:
            continue
        method, _, path = line.partition('"')[2].partition(" ")
        kind = "LIST" if method == "GET" and "list-type=" in path else method
        calls[kind] = calls.get(kind, 0) + 1
    return calls


def memory_of(pid: int) -> Memory:
    """Return the memory of a process, by Linux' `smaps_rollup`."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name.rstrip(":")] = int(value) / 1024
    return Memory(fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _time(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()
