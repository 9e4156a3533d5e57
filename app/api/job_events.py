"""The server-sent events of a job: its document once, then its changes.

    job        the document: first, and if the state, the attempt or the list of images changed. Its id is the
               revision
    image      `index`, `state`, `problem` and `digest` of an image that changed
    progress   the members of the document that changed, without images; after the events of images
    end        the job has ended

Only `job` and `end` have an id. A client that reconnects before the end of the job gets the document again, so no
event is repeated. For a slow reader only the newest state is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.api import job_response
from app.api.event_stream import event
from app.api.problems import problem_document
from app.jobs import Job, JobImage
from app.jobs.model import shown_images


class JobEvents:
    """The events for one reader. `after` is the id of the last event that it received, if any."""

    def __init__(self, after: int | None = None) -> None:
        self._after = after
        self._job: Job | None = None
        self._members: dict[str, Any] = {}

    def of(self, job: Job) -> bytes:
        """Return the events that were not sent yet for the state `job`."""
        before, members = self._job, self._members
        self._job, self._members = job, job_response.job_document(replace(job, images=()))
        if before is None:
            return b"" if job.ended and job.revision == self._after else _document(job)
        if _outline(before) != _outline(job):
            rest = _images(before, job, len(shown_images(job.images)))
            return _document(job) + b"".join(rest)
        changed = {name: value for name, value in self._members.items() if value != members[name]}
        told = {"revision": job.revision, **changed, "progress": self._members["progress"]}
        return b"".join((*_images(before, job), event("progress", told)))


def end(job: Job) -> bytes:
    return event("end", {"id": job.id, "state": job.state.value}, job.revision)


def _outline(job: Job) -> tuple[Any, ...]:
    return job.state, job.attempt, len(job.images)


def _document(job: Job) -> bytes:
    return event("job", job_response.job_document(job), job.revision)


def _images(before: Job, job: Job, first: int = 0) -> Iterator[bytes]:
    """Yield the events of the images from number `first` on that changed between `before` and `job`."""
    for number in range(first, len(job.images)):
        image = job.images[number]
        earlier = before.images[number] if number < len(before.images) else None
        if image is not earlier and (earlier is None or _state(image) != _state(earlier)):
            problem = image.problem and dict(problem_document(image.problem))
            digest = image.digest and str(image.digest)
            yield event("image", {"index": number, "state": image.state.value, "problem": problem, "digest": digest})


def _state(image: JobImage) -> tuple[Any, ...]:
    return image.state, image.problem, image.digest


__all__ = ["JobEvents", "end"]
