"""The unit tier starts no process and no server: a test that does belongs into `tests/integration`."""

from __future__ import annotations

import socket
import subprocess

import pytest
import torch  # noqa: F401  its import starts ldconfig, and no test may start a process


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        pytest.fail("a unit test starts no process and listens at no port: move it to tests/integration")

    monkeypatch.setattr(subprocess.Popen, "__init__", refused)
    monkeypatch.setattr(socket.socket, "bind", refused)


@pytest.fixture(scope="session")
def redis_server() -> None:
    pytest.fail("a unit test uses no Redis: move it to tests/integration")


@pytest.fixture(scope="session")
def s3_server() -> None:
    pytest.fail("a unit test uses no S3 server: move it to tests/integration")


@pytest.fixture(autouse=True)
def _auto_means_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO converts a network for some seconds. Tests that need it name it."""
    monkeypatch.setattr("pose.estimators.loading.has_openvino", lambda: False)
