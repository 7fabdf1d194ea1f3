"""Logs: one line an event, JSON in production and readable at a terminal; Celery's and boto's lines alike.

An event is a fixed name with fields. Scan, attempt and task are bound while a task runs, see `task_context`.
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

# Input files are named after the person: `rgb_<person>_<ms>_<step>_<frame>.jpg`. No error text of ours holds
# such a name; these two are for the texts of others.
_PERSON: Final = re.compile(r"\b(rgb|depth)_[^/\n]{1,400}?_[0-9]{1,20}_[0-9]{1,9}_[0-9]{1,9}(?![0-9_])")
_PASSWORD: Final = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")
# At DEBUG these write keys, and headers with signatures.
_TALKATIVE: Final = ("boto3", "botocore", "s3transfer", "urllib3", "urllib3.connectionpool")


def scrub(text: str) -> str:
    """The text without persons' codes in file names, and without passwords in URLs."""
    return _PASSWORD.sub("***@", _PERSON.sub(r"\1_***", text))


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def setup_logging(
    format: str = "auto", level: str = "INFO", others: int = logging.WARNING, logfile: str | None = None
) -> None:
    """Send all loggers through one formatter.

    Args:
        format: `json`, `console`, or `auto`: console when the log goes to a terminal.
        level: of this project's own lines.
        others: level of everybody else's (`celery worker --loglevel`).
        logfile: where to; standard error without.
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
        # The plain traceback: the rich one prints local variables, and with them whatever a scan holds.
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
        # Loggers are made when modules are imported, before this is called.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(others)
    for name in ("worker", "pose"):
        logging.getLogger(name).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(others, logging.WARNING))


@contextmanager
def task_context(**fields: Any) -> Iterator[None]:
    """Bind fields to each line that is logged within, and nothing that was bound before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event and its fields."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
