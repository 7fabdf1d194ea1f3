"""Celery's broker without a server: messages as files. Several processes may start and end at any time.

It reads and writes the same files as `kombu.transport.filesystem`, so any Celery producer can use the same
folders. Six things differ:

- A message appears whole. Kombu writes it under its final name, and a reader may see half of it.
- A message is taken by a rename, which one reader wins. Kombu moves it to the system's temporary folder, and
  copies it where that is another disk.
- One process at a time reads or writes a table of bindings. Kombu's reader may find a new table still empty,
  and end with a JSON error.
- A queue counts as bound once its table is written. Kombu's threads share the note that it is bound, which is
  set before the table is written: what another thread sends in between goes to no queue and is lost.
- The worker asks for messages from its event loop, as with Redis. Kombu's transport makes it run its other
  loop, which looks every two seconds and hangs for ever once a waiting process is killed.
- The queue of a listener (`watch`, Flower) is dropped when nobody has read it for ten minutes. Kombu puts
  each event into it for ever.

What it cannot do: a worker that is killed loses the message it works on. Reconcile sends such scans again.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps

from worker.broker.envelope import InvalidMessage, check_envelope
from worker.broker.purging import is_task_queue, tell_purged

log = logging.getLogger(__name__)

ABANDONED_AFTER_S: Final = 600.0
PRUNE_EVERY_S: Final = 60.0
_BINDING: Final = threading.Lock()


class QoS(virtual.QoS):
    """Stop counting a message that a full disk does not take back, as `worker.broker.redis.QoS` does."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """See kombu."""
        try:
            super().reject(delivery_tag, requeue)
        finally:
            self._quick_ack(delivery_tag)


class Channel(filesystem.Channel):
    """Messages as files `<ms>_<uuid>.<queue>.msg` in one folder, bindings as tables in another."""

    QoS = QoS
    _next_prune: float | None = None

    @property
    def _messages(self) -> Path:
        return Path(self.data_folder_in)

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        # Messages are taken in the order of their names, so the time always has as many digits.
        name = f"{time.time_ns() // 1_000_000:015d}_{uuid.uuid4()}.{queue}.msg"
        draft = self._messages / f".draft-{name}"  # the leading dot keeps it from being a message
        try:
            draft.write_text(dumps(payload))
            os.replace(draft, Path(self.data_folder_out) / name)
        finally:
            draft.unlink(missing_ok=True)
        now = time.monotonic()
        if self._next_prune is None or now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY_S
            self.prune()

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for name in sorted(os.listdir(self._messages)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = self._messages / f".taken-{name}"
            try:
                os.rename(self._messages / name, taken)
            except FileNotFoundError:  # another worker was faster
                continue
            text = taken.read_bytes()
            taken.unlink()
            try:
                return check_envelope(text)
            except InvalidMessage as error:
                log.error("a message that is not Celery's was thrown away: %s", error)
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        """See kombu."""
        with self._one_at_a_time():
            return list(super().get_table(exchange))

    def queue_bind(self, *args: Any, **options: Any) -> None:
        """See kombu."""
        with _BINDING:
            super().queue_bind(*args, **options)

    def _queue_bind(self, *args: Any) -> None:
        with self._one_at_a_time():
            super()._queue_bind(*args)

    def _delete(self, *args: Any, **options: Any) -> None:
        with self._one_at_a_time():
            super()._delete(*args, **options)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with (Path(self.control_folder) / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _purge(self, queue: str) -> int:
        """See kombu."""
        messages: list[bytes] = []
        for path in self._messages.glob("*.msg"):
            if path.name.partition(".")[2] != f"{queue}.msg":
                continue
            purged = path.with_name(f".purged-{path.name}")
            try:
                os.rename(path, purged)
            except FileNotFoundError:  # a worker was faster
                continue
            messages.append(purged.read_bytes())
            purged.unlink()
        if is_task_queue(queue):
            tell_purged(messages)
        return len(messages)

    def prune(self, older_than_s: float = ABANDONED_AFTER_S) -> None:
        """Drop the queues of listeners that are gone, with their messages. Leave the queues of tasks."""
        oldest: dict[str, float] = {}
        for entry in os.scandir(self._messages):
            queue = entry.name.partition(".")[2].removesuffix(".msg")
            if is_task_queue(queue):
                continue
            with contextlib.suppress(FileNotFoundError):
                oldest[queue] = min(entry.stat().st_mtime, oldest.get(queue, float("inf")))
        abandoned = {queue for queue, written in oldest.items() if written < time.time() - older_than_s}
        if not abandoned:
            return
        for path in Path(self.control_folder).glob("*.exchange"):
            for row in self.get_table(path.stem):
                if row.queue in abandoned:
                    self._delete(row.queue, path.stem, row.routing_key, row.pattern)
        for queue in abandoned:  # also those that are in no table
            self._purge(queue)


class Transport(filesystem.Transport):
    """The transport behind `filesystem://`, see `worker.app`."""

    Channel = Channel
    implements = filesystem.Transport.implements.extend(asynchronous=True)
    # Treat a full or missing disk as a lost connection: wait, and try again.
    connection_errors = (*filesystem.Transport.connection_errors, OSError)  # type: ignore[assignment]

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """See kombu."""
        loop.call_repeatedly(self.polling_interval, self._take_all)

    def _take_all(self) -> None:
        # Deliver messages until there is none, or until the consumers have as many as they may.
        with contextlib.suppress(Empty):
            while self.cycle is not None:
                self.cycle.get(self._deliver)
