"""The unit tier needs no server: a test that asks for one belongs into `tests/integration`."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def redis_server() -> None:
    pytest.fail("a unit test uses no Redis; move it to tests/integration")


@pytest.fixture(scope="session")
def s3_server() -> None:
    pytest.fail("a unit test uses no S3 server; move it to tests/integration")
