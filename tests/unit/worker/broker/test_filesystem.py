from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.transport import filesystem as kombus

from worker.broker.filesystem import ABANDONED_AFTER_S, Channel, Transport

TASKS = Queue("celery", Exchange("celery", "direct"), "celery")
EVENTS = Exchange("celeryev", "topic")


@pytest.fixture
def folders(tmp_path) -> dict[str, Any]:
    # A process remembers what it bound, and takes the folders of two tests for one broker.
    kombus.Transport.global_state.clear()
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    queue, control = str(tmp_path / "queue"), str(tmp_path / "control")
    return {"data_folder_in": queue, "data_folder_out": queue, "control_folder": control}


def connect(folders: dict[str, Any], transport: Any = Transport) -> Connection:
    return Connection(transport=transport, transport_options=folders)


@pytest.fixture
def connection(folders) -> Iterator[Connection]:
    with connect(folders) as connection:
        yield connection


@pytest.fixture
def messages(folders) -> Path:
    return Path(folders["data_folder_in"])


def send(connection: Connection, number: int) -> None:
    connection.Producer().publish(
        {"number": number}, exchange=TASKS.exchange, routing_key=TASKS.routing_key, declare=[TASKS]
    )


def send_event(connection: Connection, number: int) -> None:
    connection.Producer().publish({"number": number}, exchange=EVENTS, routing_key="worker.heartbeat")


def receive(connection: Connection) -> int | None:
    message = TASKS(connection.default_channel).get(no_ack=True)
    return None if message is None else message.decode()["number"]


def make_old(path: Path) -> None:
    old = time.time() - ABANDONED_AFTER_S - 1
    os.utime(path, (old, old))


def test_messages_are_taken_in_the_order_in_which_they_came(connection, messages):
    for number in range(5):
        send(connection, number)
        time.sleep(0.002)
    assert [receive(connection) for _ in range(6)] == [0, 1, 2, 3, 4, None]
    assert list(messages.iterdir()) == []


def test_a_message_that_a_full_disk_does_not_take_back_keeps_no_other_waiting(connection, monkeypatch):
    channel = connection.default_channel
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("celery", no_ack=False, callback=lambda _: None, consumer_tag="1")
    send(connection, 1)
    taken = TASKS(channel).get()
    assert not channel.qos.can_consume()
    monkeypatch.setattr(Channel, "_put", lambda *_: os.read(-1, 1))
    with pytest.raises(OSError, match="Bad file descriptor"):
        taken.requeue()
    assert channel.qos.can_consume()


@pytest.mark.parametrize(
    ("sender", "receiver"), [(Transport, kombus.Transport), (kombus.Transport, Transport)]
)
def test_any_celery_producer_can_use_the_same_folders(folders, sender, receiver):
    with connect(folders, sender) as one, connect(folders, receiver) as other:
        send(one, 7)
        assert receive(other) == 7


def test_each_message_is_taken_once_and_whole_however_many_read_and_write(folders):
    taken: list[int] = []
    done = threading.Event()

    def write(first: int) -> None:
        with connect(folders) as connection:
            for number in range(first, first + 50):
                send(connection, number)

    def read() -> None:
        with connect(folders) as connection:
            while True:
                last = done.is_set()
                number = receive(connection)
                if number is not None:
                    taken.append(number)
                elif last:
                    return

    with ThreadPoolExecutor(6) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        writers = [threads.submit(write, first) for first in (0, 50, 100)]
        for writer in writers:
            writer.result()
        done.set()
        for reader in readers:
            reader.result()
    assert sorted(taken) == list(range(150))


def test_no_message_is_lost_while_another_thread_binds_the_queue(folders, monkeypatch):
    binding, write_table = threading.Event(), Channel._queue_bind

    def bind_slowly(*args: Any) -> None:
        binding.set()
        second_sent.wait(0.2)
        write_table(*args)

    def send_one(number: int) -> None:
        with connect(folders) as connection:
            send(connection, number)

    second_sent = threading.Event()
    monkeypatch.setattr(Channel, "_queue_bind", bind_slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(send_one, 1)
        assert binding.wait(10)
        second = threads.submit(send_one, 2)
        second.add_done_callback(lambda _: second_sent.set())
        first.result()
        second.result()
    with connect(folders) as connection:
        assert {receive(connection), receive(connection)} == {1, 2}


def test_no_binding_is_lost_when_many_listeners_start_at_once(folders):
    def bind(number: int) -> None:
        with connect(folders) as connection:
            Queue(f"celeryev.{number}", EVENTS, "#")(connection.default_channel).declare()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(bind, range(24)))
    with connect(folders) as connection:
        bound = {row.queue for row in connection.default_channel.get_table("celeryev")}
    assert bound == {f"celeryev.{number}" for number in range(24)}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b'"text"',
        b'{"scan_id": "a"}',
        json.dumps({"body": "x", "headers": {}, "properties": {}}).encode(),
        json.dumps(
            {
                "body": "not base64",
                "headers": {},
                "properties": {"delivery_info": {}, "delivery_tag": "1", "body_encoding": "base64"},
            }
        ).encode(),
    ],
)
def test_what_is_no_message_is_thrown_away_and_the_next_one_is_taken(connection, messages, text, caplog):
    (messages / "000000_bad.celery.msg").write_bytes(text)
    send(connection, 1)
    assert receive(connection) == 1
    assert "a message that is not Celery's was thrown away" in caplog.text
    assert list(messages.iterdir()) == []


def test_half_written_messages_are_not_taken(connection, messages):
    (messages / ".draft-1.celery.msg").write_text("{")
    channel: Channel = connection.default_channel
    with pytest.raises(Empty):
        channel._get("celery")


def test_the_queue_of_a_listener_that_is_gone_is_dropped(connection, messages):
    gone, there = Queue("celeryev.gone", EVENTS, "#"), Queue("celeryev.there", EVENTS, "#")
    for queue in (gone, there, TASKS):
        queue(connection.default_channel).declare()
    send_event(connection, 1)
    send(connection, 2)
    # The listener that is there has read all but the newest; scans wait as long as they must.
    for path in messages.iterdir():
        if "celeryev.there" not in path.name:
            make_old(path)
    connection.default_channel.prune()
    bound = {row.queue for row in connection.default_channel.get_table("celeryev")}
    assert "celeryev.gone" not in bound
    assert "celeryev.there" in bound
    waiting = sorted(path.name.partition(".")[2] for path in messages.iterdir())
    assert waiting == ["celery.msg", "celeryev.there.msg"]
    assert receive(connection) == 2


def test_sending_drops_the_queues_of_listeners_that_are_gone(connection, messages):
    Queue("celeryev.gone", EVENTS, "#")(connection.default_channel).declare()
    (messages / "0_x.celeryev.gone.msg").write_text("{}")
    make_old(messages / "0_x.celeryev.gone.msg")
    send(connection, 1)
    assert [path.name.partition(".")[2] for path in messages.iterdir()] == ["celery.msg"]


def test_a_deleted_queue_takes_its_messages_and_binding_along(connection, messages):
    queue = Queue("celeryev.1", EVENTS, "#")(connection.default_channel)
    queue.declare()
    send_event(connection, 1)
    queue.delete()
    send_event(connection, 2)
    assert list(messages.iterdir()) == []


def test_messages_are_json_that_other_programs_can_read(connection, messages):
    send(connection, 3)
    (path,) = messages.iterdir()
    envelope = json.loads(path.read_text())
    assert json.loads(base64.b64decode(envelope["body"])) == {"number": 3}
