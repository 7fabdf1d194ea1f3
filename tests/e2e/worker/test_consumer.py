"""The consumer over the embedded broker; over Redis, with many more messages, in test_redis_broker.py."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import NotRegistered
from celery.worker import consumer
from kombu.message import Message
from kombu.serialization import disable_insecure_serializers, enable_insecure_serializers

from tests.support.running import PATIENCE_S, Running, World, wait_until
from worker.runtime.consumer import Consumer

SECRET = "Zoe-1234"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("consumer"))


@pytest.fixture(scope="module")
def worker(world) -> Iterator[Running]:
    with world.start_worker() as worker:
        worker.wait_for_event("process_ready")
        yield worker


@pytest.fixture(scope="module")
def producer(world, worker) -> Iterator[Celery]:
    queue, control = (f"{world.folder}/.run/broker/{name}" for name in ("queue", "control"))
    app = Celery(
        "producer",
        broker="filesystem://localhost",
        backend=f"file://{world.folder}/.run/states",
        set_as_current=False,
    )
    app.conf.broker_transport_options = {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": control,
    }
    yield app
    app.close()


def test_a_task_that_there_is_not_is_refused_and_whoever_waits_for_it_is_told(producer, worker):
    answer = producer.send_task("os.system", args=[SECRET])
    with pytest.raises(NotRegistered):
        answer.get(timeout=PATIENCE_S)
    assert worker.events("message_refused")[-1]["reason"] == "there is no such task"


@pytest.mark.parametrize(
    "arguments", [{"scan_id": f"../{SECRET}"}, {"path": "/etc"}, {"scan_id": "a", "force": 1}]
)
def test_a_message_that_names_no_scan_is_refused_and_whoever_waits_for_it_is_told(
    producer, worker, arguments
):
    answer = producer.send_task("worker.process_scan", kwargs=arguments)
    with pytest.raises(Exception, match=r"a scan id is|nothing else|true or false") as error:
        answer.get(timeout=PATIENCE_S)
    assert type(error.value).__name__ == "ScanFailed"
    assert worker.events("message_refused")[-1]["reason"] == str(error.value)


def test_pickle_is_refused(producer, worker):
    enable_insecure_serializers(["pickle"])
    try:
        producer.send_task("worker.process_scan", kwargs={"scan_id": SECRET}, serializer="pickle")
    finally:
        disable_insecure_serializers()
    wait_until(lambda: "nothing else is taken" in worker.log(), "it to be refused")


def test_the_worker_lives_and_its_log_repeats_nothing(producer, worker, world, make_scan):
    world.put_scan("after", make_scan(frames=1))
    producer.send_task("worker.process_scan", kwargs={"scan_id": "after"})
    world.wait_for("after", "completed")
    assert SECRET not in worker.log()


class Refused:
    """A message that notes whether it was rejected."""

    def __init__(self, message: Message) -> None:
        self.rejected = False
        self._message = message
        self._raw: dict[str, Any] = {}
        self.channel = None
        self.acknowledged = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def reject_log_error(self, *_: object) -> None:
        self.rejected = True


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError, IndexError])
def test_what_celery_stumbles_over_is_rejected(error, monkeypatch):
    def stumble(message: Any) -> None:
        raise error

    monkeypatch.setattr(consumer.Consumer, "create_task_handler", lambda self, *_, **__: stumble)
    taker = Consumer.__new__(Consumer)
    taker.app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"celery": None})))
    taker.connection_errors = ()
    message = Refused(
        Message("[[], {}, {}]", content_type="application/json", headers={"task": "t", "id": "1"})
    )
    taker.create_task_handler()(message)
    assert message.rejected


def test_a_lost_connection_is_no_fault_of_the_message(monkeypatch):
    def stumble(message: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(consumer.Consumer, "create_task_handler", lambda self, *_, **__: stumble)
    message = Message("[[], {}, {}]", content_type="application/json", headers={"task": "t", "id": "1"})
    with pytest.raises(ConnectionResetError):
        Consumer.__new__(Consumer).create_task_handler()(message)
