"""Applies events and problems to the images of a job. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.errors import Problem
from app.jobs.bounds import add_notices
from app.jobs.model import Job, JobArchive, JobImage
from app.jobs.outage import is_outage
from app.push import Event, ImageChanged, ImageState, NoticeAdded, PushPlan
from app.push.report.progress import ENDED


def problem_of_archives(archives: Sequence[JobArchive]) -> Problem | None:
    """Return how many of how many are bad, with the first one's words; None if none is."""
    problems = [archive.problem for archive in archives if archive.problem is not None]
    if not problems or len(archives) == 1:
        return problems[0] if problems else None
    detail = f"{len(problems)} of {len(archives)} archives are not whole; the first: {problems[0].detail}"
    return replace(problems[0], detail=detail)


def problem_of_images(images: tuple[JobImage, ...]) -> Problem | None:
    """Return the problem of a job whose images failed: the counts, and the detail of the first failure.

    An outage has precedence over other failures. The problem is retryable if that of any image is."""
    problems = [image.problem for image in images if image.state is ImageState.FAILED and image.problem is not None]
    if not problems:
        return None
    first = next(filter(is_outage, problems), problems[0])
    if len(images) == 1:
        return first
    return replace(
        first,
        detail=f"{len(problems)} of {len(images)} images failed; the first: {first.detail}",
        retryable=any(problem.retryable for problem in problems),
    )


def failed(image: JobImage, problem: Problem) -> JobImage:
    """Return the image as failed with `problem`, unless it has ended already."""
    return image if image.state in ENDED else replace(image, state=ImageState.FAILED, problem=problem)


def landed_names(job: Job, plan: PushPlan) -> Iterator[tuple[str, str]]:
    """Yield repository and reference (a tag, or a digest) of each image that the destination has now."""
    for image, target in zip(job.images, plan.images, strict=True):
        if image.state not in {ImageState.PUSHED, ImageState.ALREADY_PRESENT}:
            continue
        for destination in target.destinations:
            reference = destination.tag or (str(image.digest) if image.digest else None)
            if reference is not None and str(destination) not in plan.left:
                yield destination.repository, reference


def told(job: Job, event: Event) -> Job:
    """Return the job after `event`."""
    match event:
        case ImageChanged():
            image = job.images[event.image]
            changed = replace(
                image,
                state=event.state,
                digest=event.digest or image.digest,
                media_type=event.media_type or image.media_type,
                problem=event.problem,
            )
            return replace(job, images=(*job.images[: event.image], changed, *job.images[event.image + 1 :]))
        case NoticeAdded():
            return replace(job, notices=add_notices(job.notices, (event.text,)))
    return job
