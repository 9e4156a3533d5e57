"""The audit trail: an entry for every end of a job. Who (the token's name), from where, what archives, which images
went where under which digests, when, with what outcome.

An entry is written in the transaction that ends the job (`SqlJobStore.save`), so that neither is there without the
other, whatever happens in between, and of several replicas the one that ended it writes one entry. It is only added to:
the database itself refuses to change or delete."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from app.errors import InvalidRequest
from app.jobs.job import Job

MAX_ENTRIES = 500  # of one page


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`number` grows in the order of writing; `entry` are its JSON members."""

    number: int
    entry: Mapping[str, Any]

    @property
    def cursor(self) -> str:
        return base64.urlsafe_b64encode(f"audit|{self.number}".encode()).decode().rstrip("=")


class AuditTrail(Protocol):
    async def entries(self, since: datetime | None, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Oldest first: those written at `since` or later with a number above `after`. Raises Unavailable."""
        ...


def parse_audit_cursor(cursor: str | None) -> int:
    """Raises InvalidRequest."""
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    start, _, number = text.partition("|")
    if start != "audit" or not (number.isdigit() and len(number) <= 15):
        raise InvalidRequest("the cursor is not one that a page of the audit trail gave; start without one")
    return int(number)


def audit_members(job: Job) -> dict[str, Any]:
    """What is kept of the end of a job."""
    accepted = job.accepted_at or job.created_at
    return {
        "at": _time(job.finished_at),
        "job": job.id,
        "attempt": job.attempt,
        "outcome": job.state.value,
        "code": job.problem.code if job.problem else None,
        "token": job.submitter.name or None,
        "address": job.submitter.address or None,
        # of jobs that came after one of a clock that was ahead, it says the order alone
        "accepted_at": _time(min(accepted, job.finished_at or accepted)),
        "registry": job.registry,
        "dry_run": job.options.dry_run,
        "archives": [
            {
                "name": archive.name,
                "path": archive.path,
                "source": archive.source.value,
                "size": archive.size,
                "digest": archive.digest and str(archive.digest),
                "format": archive.format,
            }
            for archive in job.archives
        ],
        "images": [
            {
                "destinations": list(image.destinations),
                "digest": image.digest and str(image.digest),
                "state": image.state.value,
                "code": image.problem.code if image.problem else None,
            }
            for image in job.images
        ],
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["MAX_ENTRIES", "AuditEntry", "AuditTrail", "audit_members", "parse_audit_cursor"]
