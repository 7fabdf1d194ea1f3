"""Traces with OpenTelemetry: one for each scan, from its announcement to its final event.

The context travels in the header `traceparent` of messages (https://www.w3.org/TR/trace-context/), also in
those of a producer that traces by itself. Nothing is traced unless a variable in SWITCHES says where spans
go, and the extra `otel` is installed. OpenTelemetry reads its other variables itself. A span has the scan's
id, as the log has, and never the text of an error.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

SWITCHES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
HEADER: Final = "traceparent"
FLUSH_MS: Final = 2000  # a collector that is away must not hold up the end of a process

log = logging.getLogger(__name__)


@contextmanager
def span(name: str, headers: object = None, **attributes: str | int) -> Iterator[None]:
    """Trace what is done in the `with` block, as a part of what is traced around it.

    Args:
        name: Of the span.
        headers: Of a message: the span goes on with its trace. Invalid ones begin a new trace.
        attributes: Of the span, with the prefix `pose.`.
    """
    provider = _provider(os.getpid())
    if provider is None:
        yield
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode

    kind = SpanKind.INTERNAL if headers is None else SpanKind.CONSUMER
    with provider.get_tracer("pose-worker").start_as_current_span(
        name,
        context=None if headers is None else _context(headers),
        kind=kind,
        attributes={f"pose.{key}": value for key, value in attributes.items()},
        record_exception=False,  # its text and its traceback may hold anything
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def trace_headers() -> dict[str, str]:
    """Return the headers that let a message go on with the trace of the current span; {} without one."""
    if _provider(os.getpid()) is None:
        return {}
    carrier: dict[str, str] = {}
    _propagator().inject(carrier)
    return {HEADER: carrier[HEADER]} if HEADER in carrier else {}


def flush() -> None:
    """Send the spans of this process that wait to be sent."""
    if _provider.cache_info().currsize and (provider := _provider(os.getpid())) is not None:
        provider.force_flush(FLUSH_MS)


def make_provider(processor: Any) -> Any:
    """Return a provider of tracers whose spans go to a span processor of OpenTelemetry's SDK."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    name = os.environ.get("OTEL_SERVICE_NAME", "pose-worker")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


@functools.lru_cache(maxsize=1)
def _provider(pid: int) -> Any:
    """Return the provider of a process, which is made after the fork; None if nothing is traced."""
    if not any(os.environ.get(name) for name in SWITCHES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.error("nothing is traced: OpenTelemetry is not installed; run: pip install 'pose-worker[otel]'")
        return None
    atexit.register(flush)
    return make_provider(BatchSpanProcessor(OTLPSpanExporter()))


def _context(headers: object) -> Any:
    value = headers.get(HEADER) if isinstance(headers, Mapping) else None
    return _propagator().extract({HEADER: value} if isinstance(value, str) else {})


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
