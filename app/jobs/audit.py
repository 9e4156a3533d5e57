"""The audit trail: one entry for every job that ends.

An entry records who (the name of the token), from which address, which archives, which images with their digests and
destinations, when, and the outcome.

It is written in the transaction that ends the job (`SqlJobStore.save`), so a crash leaves either both or none. With
several replicas, the one that ended the job writes the entry. Entries are append-only: the database refuses to change
one, and to delete one unless `AuditRetention` does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from app.errors import InvalidRequest
from app.jobs.bounds import MAX_PATH, shorten, within
from app.jobs.model import Job, JobArchive, JobImage
from app.push import ImageState

MAX_ENTRIES = 500  # in one page
MAX_ARCHIVES_BYTES = 32 << 10  # limit for the archives of one entry; 100 typical ones take 25 KiB
MAX_IMAGES_BYTES = 96 << 10  # limit for the images of one entry; 300 typical ones take 70 KiB
MAX_DESTINATIONS = 20  # limit for one image
UNTOUCHED = frozenset({ImageState.PENDING, ImageState.PUSHING, ImageState.CANCELLED})  # no tag was set for these


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the trail. `number` increases in the order of writing; `entry` contains the JSON members."""

    number: int
    entry: Mapping[str, Any]

    @property
    def cursor(self) -> str:
        return base64.urlsafe_b64encode(f"audit|{self.number}".encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class AuditSize:
    """Number of entries and their total size as JSON, in bytes."""

    entries: int
    size: int


EMPTY = AuditSize(0, 0)


class AuditTrail(Protocol):
    """Read access to the audit trail."""

    async def entries(self, since: datetime | None, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Return entries written at `since` or later with a number above `after`, oldest first. Raises Unavailable."""
        ...

    async def audit_size(self) -> AuditSize:
        """Return the size of the trail. Raises Unavailable."""
        ...


def parse_audit_cursor(cursor: str | None) -> int:
    """Return the number in a cursor; 0 if there is none. Raises InvalidRequest."""
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    start, _, number = text.partition("|")
    if start != "audit" or not (number.isdigit() and len(number) <= 15):
        raise InvalidRequest("unknown cursor: not from a page of the audit trail; start without one")
    return int(number)


def audit_members(job: Job) -> dict[str, Any]:
    """Return the JSON members of the entry for a job that ended, below 140 KiB for any job.

    Images that the job did not reach are only counted."""
    touched = (image for image in job.images if image.state not in UNTOUCHED)
    accepted = job.accepted_at or job.created_at
    return {
        "at": _time(job.finished_at),
        "job": job.id,
        "attempt": job.attempt,
        "outcome": job.state.value,
        "code": job.problem.code if job.problem else None,
        "token": job.submitter.name or None,
        "address": shorten(job.submitter.address) or None,
        # min(): if the clock was ahead at an earlier job, accepted_at gives only the order of acceptance
        "accepted_at": _time(min(accepted, job.finished_at or accepted)),
        "registry": job.registry,
        "dry_run": job.options.dry_run,
        "archives": list(within(map(_archive, job.archives), MAX_ARCHIVES_BYTES, _size)),
        "archives_total": len(job.archives),
        "images": list(within(map(_image, touched), MAX_IMAGES_BYTES, _size)),
        "images_total": len(job.images),
    }


def _archive(archive: JobArchive) -> dict[str, Any]:
    return {
        "name": shorten(archive.name),
        "path": archive.path and shorten(archive.path, MAX_PATH),
        "source": archive.source.value,
        "size": archive.size,
        "digest": archive.digest and str(archive.digest),
        "format": archive.format,
    }


def _image(image: JobImage) -> dict[str, Any]:
    return {
        "destinations": [shorten(destination) for destination in image.destinations[:MAX_DESTINATIONS]],
        "destinations_total": len(image.destinations),
        "digest": image.digest and str(image.digest),
        "state": image.state.value,
        "code": image.problem.code if image.problem else None,
    }


def _size(members: Mapping[str, Any]) -> int:
    return len(json.dumps(members))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["EMPTY", "MAX_ENTRIES", "AuditEntry", "AuditSize", "AuditTrail", "audit_members", "parse_audit_cursor"]
