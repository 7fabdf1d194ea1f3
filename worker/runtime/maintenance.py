"""Maintenance: send lost scans again, look through the storages, erase old results.

It runs in a thread of Celery's beat, not as tasks. A message would wait behind the scans in the queue, expire
there unseen, and keep a process from a scan. Where several beats run, locks in the ledger let one of them
work at a time.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from celery import Celery, signals

from worker.broker.waiting import Waiting, waiting_scans
from worker.config.logs import get_logger, task_context
from worker.config.settings import Settings, load_settings
from worker.erasure.retention import erase_old_results
from worker.ledger.base import BEAT, Lease, LedgerError
from worker.ledger.opening import open_ledger
from worker.metrics.server import serve_look
from worker.queue import sender
from worker.scans.reconcile import Resender, reconcile, sweep_storage
from worker.scans.sweep import Sweep
from worker.storage.base import StorageError
from worker.storage.opening import open_storages

log = get_logger(__name__)

SLICE_EVERY_S: Final = 30.0  # a slice of work on the storages takes ten seconds at most
STOP_TIMEOUT_S: Final = 5.0


class Maintenance:
    """Does the regular work in a thread.

    Args:
        app: The Celery app.
        settings: Of this process.
        monotonic: Returns seconds.
    """

    def __init__(
        self, app: Celery, settings: Settings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._settings = settings
        self._monotonic = monotonic
        self._sweep: Sweep | None = None
        self._lease: Lease | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        start = monotonic()
        self._works: list[tuple[str, float, Callable[[], object]]] = [
            ("overdue scans", settings.reconcile_every_s, self._send_overdue),
            ("all scans", min(SLICE_EVERY_S, settings.queue_lease_s), self._sweep_slice),
        ]
        if settings.retention_days is not None:
            self._works.append(("old results", SLICE_EVERY_S, self._erase_old))
        self._due = {name: start for name, _, _ in self._works}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, and wait for it for some seconds."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)
        if self._lease is not None:
            self._lease.release()

    def run_due(self) -> float:
        """Do what is due. Return the seconds until something is due again."""
        self._show_that_it_runs()
        for name, every_s, work in self._works:
            if self._stop.is_set() or self._monotonic() < self._due[name]:
                continue
            self._due[name] = self._monotonic() + every_s
            try:
                with task_context():
                    work()
            except Exception as error:  # only this thread does the work, so it must not end
                # The text of our own errors only. Other texts may hold an address.
                ours = isinstance(error, (StorageError, LedgerError))
                reason = str(error) if ours else type(error).__name__
                log.warning("maintenance_failed", work=name, reason=reason)
        return max(0.0, min(self._due.values()) - self._monotonic())

    def _show_that_it_runs(self) -> None:
        """Hold a lock that `python -m worker doctor` looks for. It keeps no other beat from its work."""
        if self._lease is None or not self._lease.held():
            with suppress(LedgerError):  # the works say that the ledger is away
                self._lease = open_ledger(self._settings).lock(BEAT)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.run_due())

    def _send_overdue(self) -> None:
        storages = open_storages(self._settings)
        reconcile(self._settings, *storages, sender(self._app), waiting=self._waiting)

    def _sweep_slice(self) -> None:
        scans, results = open_storages(self._settings)
        ledger = open_ledger(self._settings)
        if self._sweep is None:
            self._sweep = Sweep(self._settings, ledger, scans, results)
        resender = Resender(self._settings, ledger, results, sender(self._app), self._waiting)
        sent = sweep_storage(self._sweep, resender)
        if sent:
            log.info("swept", sent=len(sent))

    def _waiting(self) -> Waiting:
        return waiting_scans(self._app)

    def _erase_old(self) -> None:
        erase_old_results(self._settings, *open_storages(self._settings), self._app)


@signals.beat_init.connect
def _start(sender: Any, **_: Any) -> None:
    """Start the maintenance in the process of beat, also where beat is embedded (`celery worker -B`)."""
    maintenance = Maintenance(sender.app, load_settings())
    atexit.register(maintenance.stop)
    maintenance.start()
    serve_look(sender.app, load_settings())
