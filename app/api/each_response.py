"""The response to a request with `each=true`: a delivery with one job per archive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from starlette.responses import Response

from app.api import job_response
from app.api.context import ApiContext
from app.api.delivery_documents import delivery_document
from app.api.json_response import NewlineJSONResponse
from app.api.problems import PROBLEM_JSON, problem_document
from app.api.routes.jobs import wait_while_connected
from app.errors import Conflict, ErrorOrigin, Problem, WaitExpired
from app.jobs import Job, JobState

_OURS = (ErrorOrigin.REGISTRY, ErrorOrigin.SERVICE)


@dataclass(frozen=True, slots=True)
class EachArchive:
    """`jobs` of the delivery with the id `delivery`, one per archive."""

    delivery: str
    jobs: Sequence[Job]


async def each_response(
    request: Request, context: ApiContext, delivered: EachArchive, wait: float | None, *, is_required: bool
) -> Response:
    """Wait for the jobs, if asked to, and respond with the delivery and brief documents."""
    until = time.monotonic() + (wait or 0.0)
    jobs = list(delivered.jobs)
    for number, job in enumerate(delivered.jobs if wait is not None else ()):
        left = max(until - time.monotonic(), 0.0)
        jobs[number] = await wait_while_connected(request, context, (job, left))
    summary = await context.deliveries.get(delivered.delivery)
    content = {"delivery": delivery_document(summary), "jobs": list(map(job_response.brief, jobs))}
    headers = {"Location": f"/deliveries/{delivered.delivery}"}
    problem = _problem(jobs, is_required=is_required) if wait is not None else None
    if problem is None:
        is_over = wait is not None and all(job.ended for job in jobs)
        return NewlineJSONResponse(content, HTTPStatus.OK if is_over else HTTPStatus.ACCEPTED, headers)
    status = _status(problem)
    return NewlineJSONResponse(problem_document(problem, status) | content, status, headers, PROBLEM_JSON)


def _problem(jobs: Sequence[Job], *, is_required: bool) -> Problem | None:
    """Return the problem of the response: of the registry or the service first; None if the jobs succeeded."""
    if not all(job.ended for job in jobs):
        ended = sum(job.ended for job in jobs)
        expired = WaitExpired(f"{ended} of {len(jobs)} jobs have ended; the others continue: ask for the delivery")
        return expired.problem if is_required else None
    lost = [job for job in jobs if job.state is not JobState.SUCCEEDED]
    problems = [job.problem or Conflict(f"job {job.id} was cancelled").problem for job in lost]
    return next((problem for problem in problems if problem.origin in _OURS), problems[0] if problems else None)


def _status(problem: Problem) -> HTTPStatus:
    if problem.code == WaitExpired.code:
        return HTTPStatus.GATEWAY_TIMEOUT
    return HTTPStatus.BAD_GATEWAY if problem.origin in _OURS else HTTPStatus.UNPROCESSABLE_ENTITY


__all__ = ["EachArchive", "each_response"]
