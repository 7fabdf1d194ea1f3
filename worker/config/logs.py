"""Logging: one line per event, as JSON or readable at a terminal. Lines of Celery and boto look the same.

An event is a fixed name with fields. `task_context` adds the scan, the attempt and the task to each line.
"""

from __future__ import annotations

import atexit
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import WatchedFileHandler
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.typing import Processor

from worker.config.raw_output import RawOutput

# The names of input files contain the person's code: `rgb_<person>_<ms>_<step>_<frame>.jpg`. Our own messages
# never contain such a name or a password, but messages of libraries may.
_PERSON: Final = re.compile(r"\b(rgb|depth)_[^/\n]{1,400}?_[0-9]{1,20}_[0-9]{1,9}_[0-9]{1,9}(?![0-9_])")
_PASSWORD: Final = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")
# At DEBUG these loggers write keys, and headers with signatures.
_LOGS_SECRETS: Final = ("boto3", "botocore", "s3transfer", "urllib3", "urllib3.connectionpool")

_raw_output: RawOutput | None = None  # of this process and those that it forks


def scrub(text: str) -> str:
    """Replace persons' codes in file names and passwords in URLs by `***`.

    >>> scrub("rgb_anna_1622182020448_100_1.jpg from redis://user:password@host")
    'rgb_***.jpg from redis://***@host'
    """
    return _PASSWORD.sub("***@", _PERSON.sub(r"\1_***", text))


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def setup_logging(
    format: str = "auto", level: str = "INFO", others: int = logging.WARNING, logfile: str | None = None
) -> None:
    """Configure one handler and one format for all loggers of the process.

    Args:
        format: `json`, `console`, or `auto`: console if the log goes to a terminal, else JSON.
        level: of the loggers of `worker` and `pose`.
        others: of all other loggers (`celery worker --loglevel`).
        logfile: path of the log file. None: standard error.
    """
    stream = sys.__stderr__ if _raw_output is None else _raw_output.stream
    # As Celery's own: it opens the file again after logrotate has renamed it.
    handler: logging.Handler = WatchedFileHandler(logfile) if logfile else logging.StreamHandler(stream)
    terminal = not logfile and stream is not None and stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if _as_json(format, terminal)
        # The rich traceback would print local variables, which may hold a person's data.
        else [
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
            )
        ]
    )
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Modules make their loggers at import, before this function runs.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(others)
    for name in ("worker", "pose"):
        logging.getLogger(name).setLevel(level)
    for name in _LOGS_SECRETS:
        logging.getLogger(name).setLevel(max(others, logging.WARNING))


def capture_output(format: str, level: str) -> None:
    """Set up logging before a program writes anything, and make a log event of each line that it writes.

    If the log is not JSON, lines stay as they are.

    Args:
        format: As of `setup_logging`, which is to be called again once level and file of the log are known.
        level: As of `setup_logging`.
    """
    global _raw_output
    others = logging.getLogger().level  # Flower has set it
    setup_logging(format, level, others)
    if _raw_output is not None or not _as_json(
        format, sys.__stderr__ is not None and sys.__stderr__.isatty()
    ):
        return
    log = get_logger("worker.output")

    def emit(stream: str, line: str) -> None:
        (log.info if stream == "stdout" else log.warning)("output", line=line)

    _raw_output = RawOutput(emit)
    setup_logging(format, level, others)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def release_output() -> None:
    """Give standard output and error back before this process is replaced by another program."""
    if _raw_output is not None:
        atexit.register(_raw_output.stop)


def _log_uncaught(type: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    get_logger("worker.output").critical("uncaught_exception", exc_info=(type, error, trace))


def _as_json(format: str, terminal: bool) -> bool:
    return format == "json" or (format == "auto" and not terminal)


@contextmanager
def task_context(**fields: Any) -> Iterator[None]:
    """Add fields to each line that is logged in this context. Fields that were bound before are dropped."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger whose methods take an event and its fields: `log.info("scan_fetched", files=3)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
