"""One trace for a scan, from its announcement to its final event, in OpenTelemetry's exporter in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.support.estimators import FindsNobody
from worker import app, tasks, tracing
from worker.config.settings import Settings, read_settings
from worker.intake.announce import announce
from worker.keys import ScanId
from worker.queue import sender
from worker.scans import self_check
from worker.scans.failures import ScanFailed
from worker.storage.base import StorageUnavailable
from worker.storage.opening import open_storages
from worker.tracing import HEADER, SWITCHES, make_provider, span, trace_headers

SCAN = ScanId("scan")
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter(monkeypatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = make_provider(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_provider", lambda _: provider)
    return exporter


@pytest.fixture
def settings(here, monkeypatch) -> Settings:
    settings = read_settings(retry_base_s=0, max_attempts=3, arrivals_quiet_s=0, incomplete_s=0)
    monkeypatch.setattr(tasks, "load_settings", lambda: settings)
    monkeypatch.setattr(tasks, "get_estimator", lambda _: FindsNobody())
    monkeypatch.setattr(self_check, "get_estimator", lambda _: FindsNobody())
    monkeypatch.setitem(app.conf, "result_backend", "cache+memory://")
    return settings


@pytest.fixture
def queue(monkeypatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Messages that were sent: their arguments and their headers."""
    return []


def announced(settings: Settings, queue: list[Any]) -> None:
    sent = SimpleNamespace(send_task=lambda name, kwargs, headers: queue.append((kwargs, headers)))
    _, results = open_storages(settings)
    announce(SCAN, settings, results, sender(sent))


def put(here, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = here / "scans" / SCAN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(spans: tuple[ReadableSpan, ...]) -> list[str]:
    return [each.name for each in spans]


def test_a_scan_is_one_trace_from_its_announcement_to_its_final_event(
    here, settings, queue, exporter, make_scan
):
    put(here, make_scan(frames=1))
    announced(settings, queue)
    ((kwargs, headers),) = queue
    tasks.process_scan.apply(kwargs=kwargs, headers=headers)
    spans = exporter.get_finished_spans()
    assert names(spans) == ["announce", "fetch", "analyse", "publish", "final_event", "process_scan"]
    assert len({each.context.trace_id for each in spans}) == 1
    by_name = {each.name: each for each in spans}
    root, attempt = by_name["announce"], by_name["process_scan"]
    assert root.parent is None
    assert attempt.parent.span_id == root.context.span_id
    for stage in ("fetch", "analyse", "publish", "final_event"):
        assert by_name[stage].parent.span_id == attempt.context.span_id
    assert dict(attempt.attributes) == {"pose.scan_id": SCAN, "pose.attempt": 1}
    assert by_name["final_event"].attributes["pose.status"] == "completed"


def test_all_attempts_are_in_the_trace_and_no_error_is_told(
    here, settings, queue, exporter, make_scan, monkeypatch
):
    put(here, make_scan(frames=1, person="zoe-1234"))
    answers: list[Any] = [StorageUnavailable("zoe-1234 cannot be read"), None]
    process = tasks.process

    def away_once(*arguments: Any, **options: Any) -> Any:
        if (error := answers.pop(0)) is not None:
            raise error
        return process(*arguments, **options)

    monkeypatch.setattr(tasks, "process", away_once)
    announced(settings, queue)
    ((kwargs, headers),) = queue
    try:
        tasks.process_scan.apply(kwargs=kwargs, headers=headers)
    except Reject:  # pragma: no cover
        pytest.fail("the retry was not sent")
    spans = exporter.get_finished_spans()
    attempts = [each for each in spans if each.name == "process_scan"]
    assert sorted(each.attributes["pose.attempt"] for each in attempts) == [1, 2]
    assert len({each.context.trace_id for each in spans}) == 1
    (failed,) = (each for each in attempts if each.attributes["pose.attempt"] == 1)
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "Retry")
    assert "zoe" not in "".join(each.to_json() for each in spans)


def test_the_trace_of_a_producer_goes_on(here, settings, exporter):
    put(here, {"camera_calibration.txt": b"nothing"})
    done = tasks.process_scan.apply(kwargs={"scan_id": SCAN}, headers={HEADER: FOREIGN})
    assert isinstance(done.result, ScanFailed)
    spans = exporter.get_finished_spans()
    assert {f"{each.context.trace_id:032x}" for each in spans} == {FOREIGN.split("-")[1]}
    assert spans[-1].status.description == "ScanFailed"


@pytest.mark.parametrize("header", [None, 5, "", "nonsense", "00-0-0-00", ["x"], "x" * 10_000])
def test_a_header_that_is_no_context_begins_a_trace(exporter, header):
    with span("process_scan", {HEADER: header}):
        pass
    (found,) = exporter.get_finished_spans()
    assert found.parent is None


def test_without_the_variable_nothing_is_traced(monkeypatch):
    tracing._provider.cache_clear()
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    with span("announce", scan_id="scan"):
        assert trace_headers() == {}
    tracing._provider.cache_clear()


def test_without_the_extra_a_line_says_what_to_install(monkeypatch, caplog):
    tracing._provider.cache_clear()
    monkeypatch.setenv(SWITCHES[0], "http://127.0.0.1:1")
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with span("announce"), span("again"):
        pass
    assert [record.message for record in caplog.records] == [
        "nothing is traced: OpenTelemetry is not installed; run: pip install 'pose-worker[otel]'"
    ]
    tracing._provider.cache_clear()
