"""Docker's progress stream: one JSON object per line, as its SDKs and its command read them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.jobs import Job
from app.jobs.model import JobImage
from app.push import ImageState
from app.registry import StoredManifest

_STATUS: Mapping[ImageState, str] = {
    ImageState.PENDING: "Waiting",
    ImageState.PUSHING: "Pushing",
    ImageState.PUSHED: "Pushed",
    ImageState.ALREADY_PRESENT: "Already exists",
    ImageState.SKIPPED: "Skipped: the tag exists",
    ImageState.PLANNED: "Planned",
    ImageState.FAILED: "Failed",
    ImageState.CANCELLED: "Cancelled",
}
_LANDED = frozenset({ImageState.PUSHED, ImageState.ALREADY_PRESENT})


def json_line(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


def progress_lines(job: Job) -> Iterator[bytes]:
    """Yield the progress of a job while it runs: its bytes, and the state of each image."""
    progress = job.progress
    detail = {"current": progress.bytes_done, "total": progress.bytes_total}
    yield json_line(status="Pushing", id=job.id[:12], progressDetail=detail, progress=f"{progress.percent:.0f} %")
    reason = job.waiting_for.last_error if job.waiting_for else job.problem and job.problem.detail
    if reason:
        yield json_line(status=f"Waiting for the registry: {reason}", id=job.id[:12], progressDetail={})
    for image in job.images:
        yield json_line(status=_STATUS[image.state], id=display_names(image)[0], progressDetail={})


def final_lines(job: Job) -> Iterator[bytes]:
    """Yield the pushed images by name, then the errors, because clients stop at the first error."""
    for image in job.images:
        if image.state in _LANDED:
            yield from (json_line(stream=f"Loaded image: {name}\n") for name in display_names(image))
        elif image.state is ImageState.SKIPPED:
            yield from (
                json_line(status=_STATUS[image.state], id=name, progressDetail={}) for name in display_names(image)
            )
    problem = job.problem or next((image.problem for image in job.images if image.problem), None)
    if problem is not None:
        yield error_line(f"{problem.detail} [{problem.code}; GET /jobs/{job.id}]")
    elif not any(image.state in _LANDED | {ImageState.SKIPPED} for image in job.images):
        yield json_line(status=f"job {job.id} {job.state}: {', '.join(job.notices) or 'no image was loaded'}")


def error_line(message: str) -> bytes:
    return json_line(errorDetail={"message": message}, error=message)


def display_names(image: JobImage) -> tuple[str, ...]:
    """Return the embedded names, or the destinations if there are none."""
    return image.names or image.destinations or (str(image.digest),)


def pushed_lines(repository: str, tag: str, stored: StoredManifest) -> Iterator[bytes]:
    """Yield the push of an image that is present; `repository` includes its registry."""
    yield json_line(status=f"The push refers to repository [{repository}]")
    yield json_line(status=f"already at {repository}:{tag}", id=tag, progressDetail={})
    yield json_line(status=f"{tag}: digest: {stored.digest} size: {len(stored.raw)}")
    yield json_line(progressDetail={}, aux={"Tag": tag, "Digest": str(stored.digest), "Size": len(stored.raw)})
