"""Faults of real servers and disks, and what becomes of a scan that meets them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from worker.config.settings import read_settings
from worker.keys import ScanId
from worker.ledger.base import LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.failures import ErrorPolicy, Fault, classify_error
from worker.storage.base import StorageUnavailable
from worker.storage.local import LocalStorage
from worker.storage.opening import open_storage

SCAN = ScanId("scan")


def storage_full(request: pytest.FixtureRequest) -> Callable[[], object]:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    request.getfixturevalue("monkeypatch").setattr(os, "fsync", no_space)
    storage = LocalStorage(request.getfixturevalue("tmp_path"), "the storage of results", make_root=True)
    return lambda: storage.write("scan/x", b"1", "text/plain")


def bucket_missing(request: pytest.FixtureRequest) -> Callable[[], object]:
    request.getfixturevalue("s3_path")
    endpoint = request.getfixturevalue("s3_server").endpoint
    storage = open_storage("s3://no-such-bucket/x", "the storage of results", endpoint)
    return lambda: storage.write("scan/x", b"1", "text/plain")


def credentials_refused(request: pytest.FixtureRequest) -> Callable[[], object]:
    place = request.getfixturevalue("s3_path")
    request.getfixturevalue("monkeypatch").setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    endpoint = request.getfixturevalue("s3_server").endpoint
    storage = open_storage(f"s3://{place}", "the storage of scans", endpoint)
    return lambda: storage.objects("scan", 10)


def redis_away(request: pytest.FixtureRequest) -> Callable[[], object]:
    ledger = open_ledger(read_settings(redis_url="redis://:hunter2@127.0.0.1:1/0"))
    return lambda: ledger.lock(SCAN)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (storage_full, "the storage of results: No space left on device"),
        (bucket_missing, "the storage of results: its bucket does not exist"),
        (credentials_refused, "the storage of scans: our credentials were refused"),
        (redis_away, "Redis (REDIS_URL, or the broker's) cannot be used: ConnectionError"),
    ],
)
def test_what_a_person_can_mend_passes_by_then_and_is_told_in_words(request, broken, reason):
    with pytest.raises((StorageUnavailable, LedgerUnavailable)) as error:
        broken(request)()
    assert classify_error(error.value) == ErrorPolicy(Fault.SERVICE, reason)
