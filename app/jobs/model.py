"""Job: a stored push as a frozen value. TRANSITIONS lists the permitted changes of its state. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from app.archive.model import Compression
from app.auth.model import NOBODY, Submitter
from app.errors import Conflict, DigestMismatch, Problem
from app.jobs.bounds import add_notices, within
from app.jobs.queue import QueueSchedule
from app.jobs.tracking.waiting_for import WaitingFor
from app.oci import Digest
from app.push import ImageState, Progress, PushOptions
from app.push.report.progress import with_images
from app.spool import SpooledFile

MAX_IMAGES = 1_000  # in one document and in one page
MAX_IMAGES_BYTES = 1 << 20  # their approximate size as JSON; 1,000 typical ones take half of it
MAX_ARCHIVES_BYTES = 512 << 10  # approximate size of the archives in one document; 1,000 typical ones take as much
BRIEF_ARCHIVES = BRIEF_NOTICES = 20  # for one job in a list
_JOB_BYTES, _MEMBERS_BYTES = 2_000, 400  # base sizes of a job, and of an archive or image, without their texts

DAMAGED = DigestMismatch.code
NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Clock(Protocol):
    """The time of day, for display; waits and rates use the monotonic clock."""

    def __call__(self) -> datetime: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


class JobState(StrEnum):
    """The states of the job document."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_PROGRESS = tuple(item.name for item in fields(Progress) if item.name not in {"blobs_under_way", "blobs_sent"})
_ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.RECEIVING: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}),
        JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
        # back to QUEUED: the process died or stopped while the job ran
        JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset({JobState.QUEUED}),  # retry
        JobState.CANCELLED: frozenset({JobState.QUEUED}),  # retry
    }
)


class ArchiveSource(StrEnum):
    UPLOAD = "upload"
    PATH = "path"
    WATCH = "watch"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class JobArchive:
    """An archive of the job. `size` (bytes) and `digest` are of the archive as it was sent.

    The digest of a server file is computed only if it is compared. `file` is its plain tar; for a server file that has
    not been examined yet (`compression` is None), the archive itself. `expected` is the required digest until it has
    been compared. `path` is relative to its root or watched folder, or the path that a form gives.
    `problem` says why it cannot be read, or that it breaks off, if the others are pushed all the same."""

    name: str
    source: ArchiveSource
    size: int = 0
    digest: Digest | None = None
    format: str | None = None
    compression: Compression | None = None
    file: SpooledFile | None = None
    expected: Digest | None = None
    path: str | None = None
    problem: Problem | None = None

    @property
    def is_unreadable(self) -> bool:
        """Whether there is no plain tar of it because of its problem."""
        return self.problem is not None and (self.file is None or self.compression is None)

    @classmethod
    def of_store(cls) -> JobArchive:
        """Return the image store as an archive, which is read when the job runs."""
        return cls("image store", ArchiveSource.STORE, compression=Compression.NONE)

    @property
    def is_kept(self) -> bool:
        """Return whether the job can be run again."""
        return self.file is not None or self.source is ArchiveSource.STORE


@dataclass(frozen=True, slots=True)
class JobImage:
    """An image of the job. `names` are those in the archive, `destinations` have the form `registry/repository:tag`.

    `source_digest`: the digest by which options select it; of a docker archive that of its config."""

    archive: str
    names: tuple[str, ...]
    destinations: tuple[str, ...]
    digest: Digest | None = None
    media_type: str | None = None
    platforms: tuple[str, ...] = ()
    state: ImageState = ImageState.PENDING
    problem: Problem | None = None
    source_digest: Digest | None = None


class ProblemRenderer(Protocol):
    """Renders a problem as its object in the document; the API adds its `type` and `status`."""

    def __call__(self, problem: Problem) -> Mapping[str, Any]: ...


def plain_problem(problem: Problem) -> Mapping[str, Any]:
    return {
        "title": problem.title,
        "detail": problem.detail,
        "code": problem.code,
        "retryable": problem.retryable,
    }


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment.

    `revision` counts stored changes; `updated_at` is the time of the latest. `inspection`: for a dry run, the content
    of each archive as JSON members.

    `accepted_at`: time of the response to the request, or of a retry by hand; of two jobs for one tag the one accepted
    later wins. `next_attempt_at`: time at which a job resumes that is QUEUED after an outage; `paused_at`: start of
    that outage; `waited`: the part of the patience that is used up. `waiting_for`: None while the registry responds.
    `starts`: runs that began and did not end in order, for example because the process was killed. `ended_age`: the age
    of the service at the end of the job, in seconds. `priority` and `share`: see `app.jobs.queue.QueueSchedule`.
    `submitter`: who sent the job. `delivery`: the id of its delivery."""

    id: str
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 1
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS, hash=False)
    registry: str = "default"
    options: PushOptions = field(default_factory=PushOptions, hash=False)
    archives: tuple[JobArchive, ...] = ()
    images: tuple[JobImage, ...] = ()
    progress: Progress = field(default_factory=Progress)
    notices: tuple[str, ...] = ()
    inspection: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    problem: Problem | None = None
    revision: int = 1
    idempotency_key: str | None = None
    fingerprint: str | None = None
    accepted_at: datetime | None = None
    next_attempt_at: datetime | None = None
    paused_at: datetime | None = None
    waited: timedelta = timedelta(0)
    ended_age: float = 0.0
    starts: int = 0
    priority: int = 0
    share: str = ""
    submitter: Submitter = NOBODY
    updated_at: datetime | None = None
    waiting_for: WaitingFor | None = None
    delivery: str | None = None

    @classmethod
    def new(cls, state: JobState, now: datetime, idempotency_key: str | None = None) -> Job:
        """Return a job with a new id of 128 random bits, which cannot be guessed."""
        return cls(id=secrets.token_hex(16), state=state, created_at=now, idempotency_key=idempotency_key)

    def evolve(self, **changes: Any) -> Job:
        """Return the next revision in the same state."""
        return replace(self, revision=self.revision + 1, **changes)

    def brief(self) -> Job:
        """Return the job without images and inspection, for lists. Do not store it."""
        return replace(self, images=(), inspection=())

    def transition_to(self, state: JobState, **changes: Any) -> Job:
        """Return the next revision in another state, with the image counts of `images` if they are given.

        Raises Conflict if TRANSITIONS does not permit the change."""
        if state not in TRANSITIONS[self.state]:
            raise Conflict(f"job {self.id} is {self.state} and cannot become {state}")
        if "images" in changes:
            progress = changes.get("progress", self.progress)
            changes["progress"] = with_images(progress, [image.state for image in changes["images"]])
        if state.ended:
            changes["waiting_for"] = None
        return self.evolve(state=state, **changes)

    @property
    def ended(self) -> bool:
        return self.state.ended

    @property
    def has_damaged_content(self) -> bool:
        """Return whether all failures of the job are digest mismatches, which no retry can fix."""
        problems = [image.problem for image in self.images if image.state is ImageState.FAILED]
        found = problems or [self.problem]
        return self.state is JobState.FAILED and all(
            found_item is not None and found_item.code == DAMAGED for found_item in found
        )

    @property
    def can_retry(self) -> bool:
        """Return whether a retry may push what is missing: of an ended job whose archives are kept, or of one that
        waits for its registry."""
        if not self.ended:
            return self.next_attempt_at is not None
        is_kept = bool(self.archives) and all(archive.is_kept for archive in self.archives)
        return self.state is not JobState.SUCCEEDED and is_kept and not self.has_damaged_content

    @property
    def schedule(self) -> QueueSchedule:
        """Return when a QUEUED job runs."""
        return QueueSchedule(self.next_attempt_at, self.priority, self.share)

    def document(self, describe: ProblemRenderer = plain_problem, *, whole: bool = False) -> dict[str, Any]:
        """Return the job as JSON members, without locations in the spool and without the idempotency key.

        The document is below 5 MiB: it contains the first archives, images and notices, unless `whole`."""
        under_way = self.progress.blobs_under_way if self.state is JobState.RUNNING else ()
        archives = self.archives if whole else within(self.archives, MAX_ARCHIVES_BYTES, _archive_bytes)
        images = self.images if whole else shown_images(self.images)
        return {
            "id": self.id,
            "state": self.state.value,
            "revision": self.revision,
            "created_at": _time(self.created_at),
            "updated_at": _time(self.updated_at or self.finished_at or self.started_at or self.created_at),
            "started_at": _time(self.started_at),
            "finished_at": _time(self.finished_at),
            "next_attempt_at": _time(self.next_attempt_at),
            "waiting_for": self.waiting_for and _waiting_for(self.waiting_for),
            "attempt": self.attempt,
            "priority": self.priority,
            "labels": dict(self.labels),
            "registry": self.registry,
            "submitted_by": self.submitter.name or None,
            "delivery": self.delivery,
            "dry_run": self.options.dry_run,
            "options": self.options.members(),
            "archives": [_archive(archive, describe) for archive in archives],
            "archives_total": len(self.archives),
            "images": images_document(images, describe),
            "progress": {name: getattr(self.progress, name) for name in _PROGRESS},
            "blobs_under_way": [asdict(blob) for blob in under_way],
            "notices": list(add_notices((), self.notices)),
            "inspection": list(self.inspection) or None,
            "problem": self.problem and dict(describe(self.problem)),
        }

    def brief_document(self, describe: ProblemRenderer = plain_problem) -> dict[str, Any]:
        """Return the job for lists: without images and inspection, with the first archives and notices."""
        brief = replace(self, archives=self.archives[:BRIEF_ARCHIVES], notices=self.notices[:BRIEF_NOTICES])
        return brief.brief().document(describe) | {"archives_total": len(self.archives)}


def shown_images(images: Sequence[JobImage]) -> tuple[JobImage, ...]:
    """Return as many of `images` as one document contains; at least one."""
    return tuple(within(images[:MAX_IMAGES], MAX_IMAGES_BYTES, _image_bytes)) or tuple(images[:1])


def images_document(images: Iterable[JobImage], describe: ProblemRenderer, first: int = 0) -> list[dict[str, Any]]:
    """Return the images as JSON members. `first` is the number of the first one in the job."""
    return [{"index": number, **_image(image, describe)} for number, image in enumerate(images, first)]


def brief_bytes(job: Job) -> int:
    """Return the approximate length of `brief_document` as JSON."""
    archives, notices = job.archives[:BRIEF_ARCHIVES], job.notices[:BRIEF_NOTICES]
    return _JOB_BYTES + sum(map(_archive_bytes, archives)) + sum(map(len, notices))


def _archive_bytes(archive: JobArchive) -> int:
    problem = 0 if archive.problem is None else len(archive.problem.detail) + len(archive.problem.title)
    return _MEMBERS_BYTES + len(archive.name) + len(archive.path or "") + problem


def _image_bytes(image: JobImage) -> int:
    """Return the approximate length of the image as JSON. Counting is faster than serializing."""
    texts = (*image.names, *image.destinations, *image.platforms)
    problem = 0 if image.problem is None else len(image.problem.detail) + len(image.problem.title)
    return _MEMBERS_BYTES + len(image.archive) + sum(map(len, texts)) + problem


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _waiting_for(waiting: WaitingFor) -> dict[str, Any]:
    return asdict(waiting) | {"since": _time(waiting.since), "next_at": _time(waiting.next_at)}


def _archive(archive: JobArchive, describe: ProblemRenderer) -> dict[str, Any]:
    return {
        "name": archive.name,
        "path": archive.path,
        "source": archive.source.value,
        "size": archive.size,
        "digest": archive.digest and str(archive.digest),
        "format": archive.format,
        "compression": archive.compression and archive.compression.value,
        "problem": archive.problem and dict(describe(archive.problem)),
    }


def _image(image: JobImage, describe: ProblemRenderer) -> dict[str, Any]:
    return {
        "archive": image.archive,
        "names": list(image.names),
        "destinations": list(image.destinations),
        "targets": _targets(image),
        "digest": image.digest and str(image.digest),
        "source_digest": image.source_digest and str(image.source_digest),
        "media_type": image.media_type,
        "platforms": list(image.platforms),
        "state": image.state.value,
        "problem": image.problem and dict(describe(image.problem)),
    }


def _targets(image: JobImage) -> list[dict[str, Any]]:
    """Return each destination with the embedded name that leads to it; null if several names lead to one."""
    names: Sequence[str | None] = image.names
    if len(names) != len(image.destinations):
        names = [names[0] if len(names) == 1 else None] * len(image.destinations)
    pairs = zip(names, image.destinations, strict=True)
    return [{"name": name, "destination": destination} for name, destination in pairs]
