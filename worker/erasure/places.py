"""All places where the id of a scan may stand, and how it is removed from there.

Storage, ledger and events remove by `purge` and `forget`. The queue, dead letters, the inbox and Celery's
results are searched here: their keys do not say which scan they are about.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import redis
from celery import Celery
from celery.backends.base import DisabledBackend
from celery.backends.filesystem import FilesystemBackend
from celery.backends.redis import RedisBackend
from kombu.exceptions import OperationalError
from kombu.transport import filesystem
from kombu.transport import redis as kombu_redis

from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.erasure.file_places import remove_files
from worker.erasure.redis_places import (
    remove_from_dead_lists,
    remove_from_inbox,
    remove_from_queues,
    remove_from_results,
)
from worker.keys import ScanId
from worker.ledger.base import Ledger, LedgerUnavailable
from worker.ledger.opening import open_ledger
from worker.scans.events import Events, open_events

MESSAGES: Final = "messages in the queue"
DEAD_LETTERS: Final = "dead letters"
RESULTS: Final = "results of Celery"
INBOX: Final = "entries of the inbox"
LEDGER: Final = "entries of the ledger"
EVENTS: Final = "events"

Removed = dict[str, Counter[str]]  # what was removed -> scan id -> number


class SharedPlaces:
    """The places that all scans share, so that one search removes many scans.

    Args:
        settings: Of this process.
        app: The Celery app, for the queue and the results.
    """

    def __init__(self, settings: Settings, app: Celery) -> None:
        self._settings = settings
        self._app = app
        self._ledger: Ledger = open_ledger(settings)
        self._events: Events = open_events(settings)

    def remove(self, scan_ids: frozenset[ScanId]) -> Removed:
        """Remove all that names one of the scans. Return the numbers of what was removed.

        Raises:
            LedgerUnavailable: Redis or a file cannot be used.
        """
        removed: Removed = defaultdict(Counter)
        try:
            self._remove_messages(scan_ids, removed)
            removed[RESULTS] += self._remove_results(scan_ids)
            if self._settings.redis_url:
                master = self._settings.redis_master_name
                with open_redis(self._settings.redis_url, master_name=master) as client:
                    removed[INBOX] += remove_from_inbox(client, self._settings, scan_ids)
                    removed[DEAD_LETTERS] += remove_from_dead_lists(client, scan_ids)
            removed[LEDGER] += Counter({scan_id: self._ledger.forget(scan_id) for scan_id in scan_ids})
            removed[EVENTS] += self._events.forget(scan_ids)
        except (redis.RedisError, OperationalError, OSError) as error:
            # Leave out the error's own text: it may contain an address.
            raise LedgerUnavailable(
                f"the queue, Celery's results, events or locks cannot be used: {type(error).__name__}"
            ) from None
        return removed

    def unsearched(self) -> list[str]:
        """Return what cannot be searched for the scans, for a person to read."""
        found = []
        if not isinstance(self._app.backend, (RedisBackend, FilesystemBackend, DisabledBackend)):
            found.append("Celery's results: this kind of store cannot be searched; they expire by themselves")
        with self._app.connection_for_write() as connection:
            if not isinstance(connection.transport, (kombu_redis.Transport, filesystem.Transport)):
                found.append("the queue: this kind of broker cannot be searched; workers refuse the scan")
        return found

    def _remove_messages(self, scan_ids: frozenset[ScanId], removed: Removed) -> None:
        with self._app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            if isinstance(channel, kombu_redis.Channel):
                removed[DEAD_LETTERS] += remove_from_dead_lists(channel.client, scan_ids)
                removed[MESSAGES] += remove_from_queues(channel, self._app.amqp.queues, scan_ids)
            elif isinstance(channel, filesystem.Channel):
                removed[MESSAGES] += remove_files(Path(channel.data_folder_in), "", scan_ids)

    def _remove_results(self, scan_ids: frozenset[ScanId]) -> Counter[str]:
        backend: Any = self._app.backend
        if isinstance(backend, RedisBackend):
            return remove_from_results(backend, scan_ids)
        if isinstance(backend, FilesystemBackend):
            path = Path(os.fsdecode(backend.path))
            return remove_files(path, backend.task_keyprefix.decode(), scan_ids)
        return Counter()
