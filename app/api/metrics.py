"""What Prometheus may scrape. Counted where it happens; one registry per application, so that tests do not meet."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from app.jobs import JobState


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.bytes_received = Counter(
            "tarmac_received_bytes", "Bytes of request bodies taken in", registry=self._registry
        )
        self.uploads = Gauge("tarmac_uploads", "Uploads under way", registry=self._registry)
        self._jobs = Gauge("tarmac_jobs", "Jobs that are kept, by state", ["state"], registry=self._registry)

    def render(self, jobs: Mapping[JobState, int]) -> bytes:
        """In the text format; `jobs`: how many are in each state."""
        for state, count in jobs.items():
            self._jobs.labels(state.value).set(count)
        return generate_latest(self._registry)
