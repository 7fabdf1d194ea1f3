"""The servers that the worker's tests use, each started at most once, and places to work in."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.redis_server import RedisServer
from tests.s3_server import S3Server, missing_programs
from worker.config.settings import Settings


def need(programs: list[str], packages: str) -> None:
    """Skip where a server is not installed; in CI that is an error, so that no test is lost unseen."""
    if programs:
        reason = f"{', '.join(programs)} cannot be found: apt-get install {packages}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    need(missing_programs(), "radosgw ceph-mon ceph-osd")
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3_server.environment["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="session")
def bucket(s3_client: Any) -> str:
    """One for all tests, as the server takes half a second to make one."""
    s3_client.create_bucket(Bucket="bucket-of-tests")
    return "bucket-of-tests"


@pytest.fixture
def s3_place(s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`bucket/prefix` with nothing in it, and the environment in which it can be reached."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{bucket}/{uuid.uuid4()}"


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches them."""
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in os.environ:
        if name in ours or name.removesuffix("_FILE") in ours or name.startswith(("CELERY_", "AWS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
