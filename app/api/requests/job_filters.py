"""The query parameters that select jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, field_validator

from app.api.requests.moments import in_utc
from app.jobs import ArchiveSource, JobState
from app.jobs.listing import JobFilters
from app.jobs.listing.filters import MAX_TEXT

REPEATABLE = frozenset({"state"})


class JobFilterQuery(BaseModel):
    """Filters of jobs. A job must match all of them."""

    state: list[JobState] = Field(default=[], description="Repeatable, or several with commas between them.")
    label: str | None = Field(default=None, description="`key=value`", max_length=256)
    q: str | None = Field(
        default=None,
        max_length=MAX_TEXT,
        description="A part of the name or path of an archive, of the name or destination of an image, or of a digest. "
        "Upper and lower case are the same.",
    )
    since: datetime | None = Field(default=None, description="RFC 3339: only jobs created then or later")
    until: datetime | None = Field(default=None, description="RFC 3339: only jobs created then or earlier")
    registry: str | None = Field(default=None, max_length=256, description="Name of a configured registry.")
    source: ArchiveSource | None = Field(default=None, description="How the archives came.")
    submitted_by: str | None = Field(default=None, max_length=256, description="Name of the token that sent it.")
    delivery: str | None = Field(default=None, max_length=256, description="Id or name of a delivery.")

    @field_validator("state", mode="before")
    @classmethod
    def _split(cls, values: Any) -> Any:
        """Split lists: `failed,cancelled` is two states."""
        texts = [values] if isinstance(values, str) else values
        return [part for text in texts for part in text.split(",")] if isinstance(texts, list) else texts

    def filters(self) -> JobFilters:
        """Return the filters as a value. Raises InvalidRequest."""
        return JobFilters(
            states=frozenset(self.state) or frozenset(JobState),
            label=self.label,
            text=self.q,
            since=in_utc(self.since, "since"),
            until=in_utc(self.until, "until"),
            registry=self.registry,
            source=self.source,
            submitted_by=self.submitted_by,
            delivery=self.delivery,
        )


__all__ = ["REPEATABLE", "JobFilterQuery"]
