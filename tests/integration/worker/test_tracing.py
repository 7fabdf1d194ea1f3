"""A scan that another program announces on the Redis list begins its trace there."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.celery_app import celery_app
from worker import tracing
from worker.config.settings import read_settings
from worker.intake.announce import announce
from worker.intake.inbox import Inbox
from worker.queue import sender
from worker.storage.opening import open_storages
from worker.tracing import HEADER, make_provider


def test_an_arrival_on_the_list_begins_the_trace_of_its_message(here, redis_server, monkeypatch):
    exporter = InMemorySpanExporter()
    provider = make_provider(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_provider", lambda _: provider)
    (url,) = redis_server.emptied(8)
    settings = read_settings(broker_url=url, arrivals_list="arrived")
    _, results = open_storages(settings)
    send = sender(celery_app(settings))
    with redis_server.client(8) as client:
        inbox = Inbox(client, settings, lambda scan_id: announce(scan_id, settings, results, send))
        client.lpush("arrived", json.dumps({"scan_ids": ["one", "two"]}))
        assert inbox.process_next(1)
        messages: list[dict[str, Any]] = [json.loads(each) for each in client.lrange("celery", 0, -1)]
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["announce", "announce"]
    # Each scan has a trace of its own.
    expected = {f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in spans}
    assert {message["headers"][HEADER].rpartition("-")[0] for message in messages} == expected
    assert len({span.context.trace_id for span in spans}) == 2
