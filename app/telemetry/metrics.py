"""Prometheus metrics. One registry per application, so that tests do not share counters."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.jobs import Job, JobState
from app.jobs.audit import EMPTY, AuditSize
from app.jobs.retention.disk_usage import Usage

_SECONDS = (
    0.1,
    0.5,
    1,
    2,
    5,
    10,
    30,
    60,
    300,
    900,
    3600,
    14400,
)  # from an image that is already present to a release over a slow line

_DISK = {
    "store": "Bytes of the image store",
    "spool": "Bytes of archives in the spool",
    "kept": "Bytes of archives that ended jobs keep in the spool",
    "free": "Bytes free in the file system of the data directory",
}


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.bytes_received = Counter(
            "tarmac_received_bytes", "Received bytes of request bodies", registry=self._registry
        )
        self.uploads = Gauge("tarmac_uploads", "Uploads in progress", registry=self._registry)
        self._jobs = Gauge("tarmac_jobs", "Stored jobs, by state", ["state"], registry=self._registry)
        self._ended = Counter(
            "tarmac_ended_jobs",
            "Jobs that ended, by state and code of their problem",
            ["state", "code"],
            registry=self._registry,
        )
        self._images = Counter(
            "tarmac_ended_images", "Images of ended jobs, by state", ["state"], registry=self._registry
        )
        self._sent = Counter(
            "tarmac_sent_bytes", "Payload bytes of blobs that registries have read", registry=self._registry
        )
        self.rate_limited = Counter(
            "tarmac_rate_limited", "Requests that were answered 429, by kind", ["kind"], registry=self._registry
        )
        self._audit_entries = Gauge("tarmac_audit_entries", "Entries of the audit trail", registry=self._registry)
        self._audit_bytes = Gauge(
            "tarmac_audit_bytes", "Bytes of all entries of the audit trail as JSON", registry=self._registry
        )
        self._deleted_audit = Counter(
            "tarmac_deleted_audit_entries", "Entries of the audit trail that retention deleted", registry=self._registry
        )
        self._disk = {
            name: Gauge(f"tarmac_{name}_bytes", words, registry=self._registry) for name, words in _DISK.items()
        }
        self._owed_bytes = 0
        self._seconds = Histogram(
            "tarmac_job_seconds",
            "Seconds from the start of a job to its end",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count_ended(self, job: Job) -> None:
        """Count a job that ended. A retried job ends again and is counted again."""
        self._ended.labels(job.state.value, job.problem.code if job.problem else "").inc()
        for image in job.images:
            self._images.labels(image.state.value).inc()
        if job.started_at is not None and job.finished_at is not None:
            self._seconds.observe((job.finished_at - job.started_at).total_seconds())

    def count_sent(self, size: int) -> None:
        """Count `size` more bytes. Negative: these bytes were not read after all; later bytes make up for them."""
        self._owed_bytes -= size
        if self._owed_bytes < 0:
            self._sent.inc(-self._owed_bytes)
            self._owed_bytes = 0

    def count_deleted_audit(self, entries: int) -> None:
        self._deleted_audit.inc(entries)

    def show_usage(self, usage: Usage) -> None:
        """Set the gauges of the disk."""
        for name, gauge in self._disk.items():
            gauge.set(getattr(usage, name))

    def render(self, jobs: Mapping[JobState, int], audit: AuditSize = EMPTY) -> bytes:
        """Return the metrics in the text format. `jobs`: number in each state; `audit`: size of the audit trail."""
        self._audit_entries.set(audit.entries)
        self._audit_bytes.set(audit.size)
        for state, count in jobs.items():
            self._jobs.labels(state.value).set(count)
        return generate_latest(self._registry)
