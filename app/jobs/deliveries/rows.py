"""The rows of the report of a job: one per image, and one per file without an image. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from app.errors import Problem
from app.jobs.bounds import MAX_PATH, shorten
from app.jobs.deliveries.model import DECISIONS, Outcome, ReportRow, format_time
from app.jobs.model import Job, JobArchive, JobImage, JobState
from app.push import ImageState

MAX_PROBLEM = 500  # characters of the problem in one row; the job has the whole text
_OF_IMAGE: Mapping[ImageState, Outcome] = {
    ImageState.PENDING: Outcome.PENDING,
    ImageState.PUSHING: Outcome.PENDING,
    ImageState.PUSHED: Outcome.PUSHED,
    ImageState.ALREADY_PRESENT: Outcome.PRESENT,
    ImageState.SKIPPED: Outcome.SKIPPED,
    ImageState.PLANNED: Outcome.PLANNED,
    ImageState.CANCELLED: Outcome.CANCELLED,
}
_OF_JOB: Mapping[JobState, Outcome] = {
    JobState.SUCCEEDED: Outcome.NO_IMAGES,
    JobState.CANCELLED: Outcome.CANCELLED,
}
_WORST_FIRST = (
    Outcome.FAILED,
    Outcome.NEEDS_DECISION,
    Outcome.CANCELLED,
    Outcome.PENDING,
    Outcome.PUSHED,
    Outcome.PLANNED,
    Outcome.SKIPPED,
    Outcome.PRESENT,
)


def report_rows(job: Job) -> Iterator[ReportRow]:
    """Yield the rows of `job` in the order of its archives. A job without archives has none."""
    images: dict[str, list[JobImage]] = {archive.name: [] for archive in job.archives}
    for image in job.images:
        images.setdefault(image.archive, []).append(image)
    for archive in job.archives:
        file = _of_file(job, archive)
        yield from _of_images(file, images[archive.name]) if images[archive.name] else [file]


def _of_file(job: Job, archive: JobArchive) -> ReportRow:
    outcome = _OF_JOB.get(job.state, Outcome.PENDING)
    if job.state is JobState.FAILED:
        outcome = _failed(job.problem)
    row = ReportRow(
        job=job.id,
        archive=archive.name,
        path=shorten(archive.path or archive.name, MAX_PATH),
        size=archive.size,
        outcome=outcome,
        file_outcome=outcome,
        archive_digest=None if archive.digest is None else str(archive.digest),
        time=format_time(job.finished_at or job.started_at or job.created_at),
    )
    return _with_problem(row, job.problem if job.ended else None)


def _of_images(file: ReportRow, images: Sequence[JobImage]) -> Iterator[ReportRow]:
    outcomes = [_OF_IMAGE.get(image.state) or _failed(image.problem) for image in images]
    worst = next(outcome for outcome in _WORST_FIRST if outcome in outcomes)
    for number, (image, outcome) in enumerate(zip(images, outcomes, strict=True)):
        row = replace(
            file,
            outcome=outcome,
            file_outcome=worst,
            is_first=number == 0,
            names=image.names,
            destinations=image.destinations,
            digest=None if image.digest is None else str(image.digest),
            platforms=image.platforms,
        )
        yield _with_problem(row, image.problem)


def _with_problem(row: ReportRow, problem: Problem | None) -> ReportRow:
    if problem is None:
        return replace(row, code=None, problem=None)
    return replace(row, code=problem.code, problem=shorten(problem.detail, MAX_PROBLEM))


def _failed(problem: Problem | None) -> Outcome:
    return Outcome.NEEDS_DECISION if problem is not None and problem.code in DECISIONS else Outcome.FAILED


__all__ = ["report_rows"]
