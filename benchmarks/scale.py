"""Measure the maintenance of a large queue and a large storage: `python -m benchmarks.scale`.

It starts a Redis of its own, and an S3 server that invents its objects (`benchmarks.fake_s3`). With `--real`,
it also puts scans into a real S3 server, to compare what a page costs there.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from celery import Celery

import worker.app  # noqa: F401  its transports
from benchmarks.fake_s3 import PAGE, Stored, command_of, name_of, objects_of
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server, keys
from worker.broker.waiting import Waiting, waiting_scans
from worker.config.celery import celery_config
from worker.config.logs import setup_logging
from worker.config.settings import Settings, read_settings
from worker.erasure.retention import NAME as RETENTION
from worker.erasure.retention import erase_old_results
from worker.keys import ScanId, scan_ids_in
from worker.ledger.base import Ledger
from worker.ledger.opening import open_ledger
from worker.queue import message, sender
from worker.scans.completeness import digest_of
from worker.scans.reconcile import Resender, reconcile, sweep_storage
from worker.scans.sweep import FILE_PAGES_A_DAY, INDEX, Sweep
from worker.scans.sweep_index import SweepIndex, hashes_of, short_digest
from worker.storage.base import Storage
from worker.storage.opening import open_storages
from worker.storage.s3 import S3Storage

MIB: Final = 1024 * 1024
FILES_A_DAY: Final = FILE_PAGES_A_DAY * PAGE
FIRST_TURN: Final = 3000  # scans


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the seconds and the memory that a block takes."""
    begin, wall = time.process_time(), time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time() - begin, time.perf_counter() - wall
    print(f"{what}: {cpu:.1f} s of one core, {wall:.1f} s in all; peak memory so far {peak:.0f} MiB")


def app_of(settings: Settings) -> Celery:
    """Return an app that can send and look into the queue."""
    app = Celery("scale", set_as_current=False)
    app.config_from_object(celery_config(settings))
    app.backend_cls = "disabled"
    return app


def memory_of(client: Any) -> int:
    """Return the bytes that a Redis uses."""
    return int(client.info("memory")["used_memory"])


def measure_queue(redis: RedisServer, waiting: int, lost: int, folder: Path) -> None:
    """All scans are overdue: those that wait are to be left alone, the lost ones sent."""
    settings = read_settings(broker_url=redis.url(1), results_url=(folder / "results").as_uri())
    app = app_of(settings)
    scan_ids = list(scan_ids_in(map(name_of, range(waiting + lost))))
    with redis.client(1) as client:
        before = memory_of(client)
        sender(app)(message(scan_ids[0]))
        [entry] = client.lrange("celery", 0, -1)
        client.delete("celery")
        found = json.loads(entry)
        for start in range(0, waiting, 1000):
            bodies = (json.dumps([[], {"scan_id": each}, {}]) for each in scan_ids[start : start + 1000])
            encoded = (base64.b64encode(body.encode()).decode() for body in bodies)
            client.lpush("celery", *(json.dumps({**found, "body": body}) for body in encoded))
        queue = memory_of(client) - before
        past = time.time() - 1
        for start in range(0, len(scan_ids), 1000):
            client.zadd("pose:open", dict.fromkeys(scan_ids[start : start + 1000], past))
        opened = memory_of(client) - before - queue
        print(
            f"Redis: {queue / waiting:.0f} bytes a waiting message, {opened / len(scan_ids):.0f} an open scan"
        )
        arguments = (settings, *open_storages(settings), sender(app))
        with measured(f"reconcile of {len(scan_ids)} overdue scans, of which {lost} are lost"):
            sent = reconcile(*arguments, waiting=lambda: waiting_scans(app))
        length = client.llen("celery")
        print(f"  sent again: {len(sent)}; messages twice in the queue: {length - waiting - len(sent)}")
        with measured("reconcile again"):
            assert reconcile(*arguments, waiting=lambda: waiting_scans(app)) == []


@contextmanager
def fake_server(stored: Stored) -> Iterator[str]:
    """Run the invented storage, and give its address."""
    process = subprocess.Popen(command_of(stored), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def opened(
    endpoint: str, redis: RedisServer, database: int
) -> tuple[Settings, Storage, Storage, Counter[str]]:
    settings = read_settings(
        broker_url=redis.url(database),
        scans_url="s3://scans",
        results_url="s3://results",
        s3_endpoint_url=endpoint,
    )
    calls: Counter[str] = Counter()
    scans, results = open_storages(settings)
    for storage in (scans, results):
        assert isinstance(storage, S3Storage)
        storage._client.meta.events.register("before-call.s3", lambda model, **_: calls.update([model.name]))
    return settings, scans, results, calls


class DryResender(Resender):
    """Writes no status, as the invented storage takes none."""

    def _send_again(self, scan_id: ScanId, waiting: Waiting) -> bool:
        return True


def turn(settings: Settings, ledger: Ledger, scans: Storage, results: Storage) -> list[str]:
    """Take a whole turn of the sweep, and return what it would send."""
    resender = DryResender(settings, ledger, results, lambda _: None, Waiting)
    return list(sweep_storage(Sweep(settings, ledger, scans, results), resender, whole=True))


def measure_storage(redis: RedisServer, count: int, files: int, new: int) -> None:
    """A day's turn through a storage whose scans are finished, but for some new ones."""
    step = max(1, count // new)
    news = set(range(0, count, step))
    unannounced, changed = (step // 2, step + step // 2), (7, 77, 777)
    stored = Stored(count, files, unannounced, changed, time.time() - 7200)
    with fake_server(stored) as endpoint:
        settings, scans, results, calls = opened(endpoint, redis, 2)
        ledger = open_ledger(settings)
        # As the first turn leaves it. What the walk through the files does not come to has any digest.
        numbers = [i for i in range(count) if i not in news and i not in unannounced]
        listed = FILES_A_DAY // files
        digests = [
            0xABCD if i in changed or i > listed else short_digest(digest_of(objects_of(i, files)))
            for i in numbers
        ]
        hashes = hashes_of(map(name_of, numbers))
        order = np.argsort(hashes)
        index = SweepIndex(hashes[order], np.array(digests, np.uint32)[order])
        with redis.client(2) as client:
            ledger.set_notes(INDEX, index.to_bytes())
            size = client.memory_usage(f"pose:notes:{INDEX}") or 0
        print(
            f"index of {count} finished scans: {size / MIB:.1f} MiB in Redis, {size / count:.1f} bytes a scan"
        )
        del index, hashes, digests, numbers
        with measured(f"a day's turn: {count} scans of {files} files, {len(news)} of them new"):
            found = turn(settings, ledger, scans, results)
        wanted = len(unannounced) + len(changed)
        print(f"  calls of S3: {calls.total()} {dict(calls)}; found: {len(found)} of {wanted}")


def measure_retention(redis: RedisServer, count: int) -> None:
    """A day's look for results that are too old, of which there are none, with and without the index."""
    stored = Stored(count, 1, (), (), time.time() - 7200)
    with fake_server(stored) as endpoint:
        settings, scans, results, calls = opened(endpoint, redis, 5)
        settings = settings.model_copy(update={"retention_days": 30})
        ledger, app = open_ledger(settings), app_of(settings)

        def day() -> None:
            ledger.rest(RETENTION, 0)
            erase_old_results(settings, scans, results, app)
            while ledger.cursor(RETENTION) is not None:
                erase_old_results(settings, scans, results, app)

        numbers = range(FIRST_TURN, count)
        hashes = np.sort(hashes_of(map(name_of, numbers)))
        index = SweepIndex(hashes, np.full(len(hashes), int(stored.finished_at), np.uint32))
        ledger.set_notes(RETENTION, index.to_bytes())
        for what in (f"{FIRST_TURN} of them new", "none of them new"):
            calls.clear()
            with measured(f"RETENTION_DAYS, a day: {count} results, {what}"):
                day()
            print(f"  calls of S3: {calls.total()} {dict(calls)}")


def measure_first_turn(redis: RedisServer, files: int) -> None:
    """The turn after the index was lost."""
    stored = Stored(FIRST_TURN, files, (), (), time.time() - 10 * 86_400)
    with fake_server(stored) as endpoint:
        settings, scans, results, calls = opened(endpoint, redis, 3)
        with measured(f"the first turn of all, without an index: {FIRST_TURN} scans"):
            turn(settings, open_ledger(settings), scans, results)
        print(f"  calls of S3: {calls.total()} {dict(calls)}")


def measure_real(redis: RedisServer, files: int) -> None:
    """A turn through a real storage, to compare."""
    with S3Server() as server:
        os.environ.update(server.environment)
        settings, scans, results, calls = opened(server.endpoint, redis, 4)
        for storage in (scans, results):
            assert isinstance(storage, S3Storage)
            storage._client.create_bucket(Bucket=storage._bucket)
        names = [name_of(i) for i in range(2000 // files)]
        for name in names:
            for i in range(files):
                scans.write(f"{name}/rgb/{i:03d}.jpg", b"1", "image/jpeg")
        ledger = open_ledger(settings)
        index = SweepIndex.from_bytes(None)
        for name, key in zip(names, hashes_of(names), strict=True):
            index.put(int(key), short_digest(digest_of(scans.objects(name, files))))
        ledger.set_notes(INDEX, index.to_bytes())
        calls.clear()
        with measured(f"a turn on a real server: {len(names)} scans of {files} files"):
            found = turn(settings, ledger, scans, results)
        print(f"  calls of S3: {calls.total()} {dict(calls)}; found: {len(found)} of 0")


def main(
    waiting: Annotated[int, typer.Option(min=1, help="Scans that wait in the queue.")] = 100_000,
    lost: Annotated[int, typer.Option(min=0, help="Overdue scans whose message was lost.")] = 500,
    stored: Annotated[int, typer.Option(min=1000, help="Scans that are stored.")] = 1_000_000,
    files: Annotated[int, typer.Option(min=1, help="Files of each.")] = 18,
    new: Annotated[int, typer.Option(min=1, help="Scans that were finished since the last turn.")] = 100,
    real: Annotated[bool, typer.Option("--real", help="Compare with a real S3 server (Ceph).")] = False,
) -> None:
    """Print memory, calls of S3 and seconds of the regular work."""
    setup_logging(level="ERROR")
    os.environ.update(keys("key", "secret"))
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        (Path(folder) / "scans").mkdir()
        measure_queue(redis, waiting, lost, Path(folder))
        measure_storage(redis, stored, files, new)
        measure_retention(redis, stored)
        measure_first_turn(redis, files)
        if real:
            measure_real(redis, files)


if __name__ == "__main__":
    typer.run(main)
