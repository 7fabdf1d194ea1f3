"""Celery's broker without a server, made safe for several processes that start and end at any time.

It reads and writes the same files as `kombu.transport.filesystem`, so any Celery producer can use the same
folders. Three things differ. Kombu writes a message, and the table of an exchange, under its final name, so
that a reader may see half of it, lose it, or end with a JSON error; here both appear whole. Kombu takes a
message by way of the system's temporary folder; here it stays in the broker's own. And kombu never forgets a
listener: each event goes for ever into the queue of a `watch` or Flower that was killed; here such a queue is
dropped once nobody has read it for ten minutes.

What it still cannot do: a worker that is killed loses the message it works on.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads

from worker.broker.envelope import InvalidMessage, check_envelope

log = logging.getLogger(__name__)

ABANDONED_AFTER_S: Final = 600.0
PRUNE_EVERY_S: Final = 60.0
Row = tuple[str, str, str]
_binding = threading.Lock()


class Channel(filesystem.Channel):
    """Messages as files `<ms>_<uuid>.<queue>.msg` in one folder, bindings as tables in another."""

    _next_prune: float | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[tuple[str, dict[str, Any]]] = []

    @property
    def _messages(self) -> Path:
        return Path(self.data_folder_in)

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        # Messages are taken in the order of their names: as many digits at any time.
        name = f"{time.time_ns() // 1_000_000:015d}_{uuid.uuid4()}.{queue}.msg"
        _write_whole(Path(self.data_folder_out) / name, dumps(payload))
        self._prune_if_due()

    def _restore(self, message: Any) -> None:
        try:
            super()._restore(message)
        except OSError as error:
            # The disk is full. Not given back, it would count as one that is at work, and no other be taken.
            log.error("a message is kept in memory: %s", os.strerror(error.errno or 0))
            info = message.delivery_info
            for queue in self._lookup(info["exchange"], info["routing_key"]):
                self._kept.append((queue, message.serializable()))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for kept in self._kept:
            if kept[0] == queue:
                self._kept.remove(kept)
                return kept[1]
        for name in sorted(os.listdir(self._messages)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = self._messages / f".taken-{name}"
            try:
                # A rename has one winner, however many workers look at the same message.
                os.rename(self._messages / name, taken)
            except FileNotFoundError:
                continue
            text = taken.read_bytes()
            taken.unlink()
            try:
                return check_envelope(text)
            except InvalidMessage as error:
                # The worker would end with this, and again at each start if the file stayed.
                log.error("a message that is not Celery's was thrown away: %s", error)
        raise Empty

    def get_table(self, exchange: str) -> list[Any]:
        return [filesystem.exchange_queue_t(*row) for row in _read_table(self._exchange_file(exchange))]

    def queue_bind(self, *args: Any, **options: Any) -> None:
        # Kombu notes a binding for the whole process before it is written. A thread that binds the same
        # queue meanwhile must wait for that, or its first messages have nowhere to go.
        with _binding:
            super().queue_bind(*args, **options)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = (routing_key or "", pattern or "", queue or "")
        with _table(self._exchange_file(exchange)) as edit:
            edit(lambda rows: rows if row in rows else [row, *rows])

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *_: Any, **__: Any) -> None:
        self._purge(queue)
        gone = (routing_key or "", pattern or "", queue or "")
        with _table(self._exchange_file(exchange)) as edit:
            edit(lambda rows: [row for row in rows if row != gone])

    def _prune_if_due(self) -> None:
        now = time.monotonic()
        if self._next_prune is None or now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY_S
            prune(self._messages, self.control_folder)


class Transport(filesystem.Transport):
    """The transport behind `filesystem://`, see `worker.app`.

    Kombu's makes a worker run its other main loop, with threads and with a lock that all processes of its
    pool wait behind: it looks only every two seconds whether a scan is done, and hangs for ever once a
    waiting process is killed. This one asks for messages from the event loop, as Redis' does.
    """

    Channel = Channel
    implements = filesystem.Transport.implements.extend(asynchronous=True)
    # A disk that is full, or away, is a broker that is away, and does not end the worker.
    connection_errors = (*filesystem.Transport.connection_errors, OSError)  # type: ignore[assignment]

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        loop.call_repeatedly(self.polling_interval, self._take_all)

    def _take_all(self) -> None:
        """Deliver what is there, up to what the consumers are willing to take."""
        # Empty is also raised when they have as much as they may.
        with contextlib.suppress(Empty):
            while self.cycle is not None:
                self.cycle.get(self._deliver)


def prune(messages: Path, control: Path, older_than_s: float = ABANDONED_AFTER_S) -> None:
    """Drop the queues of listeners that are gone, with their messages. Queues of tasks are never touched."""
    oldest: dict[str, float] = {}
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for entry in os.scandir(messages):
        queue = entry.name.partition(".")[2].removesuffix(".msg")
        if not _is_listener(queue):
            continue
        try:
            written = entry.stat().st_mtime
        except FileNotFoundError:
            continue
        oldest[queue] = min(written, oldest.get(queue, written))
        files[queue].append(Path(entry.path))
    abandoned = {queue for queue, written in oldest.items() if written < time.time() - older_than_s}
    if not abandoned:
        return
    for path in control.glob("*.exchange"):
        with _table(path) as edit:
            edit(lambda rows: [row for row in rows if row[2] not in abandoned])
    for queue in abandoned:
        for file in files[queue]:
            file.unlink(missing_ok=True)


def _is_listener(queue: str) -> bool:
    return queue.startswith("celeryev.") or queue.endswith(".celery.pidbox")


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is seen whole or not at all. A leading dot keeps the draft from being a message."""
    draft = path.with_name(f".draft-{uuid.uuid4()}")
    try:
        draft.write_text(text)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read_table(path: Path) -> list[Row]:
    try:
        return [(row[0], row[1], row[2]) for row in loads(path.read_text())]
    except FileNotFoundError:
        return []


@contextmanager
def _table(path: Path) -> Iterator[Callable[[Callable[[list[Row]], list[Row]]], None]]:
    """Change a table while nobody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def edit(change: Callable[[list[Row]], list[Row]]) -> None:
            before = _read_table(path)
            after = change(before)
            if after != before:
                _write_whole(path, dumps(after))

        yield edit
