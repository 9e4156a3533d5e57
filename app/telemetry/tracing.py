"""OpenTelemetry traces: each ended job is exported to a collector by OTLP over HTTP.

Without `TARMAC_OTEL_ENDPOINT` nothing of OpenTelemetry is loaded. The id of a trace is the id of its job. Spans are
built from the job itself: nothing is measured during transfers, and a slow or unreachable collector costs a queue of
fixed length.

    tarmac.job                  from its first byte, or its request, to its end
    ├── tarmac.receive          until it was accepted
    └── tarmac.push             its last run; an event for each image
"""

from __future__ import annotations

from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from app import __version__
from app.errors import InvalidSettings
from app.jobs import Job, JobState

if TYPE_CHECKING:
    from opentelemetry.trace import Span

MAX_PENDING_SPANS = 2048  # spans that wait for the collector; more are dropped
EXPORT_SECONDS = 5.0  # for one request to the collector, and so for a stop
MAX_IMAGE_EVENTS = 1000  # events in one span


class JobTracer:
    """Exports traces. Created by `open`; `close` blocks while the collector responds, at most EXPORT_SECONDS."""

    def __init__(self, provider: Any, ids: Any) -> None:
        self._provider, self._ids = provider, ids
        self._tracer = provider.get_tracer("tarmac", __version__)

    @classmethod
    def open(cls, endpoint: str) -> JobTracer:
        """Open the exporter. Raises InvalidSettings if the packages are missing."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import SpanLimits, TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
            from requests import Session
        except ModuleNotFoundError:
            raise InvalidSettings(
                "TARMAC_OTEL_ENDPOINT (otel_endpoint) needs OpenTelemetry; run: pip install 'tarmac[otel]'"
            ) from None

        class JobIds(RandomIdGenerator):
            job = 0

            def generate_trace_id(self) -> int:
                return self.job

        ids = JobIds()
        provider = TracerProvider(
            resource=Resource.create({"service.name": "tarmac", "service.version": __version__}),
            id_generator=ids,
            span_limits=SpanLimits(max_events=MAX_IMAGE_EVENTS),
            shutdown_on_exit=False,
        )
        session = Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # no cookie is kept
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS, session=session)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=MAX_PENDING_SPANS))
        return cls(provider, ids)

    def record_job(self, job: Job) -> None:
        """Record a job that has ended. It neither waits nor raises."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        self._ids.job = int(job.id, 16)
        whole = self._tracer.start_span("tarmac.job", start_time=_ns(job.created_at), attributes=_attributes(job))
        if job.state is JobState.FAILED:
            whole.set_status(Status(StatusCode.ERROR, job.problem.code if job.problem else None))
        within = set_span_in_context(whole)
        if job.accepted_at is not None and job.accepted_at > job.created_at:
            received = self._tracer.start_span("tarmac.receive", within, start_time=_ns(job.created_at))
            received.end(_ns(job.accepted_at))
        if job.started_at is not None:
            pushed = self._tracer.start_span("tarmac.push", within, start_time=_ns(job.started_at))
            _add_image_events(pushed, job)
            pushed.end(_ns(job.finished_at))
        whole.end(_ns(job.finished_at))

    def close(self) -> None:
        self._provider.shutdown()


def _attributes(job: Job) -> dict[str, Any]:
    members = {
        "tarmac.job.id": job.id,
        "tarmac.job.state": job.state.value,
        "tarmac.job.attempt": job.attempt,
        "tarmac.job.code": job.problem.code if job.problem else None,
        "tarmac.registry": job.registry,
        "tarmac.archives": [archive.name for archive in job.archives],
        "tarmac.archive.bytes": sum(archive.size or 0 for archive in job.archives),
        "tarmac.bytes_sent": job.progress.bytes_sent,
        "tarmac.blobs": job.progress.blobs_total,
        "tarmac.blobs_reused": job.progress.blobs_reused,
        "tarmac.images": len(job.images),
    }
    return {name: value for name, value in members.items() if value is not None}


def _add_image_events(span: Span, job: Job) -> None:
    for image in job.images:
        span.add_event(
            f"image {image.state.value}",
            {
                "tarmac.image.destinations": list(image.destinations),
                "tarmac.image.digest": str(image.digest or ""),
                "tarmac.image.code": image.problem.code if image.problem else "",
            },
            _ns(job.finished_at),
        )


def _ns(moment: datetime | None) -> int | None:
    """Return nanoseconds since 1970; None means now."""
    return None if moment is None else int(moment.timestamp() * 1_000_000) * 1000
