"""Traces: what a collector is told of a job, and that nothing of it is there where none is asked for."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidSettings
from app.telemetry.tracing import JobTracer
from tests.api.conftest import APP, serving


class Collector:
    """Takes OTLP over HTTP on loopback."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        members = self.bodies

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                members.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> dict[str, Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found: dict[str, Any] = {}
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                assert any(attribute.value.string_value == "tarmac" for attribute in resource.resource.attributes)
                found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def attributes(of: Any) -> dict[str, Any]:
    return {attribute.key: attribute.value for attribute in of.attributes}


async def test_a_job_is_a_trace_under_its_own_id(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, otel_endpoint=collector.url) as served:
        job = (await served.client.post("/push?wait=20", content=APP)).json()
    spans = collector.spans()
    assert set(spans) == {"tarmac.job", "tarmac.receive", "tarmac.push"}
    assert {span.trace_id.hex() for span in spans.values()} == {job["id"]}
    whole, pushed = spans["tarmac.job"], spans["tarmac.push"]
    assert {span.parent_span_id for name, span in spans.items() if name != "tarmac.job"} == {whole.span_id}
    assert attributes(whole)["tarmac.job.state"].string_value == "succeeded"
    assert whole.start_time_unix_nano <= pushed.start_time_unix_nano <= pushed.end_time_unix_nano
    (event,) = pushed.events
    assert (event.name, attributes(event)["tarmac.image.digest"].string_value) == (
        "image pushed",
        job["images"][0]["digest"],
    )


async def test_a_failed_job_is_an_error_with_its_code(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, otel_endpoint=collector.url) as served:
        await served.client.post("/push?wait=20", content=b"no archive at all, whatever it is" * 40)
    whole = collector.spans()["tarmac.job"]
    assert (whole.status.code, whole.status.message) == (2, "unknown_format")


async def test_a_collector_that_is_gone_harms_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.tracing.EXPORT_SECONDS", 0.1)
    async with serving(tmp_path, otel_endpoint="http://127.0.0.1:1/v1/traces") as served:
        assert (await served.client.post("/push?wait=20", content=APP)).json()["state"] == "succeeded"


def test_without_the_extra_the_message_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSettings, match=r"tarmac\[otel\]"):
        JobTracer.open("http://127.0.0.1:1/v1/traces")


def test_nothing_of_it_is_loaded_where_it_is_off() -> None:
    program = "import app.main, sys; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
