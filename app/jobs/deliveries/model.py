"""Delivery: a group of jobs that came together, and what became of each image and file. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from app.errors import (
    DestinationConflict,
    Forbidden,
    InvalidReference,
    InvalidRequest,
    MissingTag,
    SingleImageRequired,
    TagExists,
)
from app.jobs.model import NO_LABELS

NAME = re.compile(r"[A-Za-z0-9._ -]{1,100}")
OPEN_FOR = timedelta(hours=24)  # after the last job of the delivery has ended
DECISIONS = frozenset(
    error.code
    for error in (MissingTag, DestinationConflict, SingleImageRequired, TagExists, InvalidReference, Forbidden)
)
"""Codes of problems that other options solve: the archive itself is whole."""


class Outcome(StrEnum):
    """What became of an image, or of a file without one."""

    PUSHED = "pushed"
    PRESENT = "present"
    SKIPPED = "skipped"
    PLANNED = "planned"
    NEEDS_DECISION = "needs_decision"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PENDING = "pending"
    NO_IMAGES = "no_images"
    LEFT_OUT = "left_out"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class DeliveryFile:
    """A file that the client lists. `left_out`: the reason why it is not sent; None if it is."""

    path: str
    size: int | None = None
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """`submitter`: name of a token, "" without one. `last_ended_at`: the end of the job that ended last.
    `age` of the service then, or when the delivery began, in seconds."""

    id: str
    created_at: datetime
    name: str | None = None
    submitter: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS, hash=False)
    last_ended_at: datetime | None = None
    age: float = 0.0

    @classmethod
    def new(cls, now: datetime, name: str | None, submitter: str, labels: Mapping[str, str] = NO_LABELS) -> Delivery:
        """Return a delivery with a random id of 128 bits."""
        return cls(secrets.token_hex(16), now, name, submitter, MappingProxyType(dict(labels)))

    @property
    def closes_at(self) -> datetime:
        """Return when the next use of the name begins another delivery, if no job is under way then."""
        return (self.last_ended_at or self.created_at) + OPEN_FOR


@dataclass(frozen=True, slots=True)
class ReportRow:
    """An image, or a file without one. `path`: of the archive, below its root, watched folder or form. `is_first` of
    the rows of its file, whose outcome is `file_outcome`; `size` of the file in bytes. `job`: "" for a listed file."""

    job: str
    archive: str
    path: str
    size: int
    outcome: Outcome
    file_outcome: Outcome
    is_first: bool = True
    archive_digest: str | None = None
    names: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    digest: str | None = None
    platforms: tuple[str, ...] = ()
    code: str | None = None
    problem: str | None = None
    time: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the row as JSON members."""
        return {
            "job": self.job or None,
            "archive": self.archive,
            "path": self.path,
            "size": self.size,
            "archive_digest": self.archive_digest,
            "names": list(self.names),
            "destinations": list(self.destinations),
            "digest": self.digest,
            "platforms": list(self.platforms),
            "outcome": self.outcome.value,
            "code": self.code,
            "problem": self.problem,
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """`rows` and `files`: how many rows and files have each outcome; `size`: bytes of all files; `jobs`: how many jobs
    are in each state, of those that are not deleted."""

    delivery: Delivery
    rows: Mapping[Outcome, int]
    files: Mapping[Outcome, int]
    size: int
    jobs: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        """Return the summary as JSON members."""
        delivery = self.delivery
        return {
            "id": delivery.id,
            "name": delivery.name,
            "created_at": format_time(delivery.created_at),
            "submitted_by": delivery.submitter or None,
            "labels": dict(delivery.labels),
            "last_ended_at": format_time(delivery.last_ended_at),
            "closes_at": format_time(delivery.closes_at),
            "bytes": self.size,
            "jobs": {"total": sum(self.jobs.values()), **self.jobs},
            "counts": {outcome.value: self.rows.get(outcome, 0) for outcome in Outcome},
            "files": {"total": sum(self.files.values())}
            | {outcome.value: self.files.get(outcome, 0) for outcome in Outcome},
        }


def check_name(name: str) -> str:
    """Return `name`. Raises InvalidRequest."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"option `delivery` is {name!r:.200}; it must have 1 to 100 letters, digits, `.`, `_`, `-` and spaces"
        )
    return name


def format_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = [
    "DECISIONS",
    "OPEN_FOR",
    "Delivery",
    "DeliveryFile",
    "DeliverySummary",
    "Outcome",
    "ReportRow",
    "check_name",
    "format_time",
]
