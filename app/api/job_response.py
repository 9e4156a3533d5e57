"""A job as an HTTP response."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from app.api.base_path import address_of
from app.api.json_response import NewlineJSONResponse
from app.api.problems import failed_job_response, problem_document, problem_response
from app.errors import Conflict, WaitExpired
from app.jobs import Job, JobState
from app.jobs.image_page import ImagePage
from app.jobs.model import images_document


def job_document(job: Job) -> dict[str, Any]:
    return job.document(problem_document) | {"links": links(job)}


def brief(job: Job) -> dict[str, Any]:
    return job.brief_document(problem_document) | {"links": links(job)}


def links(job: Job) -> dict[str, str | None]:
    """Return the addresses of the job and of the actions that its state allows."""
    itself = address_of(f"/jobs/{job.id}")
    return {
        "self": itself,
        "events": f"{itself}/events",
        "images": f"{itself}/images",
        "cancel": None if job.ended else f"{itself}/cancel",
        "retry": f"{itself}/retry" if job.can_retry else None,
        "delivery": None if job.delivery is None else address_of(f"/deliveries/{job.delivery}"),
    }


def images(page: ImagePage) -> dict[str, Any]:
    return {
        "images": images_document(page.images, problem_document, page.first),
        "images_total": page.total,
        "next_cursor": page.next_cursor,
    }


def accepted_response(job: Job) -> Response:
    return NewlineJSONResponse(job_document(job), 202, {"Location": f"/jobs/{job.id}"})


def waited_response(job: Job, *, is_required: bool = False) -> Response:
    """Return the response to a request that waited: its status is the outcome of the job."""
    location = {"Location": f"/jobs/{job.id}"}
    if not job.ended and job.problem is None and is_required:
        error = WaitExpired(
            f"job {job.id} is {job.state}; it continues: ask for it, or send the request with more time"
        )
        return problem_response(error, location, job_document(job))
    if not job.ended and job.problem is None:
        return accepted_response(job)
    if job.state is JobState.SUCCEEDED:
        return NewlineJSONResponse(job_document(job), 200, location)
    if job.problem is None:
        return problem_response(Conflict(f"job {job.id} was cancelled"), location, job_document(job))
    return failed_job_response(job.problem, job_document(job), location)
