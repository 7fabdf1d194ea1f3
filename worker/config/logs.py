"""Logging: one line per event, as JSON or readable at a terminal. Lines of Celery and boto look the same.

An event is a fixed name with fields. `task_context` adds the scan, the attempt and the task to each line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.typing import Processor

# The names of input files contain the person's code: `rgb_<person>_<ms>_<step>_<frame>.jpg`. Our own messages
# never contain such a name or a password, but messages of libraries may.
_PERSON: Final = re.compile(r"\b(rgb|depth)_[^/\n]{1,400}?_[0-9]{1,20}_[0-9]{1,9}_[0-9]{1,9}(?![0-9_])")
_PASSWORD: Final = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")
# At DEBUG these loggers write keys, and headers with signatures.
_LOGS_SECRETS: Final = ("boto3", "botocore", "s3transfer", "urllib3", "urllib3.connectionpool")


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
    handler: logging.Handler = (
        logging.FileHandler(logfile) if logfile else logging.StreamHandler(sys.__stderr__)
    )
    terminal = not logfile and sys.__stderr__ is not None and sys.__stderr__.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = format == "json" or (format == "auto" and not terminal)
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
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
