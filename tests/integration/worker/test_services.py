"""Whether a worker can use its services, with a real S3 server and a real Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.config.settings import Settings, read_settings
from worker.scans.services import problem_of_services, wait_for_services
from worker.storage.opening import open_storages


@pytest.fixture
def endpoint(s3_server, s3_path, redis_server, monkeypatch) -> dict[str, Any]:
    (url,) = redis_server.emptied(8)
    return {
        "scans_url": f"s3://{s3_path}/scans",
        "results_url": f"s3://{s3_path}/results",
        "redis_url": url,
        "s3_endpoint_url": s3_server.endpoint,
    }


def test_where_all_can_be_used_there_is_no_problem_and_nothing_is_left(endpoint, s3_client, bucket, s3_path):
    assert problem_of_services(read_settings(**endpoint), write=True) is None
    prefix = s3_path.removeprefix(f"{bucket}/")
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket, Prefix=prefix)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"scans_url": "s3://no-such-bucket"}, "the storage of scans: its bucket does not exist"),
        ({"results_url": "s3://no-such-bucket"}, "the storage of results: its bucket does not exist"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "Redis (REDIS_URL, or the broker's) cannot be used"),
        ({"scans_url": "file:///nowhere/scans"}, "the storage of scans: its folder does not exist"),
    ],
)
def test_what_is_wrong_is_named(endpoint, wrong, problem):
    assert str(problem_of_services(read_settings(**{**endpoint, **wrong}), write=True)).startswith(problem)


def test_only_a_write_shows_that_results_cannot_be_written(here):
    (here / "scans").mkdir()
    settings = read_settings(results_url="file:///dev/null/results")
    assert problem_of_services(settings, write=False) is None
    assert problem_of_services(settings, write=True) == "the storage of results: Not a directory"


def waited(settings: Settings, reports: list[str], mend: Path) -> int:
    """Wait for services, and mend a folder at the third look; return the number of pauses."""
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            mend.mkdir()

    wait_for_services(settings, reports.append, sleep)
    return len(pauses)


def test_a_worker_waits_until_they_can_be_used(here, tmp_path):
    reports: list[str] = []
    settings = read_settings(scans_url=f"file://{tmp_path}/mounted")
    assert waited(settings, reports, tmp_path / "mounted") == 2
    assert reports == ["the storage of scans: its folder does not exist"] * 2


def test_the_default_folder_of_scans_is_made(here):
    wait_for_services(read_settings(), lambda _: None, lambda _: pytest.fail("it waited"))
    assert (here / "scans").is_dir()
    scans, _ = open_storages(read_settings())
    assert scans.folders() == []
