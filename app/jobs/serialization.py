"""A job as the members of its stored row, and back. Rows outlive releases: an absent member has its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from app.archive.model import Compression
from app.auth.model import Submitter
from app.errors import ErrorOrigin, Problem
from app.jobs.model import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.jobs.tracking.waiting_for import WaitingFor
from app.oci import Digest, Platform
from app.push import ImageState, Progress, PushOptions
from app.push.report.progress import BlobProgress
from app.registry.wrappers.verify import Verification
from app.spool import SpooledFile

Members = Mapping[str, Any]


def dump_job(job: Job) -> dict[str, Any]:
    """Return the members of the row. They contain no secret, because a job has no credentials."""
    return {
        "id": job.id,
        "state": job.state.value,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "finished_at": job.finished_at and job.finished_at.isoformat(),
        "attempt": job.attempt,
        "labels": dict(job.labels),
        "registry": job.registry,
        "options": options_members(job.options),
        "archives": [_archive_out(archive) for archive in job.archives],
        "images": [image_members(image) for image in job.images],
        "progress": asdict(job.progress),
        "notices": list(job.notices),
        "inspection": list(job.inspection),
        "problem": _problem_out(job.problem),
        "revision": job.revision,
        "idempotency_key": job.idempotency_key,
        "fingerprint": job.fingerprint,
        "accepted_at": job.accepted_at and job.accepted_at.isoformat(),
        "next_attempt_at": job.next_attempt_at and job.next_attempt_at.isoformat(),
        "paused_at": job.paused_at and job.paused_at.isoformat(),
        "waited": job.waited.total_seconds(),
        "ended_age": job.ended_age,
        "starts": job.starts,
        "priority": job.priority,
        "share": job.share,
        "submitter": asdict(job.submitter),
        "updated_at": job.updated_at and job.updated_at.isoformat(),
        "waiting_for": job.waiting_for and _waiting_for_out(job.waiting_for),
        "delivery": job.delivery,
    }


def load_job(members: Members) -> Job:
    return Job(
        id=members["id"],
        state=JobState(members["state"]),
        created_at=datetime.fromisoformat(members["created_at"]),
        started_at=_time(members.get("started_at")),
        finished_at=_time(members.get("finished_at")),
        attempt=members.get("attempt", 1),
        labels=MappingProxyType(dict(members.get("labels", {}))),
        registry=members.get("registry", "default"),
        options=_options_in(members.get("options", {})),
        archives=tuple(_archive_in(item) for item in members.get("archives", ())),
        images=tuple(image_from_members(item) for item in members.get("images", ())),
        progress=_progress_in(members.get("progress", {})),
        notices=tuple(members.get("notices", ())),
        inspection=tuple(members.get("inspection", ())),
        problem=_problem_in(members.get("problem")),
        revision=members.get("revision", 1),
        idempotency_key=members.get("idempotency_key"),
        fingerprint=members.get("fingerprint"),
        accepted_at=_time(members.get("accepted_at")),
        next_attempt_at=_time(members.get("next_attempt_at")),
        paused_at=_time(members.get("paused_at")),
        waited=timedelta(seconds=members.get("waited", 0.0)),
        ended_age=members.get("ended_age", 0.0),
        starts=members.get("starts", 0),
        priority=members.get("priority", 0),
        share=members.get("share", ""),
        submitter=_submitter_in(members.get("submitter", {})),
        updated_at=_time(members.get("updated_at")),
        waiting_for=_waiting_for_in(members.get("waiting_for")),
        delivery=members.get("delivery"),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _submitter_in(members: Members) -> Submitter:
    return Submitter(members.get("name", ""), members.get("address", ""), tuple(members.get("repositories", ())))


def _waiting_for_out(waiting: WaitingFor) -> dict[str, Any]:
    return asdict(waiting) | {
        "since": waiting.since.isoformat(),
        "next_at": waiting.next_at and waiting.next_at.isoformat(),
    }


def _waiting_for_in(members: Members | None) -> WaitingFor | None:
    if members is None:
        return None
    return WaitingFor(
        members["registry"],
        datetime.fromisoformat(members["since"]),
        members["attempts"],
        members["last_error"],
        _time(members.get("next_at")),
    )


def _digest(text: str | None) -> Digest | None:
    return None if text is None else Digest.parse(text)


def options_members(options: PushOptions) -> dict[str, Any]:
    """Return the options as JSON members.

    An option that release 0.1.0 does not know is omitted unless it is set, so that idempotency keys of that release
    still match."""
    members = options.members()
    if not options.keep_going:
        del members["keep_going"]
    return members


def _options_in(members: Members) -> PushOptions:
    known = {field.name for field in fields(PushOptions)}
    readers: Mapping[str, Callable[[Any], Any]] = {
        "rename": lambda pairs: tuple(tuple(pair) for pair in pairs),
        "images": tuple,
        "platforms": lambda texts: tuple(Platform.parse(text) for text in texts),
        "layer_compression": Compression,
        "verify": lambda name: name and Verification(name),
    }
    return PushOptions(**{key: readers.get(key, _same)(value) for key, value in members.items() if key in known})


def _same(value: Any) -> Any:
    return value


def _progress_in(members: Members) -> Progress:
    known = {field.name for field in fields(Progress)}
    blobs = tuple(BlobProgress(**item) for item in members.get("blobs_under_way", ()))
    return Progress(**{key: value for key, value in members.items() if key in known} | {"blobs_under_way": blobs})


def _archive_out(archive: JobArchive) -> dict[str, Any]:
    file = archive.file
    return {
        "name": archive.name,
        "source": archive.source.value,
        "size": archive.size,
        "digest": archive.digest and str(archive.digest),
        "format": archive.format,
        "compression": archive.compression and archive.compression.value,
        "file": file and _file_out(file),
        "expected": archive.expected and str(archive.expected),
        "path": archive.path,
        "problem": _problem_out(archive.problem),
    }


def _archive_in(members: Members) -> JobArchive:
    file, compression = members.get("file"), members.get("compression")
    return JobArchive(
        name=members["name"],
        source=ArchiveSource(members["source"]),
        size=members.get("size", 0),
        digest=_digest(members.get("digest")),
        format=members.get("format"),
        compression=None if compression is None else Compression(compression),
        file=file and _file_in(file),
        expected=_digest(members.get("expected")),
        path=members.get("path"),
        problem=_problem_in(members.get("problem")),
    )


def _file_out(file: SpooledFile) -> dict[str, Any]:
    return {
        "path": file.path,
        "size": file.size,
        "owned": file.owned,
        "identity": list(file.identity),
        "parts": [_file_out(part) for part in file.parts],
    }


def _file_in(members: Members) -> SpooledFile:
    return SpooledFile(
        path=members["path"],
        size=members["size"],
        owned=members["owned"],
        identity=tuple(members["identity"]),
        parts=tuple(_file_in(part) for part in members.get("parts", ())),
    )


def image_members(image: JobImage) -> dict[str, Any]:
    return {
        "archive": image.archive,
        "names": list(image.names),
        "destinations": list(image.destinations),
        "digest": image.digest and str(image.digest),
        "media_type": image.media_type,
        "platforms": list(image.platforms),
        "state": image.state.value,
        "problem": _problem_out(image.problem),
        "source_digest": image.source_digest and str(image.source_digest),
    }


def image_from_members(members: Members) -> JobImage:
    return JobImage(
        archive=members["archive"],
        names=tuple(members["names"]),
        destinations=tuple(members["destinations"]),
        digest=_digest(members.get("digest")),
        media_type=members.get("media_type"),
        platforms=tuple(members.get("platforms", ())),
        state=ImageState(members["state"]),
        problem=_problem_in(members.get("problem")),
        source_digest=_digest(members.get("source_digest")),
    )


def _problem_out(problem: Problem | None) -> dict[str, Any] | None:
    return None if problem is None else asdict(problem)


def _problem_in(members: Members | None) -> Problem | None:
    if members is None:
        return None
    origin = ErrorOrigin(members["origin"])
    was_outage = origin is ErrorOrigin.REGISTRY and members["retryable"]  # 0.1.0 stored no `outage` and derived it so
    return Problem(**{"outage": was_outage, **members, "origin": origin})
