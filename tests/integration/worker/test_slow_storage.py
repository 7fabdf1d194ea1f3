"""The time limit strikes while a real S3 server does not answer: it is heard, and blamed on the storage."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.estimators import FindsNobody
from tools.chaos.proxy import FAIR, HttpProxy, Weather
from worker.config.settings import Settings, read_settings
from worker.keys import ScanId
from worker.ledger.opening import open_ledger
from worker.scans.attempt import Attempt
from worker.scans.job import Job
from worker.scans.process import Outcome, Report, process
from worker.scans.retry import RetryLater
from worker.scans.self_check import OwnProcess
from worker.scans.status import Stage, read_status
from worker.scans.transfer import Limits
from worker.storage.base import Storage
from worker.storage.opening import open_storages
from worker.time_limit import SIGNAL

SCAN = ScanId("scan")
SILENT = Weather(delay_s=(60.0, 60.0))
HEARD_S = 3.0
LIMITS = Limits(object_bytes=10**6, scan_bytes=10**7, files=100)


@pytest.fixture
def proxy(s3_server) -> Iterator[HttpProxy]:
    with HttpProxy("127.0.0.1", urlsplit(s3_server.endpoint).port or 0) as proxy:
        yield proxy


@pytest.fixture
def settings(here, proxy, s3_path, monkeypatch, make_scan) -> Settings:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
    settings = read_settings(scans_url=f"s3://{s3_path}/scans", results_url=f"s3://{s3_path}/results")
    scans, _ = open_storages(settings)
    for name, data in make_scan(frames=2).items():
        scans.write(f"{SCAN}/{name}", data, "application/octet-stream")
    return settings


class Silence:
    """S3 says nothing from a moment on, and a second later the time limit strikes."""

    def __init__(self, proxy: HttpProxy) -> None:
        self._proxy = proxy
        self.struck_at = 0.0

    def begin(self) -> None:
        self._proxy.weather = SILENT
        threading.Timer(1.0, self._strike).start()

    def _strike(self) -> None:
        self.struck_at = time.monotonic()
        os.kill(os.getpid(), SIGNAL)


def attempt(settings: Settings, before: Callable[[Stage, int], None]) -> Outcome:
    scans, _ = open_storages(settings)

    def work(results: Storage, force: bool, report: Report, _: object) -> Outcome:
        def report_first(stage: Stage, done: int, frames: int | None) -> None:
            report(stage, done, frames)
            before(stage, done)

        return process(SCAN, scans, results, FindsNobody(), LIMITS, report_first, force=force)

    own = OwnProcess("p1", True, lambda: pytest.fail("the process is not at fault"))
    return Attempt(Job(SCAN), settings, work, lambda *_: None, own).run()


@pytest.mark.parametrize(
    ("stage", "done", "storage"),
    [
        (Stage.FETCH, 0, "the storage of scans"),
        (Stage.ANALYSE, 0, "the storage of results"),  # the next write of the status
        (Stage.PUBLISH, 2, "the storage of results"),
    ],
    ids=["fetch", "progress", "publish"],
)
def test_the_limit_is_heard_in_a_call_to_s3_and_the_scan_is_tried_again(
    settings, proxy, stage, done, storage, monkeypatch
):
    silence = Silence(proxy)

    def before(now: Stage, frames: int) -> None:
        if (now, frames) == (stage, done):
            if stage is Stage.ANALYSE:
                time.sleep(1.0)  # then the next step of progress is due to be written
            silence.begin()

    with pytest.raises(RetryLater) as again:
        attempt(settings, before)
    assert again.value.reason == f"{storage}: too slow, the time limit came first"
    assert time.monotonic() - silence.struck_at < HEARD_S
    lease = open_ledger(settings).lock(SCAN)
    assert lease is not None
    lease.release()
    proxy.weather = FAIR
    assert not attempt(settings, lambda *_: None).repeated
    found = read_status(open_storages(settings)[1], SCAN)
    assert found is not None
    assert (found.status, found.deaths) == ("completed", 0)


def test_it_is_heard_before_the_work_begins(settings, proxy):
    silence = Silence(proxy)
    silence.begin()
    with pytest.raises(RetryLater, match="the storage of results: too slow"):
        attempt(settings, lambda *_: None)
    assert time.monotonic() - silence.struck_at < HEARD_S
