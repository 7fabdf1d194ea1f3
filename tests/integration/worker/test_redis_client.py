from __future__ import annotations

import socket
import time

import pytest
import redis

from tests.support.redis_server import RedisServer
from worker.config.redis_client import TIMEOUT_S, open_redis


def test_a_client_does_not_connect_before_its_first_command():
    open_redis("redis://127.0.0.1:1/0")


def test_a_redis_that_does_not_answer_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = open_redis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.3)
        start = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        assert time.monotonic() - start < TIMEOUT_S  # without `timeout_s` it would take twice that


def test_a_closed_connection_is_opened_again():
    with RedisServer() as server, open_redis(server.url()) as client:
        client.set("key", "value")
        server.stop()
        server.start()
        assert client.get("key") == b"value"
