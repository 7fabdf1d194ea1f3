"""Celery's settings, made from the worker's. Comments say why a setting differs from Celery's default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from worker.config.redis_client import SENTINEL_OPTIONS
from worker.config.settings import Settings, SettingsError
from worker.config.tls import kombu_options

VISIBILITY_TIMEOUT_MARGIN_S: Final = 150
# A Redis that is cut off does not answer. By default Celery waits for it without a limit, in the worker's
# main loop, which then does not handle SIGTERM.
REDIS_TIMEOUT_S: Final = 5.0


def celery_config(settings: Settings) -> dict[str, Any]:
    """Return what `app.conf` is loaded with."""
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": kombu_options(settings.broker_url),
        "broker_transport_options": _transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": settings.queue,
        "result_backend": settings.result_backend,
        "result_backend_transport_options": _master(settings),
        # Ten short tries: no scan fails while the result store is away for a moment, and none waits long for
        # it. What became of a scan is in its status.json.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 10,
        "result_backend_max_sleep_between_retries_ms": 1000,
        "redis_socket_timeout": REDIS_TIMEOUT_S,
        "redis_socket_connect_timeout": REDIS_TIMEOUT_S,
        "result_extended": True,
        "imports": ("worker.tasks",),
        # JSON only: pickle runs code that a message brings.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        # A message leaves the queue when its scan is done, so that the message of a killed process comes
        # back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        # A scan goes on while Redis is away for a moment: its lock keeps other workers from it, and when its
        # message comes again, the scan is done.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_soft_time_limit": settings.soft_time_limit_s,
        "task_time_limit": settings.time_limit_s,
        "worker_consumer": "worker.runtime.consumer:Consumer",
        # For Flower.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "task_track_started": True,
        # For `celery -A worker beat` or `worker -B`, which send no messages of ours: see
        # `worker.runtime.maintenance`. Celery's default scheduler keeps a file of pickles.
        "beat_scheduler": "celery.beat:Scheduler",
        "worker_concurrency": settings.concurrency,
        # A process loads its model before it reports; from a cold disk that takes longer than Celery's 4 s.
        "worker_proc_alive_timeout": 300.0,
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    scheme = settings.broker_url.partition("://")[0]
    if scheme == "filesystem":
        queue, control = broker_folders(settings)
        return {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": str(control),
            # Flower waits a second for an answer, which is kombu's default interval.
            "polling_interval": 0.2,
        }
    if scheme in ("redis", "rediss", "sentinel"):
        return {
            # A message that is not acknowledged within this time goes to another worker as well.
            "visibility_timeout": settings.time_limit_s + VISIBILITY_TIMEOUT_MARGIN_S,
            # Look for such messages about every 10 s; the default comes to 100 s.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "max_message_bytes": settings.max_message_bytes,
            **_master(settings),
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
        }
    return {}


def _master(settings: Settings) -> dict[str, Any]:
    """Return the options that name the master behind sentinels, and say how to ask these."""
    if settings.redis_master_name is None:
        return {}
    return {"master_name": settings.redis_master_name, "sentinel_kwargs": SENTINEL_OPTIONS}


def broker_folders(settings: Settings) -> tuple[Path, Path]:
    """Return the two folders of the embedded broker: messages, and tables of exchanges."""
    broker = settings.run_dir.absolute() / "broker"
    return broker / "queue", broker / "control"


def make_folders(settings: Settings) -> None:
    """Make the folders that the embedded broker and the result store in files need.

    Raises:
        SettingsError: a folder cannot be made.
    """
    folders: list[Path] = []
    if settings.broker_url.startswith("filesystem://"):
        folders += [settings.run_dir.absolute(), *broker_folders(settings)]
    if settings.result_backend.startswith("file://"):
        folders.append(Path(settings.result_backend.removeprefix("file://").removeprefix("localhost")))
    for folder in folders:
        try:
            # For this user only: whoever can write messages can have any scan analysed.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            ours = folder.is_relative_to(settings.run_dir.absolute())
            name = "RUN_DIR" if ours else "CELERY_RESULT_BACKEND"
            reason = error.strerror or type(error).__name__
            raise SettingsError(f"{name}: the folder {folder} cannot be made: {reason}") from None
