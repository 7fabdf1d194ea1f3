"""A real worker sends its spans to a collector: `enqueue` begins the trace, another process goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.running import World


class Collector(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP, on a free port of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_spans_of_all_processes_are_one_trace(here, make_scan, collector):
    world = World(here, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    world.put_scan("one", make_scan(frames=1))
    world.enqueue("one")
    assert [span.name for span in collector.spans] == ["announce"]
    with world.start_worker() as worker:
        world.wait_for("one", "completed")
        worker.wait_for_event("scan_completed")
        assert worker.stop() == 0
    names = {span.name for span in collector.spans}
    assert names == {"announce", "process_scan", "fetch", "analyse", "publish", "final_event"}
    assert len({span.trace_id for span in collector.spans}) == 1
