"""Celery's own events while the broker is away."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.redis_server import RedisServer
from tests.support.running import World
from worker.app import app
from worker.runtime.event_dispatcher import Dispatcher


class Away:
    """A producer whose broker does not answer."""

    def __init__(self) -> None:
        self.retries: list[bool] = []

    def publish(self, event: object, *, retry: bool, **_: object) -> None:
        self.retries.append(retry)
        raise ConnectionError


@pytest.fixture
def dispatcher(here) -> Dispatcher:
    made = app.events.Dispatcher(enabled=False)
    assert isinstance(made, Dispatcher)
    made.producer = Away()
    made.enabled = True
    return made


def test_a_heartbeat_that_nobody_takes_is_an_error_and_not_tried_again(dispatcher):
    for _ in range(3):
        with pytest.raises(ConnectionError):
            dispatcher.send("worker-heartbeat", retry=True)
    assert dispatcher.producer.retries == [False] * 3
    assert not dispatcher._outbound_buffer


def test_what_was_not_to_be_tried_again_is_kept_for_later_as_ever(dispatcher):
    dispatcher.send("worker-offline")
    assert len(dispatcher._outbound_buffer) == 1


def test_a_worker_whose_redis_says_nothing_hears_sigterm(tmp_path):
    with RedisServer() as server:
        world = World(tmp_path, {"CELERY_BROKER_URL": server.url(0), "CELERY_RESULT_BACKEND": server.url(1)})
        with world.start_worker() as worker:
            worker.wait_for_event("worker_ready")
            assert server._process is not None
            os.kill(server._process.pid, signal.SIGSTOP)
            try:
                time.sleep(2.5)  # a heartbeat is due meanwhile
                assert worker.stop() == 0
            finally:
                os.kill(server._process.pid, signal.SIGCONT)
