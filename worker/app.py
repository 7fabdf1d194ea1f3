"""The Celery app: `celery -A worker worker`, `… inspect ping`, `… flower`.

Importing this module reads no setting and makes no folder. That happens when Celery first asks for its
configuration. The signal handlers below are the only code that runs when a worker starts.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
from celery import Celery, signals
from celery.loaders.app import AppLoader
from celery.worker import state as worker_state
from kombu.transport import TRANSPORT_ALIASES

import worker.runtime.load  # registers `inspect load`
import worker.runtime.scheduled  # registers `inspect scheduled`  # noqa: F401
from worker.broker import purging
from worker.config.celery import celery_config, make_folders
from worker.config.logs import capture_output, get_logger, release_output
from worker.config.logs import setup_logging as setup_our_logging
from worker.config.settings import load_settings, misspelt_settings
from worker.counters import keep_for_parent
from worker.erasure.mentions import scans_named
from worker.intake.inbox import InboxStep
from worker.keys import scan_ids_in
from worker.ledger.base import LedgerError
from worker.models.loading import count_models, get_estimator, get_face_detector, limit_threads
from worker.models.memory import import_libraries
from worker.models.weights import fetch_weights
from worker.runtime import maintenance  # noqa: F401  starts with beat
from worker.runtime.delayed import MoveDelayed
from worker.runtime.heartbeat import HeartbeatStep
from worker.runtime.housekeeping import HousekeepingStep
from worker.runtime.pause import PauseIntake
from worker.runtime.reports import Kind, is_replaceable, send_counts, send_report
from worker.runtime.serve_metrics import ServeMetrics
from worker.runtime.short_errors import shorten_errors
from worker.runtime.shutdown import GracefulShutdown
from worker.runtime.time_limits import RestoreTimeLimits
from worker.runtime.wait_for_models import WaitForModels
from worker.scans.cancel import cancel
from worker.scans.self_check import ProcessUnfit, check_process
from worker.scans.services import wait_for_services
from worker.storage.base import StorageError
from worker.storage.opening import open_storages
from worker.tracing import flush

log = get_logger(__name__)

EX_CONFIG: Final = 78  # from sysexits.h
PROGRAMS: Final = ("worker", "beat", "flower")  # commands of Celery that run on and write a log
UNFIT_PAUSE_S: Final = 10.0  # before a process that cannot start is replaced
CANNOT_START: Final = signal.SIGRTMIN + 1
# Kombu's own transport for files reads messages that are half written, and forgets queues.
TRANSPORT_ALIASES["filesystem"] = "worker.broker.filesystem:Transport"
# Kombu's own transport for Redis ends at an entry that is no message, and again after each restart.
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "worker.broker.redis:Transport"
TRANSPORT_ALIASES["sentinel"] = "worker.broker.redis:SentinelTransport"


def _cancel_purged(messages: list[bytes]) -> None:
    """Cancel the scans of messages that were purged. Reconcile would send them again."""
    settings = load_settings()
    _, results = open_storages(settings)
    found = set[str]().union(*map(scans_named, messages))
    for scan_id in scan_ids_in(sorted(found)):
        try:
            cancel(scan_id, settings, results)
        except (LedgerError, StorageError) as error:
            log.error("purged_scan_not_cancelled", scan_id=scan_id, reason=str(error))


purging.on_purge = _cancel_purged


class Loader(AppLoader):
    """Makes Celery's configuration when it is first needed, so that importing the app reads no setting."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        settings = load_settings()
        command = click.get_current_context(silent=True)
        if command is not None and command.info_name in PROGRAMS:
            capture_output(settings.log_format, settings.log_level)
            for variable, nearest in misspelt_settings():
                log.warning("variable_unknown", variable=variable, nearest=nearest)
        make_folders(settings)
        return celery_config(settings)


app = Celery("worker", loader=Loader, events="worker.runtime.event_dispatcher:Events")
app.steps["worker"].update((ServeMetrics, WaitForModels, InboxStep, HousekeepingStep))
app.steps["consumer"].update((GracefulShutdown, HeartbeatStep, MoveDelayed, PauseIntake, RestoreTimeLimits))


class _Started:
    """What the parent process sets, and the child processes inherit."""

    parent: int | None = None
    process: int | None = None  # the last process that loaded its model; a forked child inherits its parent's
    processes: int = 1
    ready: bool = False  # the worker was ready before this process was forked


@signals.setup_logging.connect
def _setup_logging(loglevel: int, logfile: str | None = None, **_: Any) -> None:
    settings = load_settings()
    setup_our_logging(settings.log_format, settings.log_level, others=loglevel, logfile=logfile)


@signals.worker_init.connect
def _before_pool(sender: Any, **_: Any) -> None:
    _Started.parent = os.getpid()
    _Started.processes = sender.concurrency

    def stop(*_: Any) -> None:
        sender.exitcode = EX_CONFIG
        worker_state.should_terminate = EX_CONFIG

    signal.signal(CANNOT_START, stop)
    import_libraries(load_settings())


@signals.worker_shutdown.connect
def _release_output(**_: Any) -> None:
    # On SIGHUP, Celery starts the worker again in the same process, with `sys.argv`. After `python -m celery`
    # that begins with a file of the package, which cannot be run by itself.
    if Path(sys.argv[0]).parts[-2:] == ("celery", "__main__.py"):
        sys.argv[:] = sys.orig_argv[1:]
    release_output()


@signals.worker_ready.connect
def _log_ready(**_: Any) -> None:
    _Started.ready = True
    log.info("worker_ready", processes=_Started.processes)
    queue, taken = load_settings().queue, list(app.amqp.queues.consume_from)
    if queue not in taken:
        log.warning("queue_not_served", queue=queue, taken=taken, cure="set QUEUE in place of -Q")


@signals.worker_process_init.connect
def _start_process(**_: Any) -> None:
    """Load the model before the first scan comes, and check that this process can work."""
    if _Started.process == os.getpid():
        return
    _Started.process = os.getpid()
    shorten_errors()
    settings = load_settings()
    if is_replaceable():
        keep_for_parent()
    try:
        threads = limit_threads(settings, _Started.processes)
        fetch_weights(settings)
        model = get_estimator(settings).name
        get_face_detector(settings)
        check_process(settings)
        if not _Started.ready:
            wait_for_services(settings, lambda reason: send_report(Kind.WAITS, reason))
        log.info("process_ready", model=model, threads=threads)
        count_models(settings)
        send_counts()
        send_report(Kind.READY)
    except Exception as error:
        # Celery would log the error and go on without a model. The traceback is left out if the text of the
        # error is written for a person.
        readable = _is_readable(error)
        reason = str(error) if readable else f"{type(error).__name__}: {error}"
        log.critical("cannot_start", reason=reason, model=settings.model, exc_info=not readable)
        if _Started.ready and is_replaceable():
            # The worker goes on with its other processes, and stops taking scans if this happens again.
            send_report(Kind.UNFIT, f"it cannot start: {reason}")
            time.sleep(UNFIT_PAUSE_S)
            os._exit(EX_CONFIG)
        _end_worker()


@signals.worker_process_shutdown.connect
def _send_spans(**_: Any) -> None:
    flush()


def _is_readable(error: Exception) -> bool:
    if isinstance(error, ImportError):  # the import of pose may be what failed
        return False
    from pose.errors import PoseError

    return isinstance(error, (PoseError, ProcessUnfit, StorageError, ValueError))


def _end_worker() -> None:
    if _Started.parent is None:
        raise SystemExit(EX_CONFIG)
    os.kill(_Started.parent, CANNOT_START)
    if os.getpid() != _Started.parent:
        # Wait until the parent has read the signal and kills this process. If this process ended before, the
        # parent would start a new one in its place, again and again.
        time.sleep(10)
        os._exit(EX_CONFIG)
