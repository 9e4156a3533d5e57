"""JobFilters: what a caller asks for in a list of jobs, checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.errors import InvalidRequest
from app.jobs.model import ArchiveSource, JobState
from app.jobs.request import parse_label
from app.jobs.store import JobQuery

MAX_TEXT = 256  # characters that are searched for; a reference with tag and digest has below 480, and its end is enough


@dataclass(frozen=True, slots=True)
class JobFilters:
    """`label` is `key=value`. `text` is a part of the name or path of an archive, of the name or destination of an
    image, or of a digest. `since` and `until` bound the time at which a job was created, both included. `delivery`
    is an id or a name."""

    states: frozenset[JobState] = frozenset(JobState)
    label: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    registry: str | None = None
    source: ArchiveSource | None = None
    submitted_by: str | None = None
    delivery: str | None = None

    def query(self) -> JobQuery:
        """Return the query of all that fit. Raises InvalidRequest."""
        text = self.text if self.text is None else self.text.strip().lower()
        if text is not None and not (0 < len(text) <= MAX_TEXT and text.isprintable()):
            raise InvalidRequest(f"`q` must have 1 to {MAX_TEXT} printable characters")
        for name in ("label", "registry", "submitted_by", "delivery"):
            if not (getattr(self, name) or "").isprintable():
                raise InvalidRequest(f"`{name}` must have printable characters only")
        return JobQuery(
            states=self.states,
            label=None if self.label is None else parse_label(self.label),
            text=text,
            since=self.since,
            until=self.until,
            registry=self.registry,
            source=None if self.source is None else self.source.value,
            submitted_by=self.submitted_by,
            deliveries=None if self.delivery is None else frozenset({self.delivery}),
        )


__all__ = ["MAX_TEXT", "JobFilters"]
