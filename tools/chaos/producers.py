"""Upload scans and announce them, without the project's own code. Retry until it works."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import redis
from botocore.exceptions import BotoCoreError, ClientError
from celery import Celery
from kombu.exceptions import OperationalError

from tools.chaos.malformed import ARRIVALS as BAD_ARRIVALS
from tools.chaos.malformed import MESSAGES
from tools.chaos.plan import Form, Step
from tools.chaos.scans import KINDS
from tools.chaos.servers import Servers
from tools.chaos.settings import ARRIVALS, SCANS

QUEUE: Final = "celery"
PASSING: Final = (redis.RedisError, OSError, OperationalError, BotoCoreError, ClientError)
PAUSE_S: Final = 0.3


class Producer:
    """Do the steps of a plan by name. Retry each until it succeeds.

    Attributes:
        bad_messages, bad_arrivals: marks of the malformed entries that were put on the lists.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._celery = Celery(broker=servers.redis_server.url())
        # Retry here what cannot be sent.
        self._celery.conf.update(task_publish_retry=False, broker_transport_options={"max_retries": 0})
        self._keys: dict[str, list[str]] = {}
        self.bad_messages: list[str] = []
        self.bad_arrivals: list[str] = []

    def do(self, step: Step) -> None:
        """Do one of the methods below."""
        getattr(self, step.name)(*step.arguments)

    def bring(self, scan_id: str, kind: str) -> None:
        """Upload a scan; the first half of its files if the others come late."""
        names = list(KINDS[kind].files)
        self._keys[scan_id] = [f"{scan_id}/{name}" for name in names]
        self._put(scan_id, kind, names[: len(names) // 2] if KINDS[kind].late else names)

    def bring_rest(self, scan_id: str, kind: str) -> None:
        """Upload the files of a scan that come late."""
        names = list(KINDS[kind].files)
        self._put(scan_id, kind, names[len(names) // 2 :])

    def _put(self, scan_id: str, kind: str, names: Sequence[str]) -> None:
        for name in names:
            data = KINDS[kind].files[name]
            put = {"Bucket": SCANS, "Key": f"{scan_id}/{name}", "Body": data}
            self._persist(partial(self._servers.s3.put_object, **put))

    def announce(self, scan_id: str, form: Form, choice: float = 0.0) -> None:
        """Announce a scan."""
        match form:
            case Form.TASK:
                self._persist(lambda: self._send_task({"scan_id": scan_id}, choice))
            case Form.JSON:
                self._push(ARRIVALS, json.dumps({"scan_id": scan_id}))
            case Form.LIST:
                self._push(ARRIVALS, json.dumps({"scan_ids": [scan_id, scan_id]}))
            case Form.NOTICES:
                for key in self._keys[scan_id]:
                    self._push(ARRIVALS, json.dumps(notice(key, choice)))

    def bad_message(self, which: int, number: int) -> None:
        """Put a malformed message on Celery's queue."""
        mark = f"bad-message-{number:03d}"
        self._push(QUEUE, MESSAGES[which](mark))
        self.bad_messages.append(mark)

    def bad_arrival(self, which: int, number: int) -> None:
        """Put a malformed entry on the list of arrivals."""
        mark = f"bad-arrival-{number:03d}"
        self._push(ARRIVALS, BAD_ARRIVALS[which](mark))
        self.bad_arrivals.append(mark)

    def _send_task(self, arguments: dict[str, str], choice: float) -> None:
        as_object = choice < 0.3
        with self._celery.connection_for_write() as connection:
            self._celery.send_task(
                "worker.process_scan",
                args=[arguments] if as_object else [],
                kwargs={} if as_object else arguments,
                connection=connection,
            )

    def _push(self, key: str, entry: bytes | str) -> None:
        self._persist(lambda: self._servers.redis.lpush(key, entry))

    def _persist(self, do: Callable[[], object]) -> None:
        while True:
            try:
                do()
                return
            except PASSING:
                time.sleep(PAUSE_S)


def notice(key: str, choice: float) -> dict[str, Any] | list[Any]:
    """Return the notification of a stored object, in the format of one of several servers."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": SCANS}, "object": {"key": quote(key, safe="/"), "size": 1}},
    }
    if choice < 0.25:  # MinIO on a Redis list
        return [
            {"Event": [{**record, "eventName": "s3:ObjectCreated:Put"}], "EventTime": "2026-01-01T00:00:00Z"}
        ]
    if choice < 0.5:  # Ceph
        plain = {"bucket": {"name": SCANS}, "object": {"key": key, "size": 1}}
        return {"Records": [{**record, "eventSource": "ceph:s3", "s3": plain}]}
    if choice < 0.75:  # SeaweedFS
        return {"key": f"/buckets/{SCANS}/{key}", "event_type": "create", "message": {}}
    return {"Records": [record]}


def follow(steps: Sequence[Step], do: Callable[[Step], None], began: float, stop: threading.Event) -> None:
    """Do each step at its time. `began` is the start on the monotonic clock."""
    for step in steps:
        while (wait_s := began + step.at - time.monotonic()) > 0 and not stop.is_set():
            stop.wait(min(wait_s, 1))
        if stop.is_set():
            return
        do(step)
