"""The Celery app: `celery -A worker worker`, `… inspect ping`, `… flower`.

Importing this reads no setting and makes no folder; that happens when Celery first asks for its
configuration. The signals below are the only code that runs at the start of a worker.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

from celery import Celery, signals
from celery.loaders.app import AppLoader
from celery.worker import state as worker_state
from kombu.transport import TRANSPORT_ALIASES

from worker.config.celery import celery_config, make_folders
from worker.config.logs import get_logger
from worker.config.logs import setup_logging as setup_our_logging
from worker.config.settings import load_settings
from worker.intake.inbox import InboxStep
from worker.models.loading import get_estimator, limit_threads
from worker.models.weights import fetch_weights
from worker.runtime.heartbeat import Heartbeat
from worker.runtime.shutdown import GracefulShutdown
from worker.runtime.time_limits import RestoreTimeLimits
from worker.runtime.wait_for_models import WaitForModels, report_ready
from worker.storage.base import StorageError
from worker.storage.opening import open_storages

log = get_logger(__name__)

EX_CONFIG: Final = 78  # as in sysexits.h
CANNOT_START: Final = signal.SIGRTMIN + 1
# Same files, same URL, without the half-read messages and forgotten queues of kombu's own.
TRANSPORT_ALIASES["filesystem"] = "worker.broker.filesystem:Transport"
# Kombu's own ends, for ever, with an entry that is no message.
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "worker.broker.redis:Transport"


class Loader(AppLoader):
    """Gives Celery its configuration when it is first needed, so that importing the app needs none."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        settings = load_settings()
        make_folders(settings)
        return celery_config(settings)


app = Celery("worker", loader=Loader, events="worker.runtime.event_dispatcher:Events")
app.steps["worker"].update((WaitForModels, InboxStep))
app.steps["consumer"].update((GracefulShutdown, Heartbeat, RestoreTimeLimits))


class _Start:
    """What the parent knows and its children, forked from it, read."""

    parent: int | None = None
    process: int | None = None  # the one that was started last; in a child that is forked, its parent or none
    processes: int = 1


@signals.setup_logging.connect
def _setup_logging(loglevel: int, logfile: str | None = None, **_: Any) -> None:
    settings = load_settings()
    setup_our_logging(settings.log_format, settings.log_level, others=loglevel, logfile=logfile)


@signals.worker_init.connect
def _before_pool(sender: Any, **_: Any) -> None:
    _Start.parent = os.getpid()
    _Start.processes = sender.concurrency

    def stop(*_: Any) -> None:
        sender.exitcode = EX_CONFIG
        worker_state.should_terminate = EX_CONFIG

    signal.signal(CANNOT_START, stop)


@signals.worker_ready.connect
def _tell_ready(**_: Any) -> None:
    log.info("worker_ready", processes=_Start.processes)


@signals.worker_process_init.connect
def _start_process(**_: Any) -> None:
    """Load the model before the first scan comes. A process that cannot ends the worker, with the reason."""
    if _Start.process == os.getpid():
        return
    _Start.process = os.getpid()
    settings = load_settings()
    try:
        threads = limit_threads(settings, _Start.processes)
        fetch_weights(settings)
        model = get_estimator(settings).name
        open_storages(settings)
        log.info("process_ready", model=model, threads=threads)
        report_ready()
    except Exception as error:
        # Celery would log this and go on without a model. Where the reason is meant for a person, it is
        # said without the traceback.
        told = _told(error)
        reason = str(error) if told else f"{type(error).__name__}: {error}"
        log.critical("cannot_start", reason=reason, model=settings.model, exc_info=not told)
        _end_worker()


def _told(error: Exception) -> bool:
    if isinstance(error, ImportError):  # maybe of pose itself
        return False
    from pose.errors import PoseError

    return isinstance(error, (PoseError, StorageError, ValueError))


def _end_worker() -> None:
    if _Start.parent is None:
        raise SystemExit(EX_CONFIG)
    os.kill(_Start.parent, CANNOT_START)
    if os.getpid() != _Start.parent:
        # The parent would start a new process in place of one that ended, and so on until it reads the
        # signal. It ends this one by killing it.
        time.sleep(10)
        os._exit(EX_CONFIG)
