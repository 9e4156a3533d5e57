"""`/jobs`: list, show, wait, watch, cancel, retry and delete jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from app.api import job_response
from app.api.context import ApiContext, Context
from app.api.event_stream import RECONNECT, STREAM_HEADERS, cancel_all, follow
from app.api.job_events import JobEvents, end
from app.api.json_response import tagged_answer
from app.api.openapi.push import retry_body, retry_parameters
from app.api.requests.body import json_members, stream_body
from app.api.requests.job_filters import REPEATABLE, JobFilterQuery
from app.api.requests.options import Options, parse_wait
from app.api.requests.query import takes
from app.api.schemas import ImagePageDocument, JobDocument, JobPage, problems
from app.errors import InvalidRequest, Unauthorized
from app.jobs import Job
from app.jobs.model import MAX_IMAGES

MAX_LIMIT = 500

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events. `job`: the JobDocument, first and when state, attempt or list of images is "
        "another; its id is the revision. `image`: a JobImageEvent for an image that changed. `progress`: the members "
        "of the JobDocument that changed, without `images`, at most four times a second. `end`: a JobEndEvent. `image` "
        "and `progress` have no id and are not repeated: who comes back gets `job` again.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "`If-None-Match` has the ETag of this."}}

router = APIRouter(prefix="/jobs", tags=["jobs"])


class JobListQuery(JobFilterQuery):
    """Filters of jobs, and the size of a page."""

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before", max_length=256)
    brief: bool = Field(default=True, description="Jobs are brief in any case.", deprecated=True)


class ImageListing(BaseModel):
    """A page of the images of a job."""

    limit: int = Field(default=100, ge=1, le=MAX_IMAGES, description="A page of more than 1 MiB ends earlier.")
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before", max_length=256)


@router.head("", include_in_schema=False, dependencies=[takes(*JobListQuery.model_fields, repeatable=REPEATABLE)])
@router.get(
    "",
    summary="List the jobs",
    response_model=JobPage,
    responses=NOT_MODIFIED | problems("invalid_request"),
    dependencies=[takes(*JobListQuery.model_fields, repeatable=REPEATABLE)],
    operation_id="listJobs",
)
async def list_jobs(request: Request, context: Context, listing: Annotated[JobListQuery, Query()]) -> Response:
    """List the jobs, newest first.

    They are brief: `images` is empty, `inspection` is null, and `archives` and `notices` have the first 20. A page ends
    at 4 MiB, and with `q` after one second.
    """
    jobs, following = await context.service.page(listing.filters(), limit=listing.limit, cursor=listing.cursor)
    content = {"jobs": [job_response.brief(job) for job in jobs], "next_cursor": following}
    return tagged_answer(request, content)


@router.head("/{job_id}", include_in_schema=False, dependencies=[takes("wait")])
@router.get(
    "/{job_id}",
    summary="Show a job, or wait for it",
    response_model=JobDocument,
    responses=NOT_MODIFIED | problems("not_found", "invalid_request"),
    dependencies=[takes("wait")],
    operation_id="getJob",
)
async def get_job(
    job_id: str,
    request: Request,
    context: Context,
    wait: Annotated[str | None, Query(description="Answer at the end of the job, or after so many seconds.")] = None,
) -> Response:
    """Return the job, or wait for its end with `wait`."""
    job = await context.service.get(job_id)
    if wait is not None and (seconds := parse_wait(wait)) and not job.ended:
        job = await wait_while_connected(request, context, (job, seconds))
    return tagged_answer(request, job_response.job_document(job))


@router.head("/{job_id}/images", include_in_schema=False, dependencies=[takes(*ImageListing.model_fields)])
@router.get(
    "/{job_id}/images",
    summary="List the images of a job",
    operation_id="listJobImages",
    response_model=ImagePageDocument,
    responses=NOT_MODIFIED | problems("not_found", "invalid_request"),
    dependencies=[takes(*ImageListing.model_fields)],
)
async def list_images(
    job_id: str, request: Request, context: Context, listing: Annotated[ImageListing, Query()]
) -> Response:
    """List all images of the job, in its order. The document of the job has the first 1,000."""
    page = await context.service.images(job_id, limit=listing.limit, cursor=listing.cursor)
    return tagged_answer(request, job_response.images(page))


@router.get(
    "/{job_id}/events",
    summary="Watch a job",
    response_class=StreamingResponse,
    responses=_EVENTS | problems("not_found", "invalid_request"),
    dependencies=[takes()],
    openapi_extra={
        "parameters": [
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}, "description": "Go on after it."}
        ]
    },
    operation_id="streamJobEvents",
)
async def stream_job_events(job_id: str, request: Request, context: Context) -> Response:
    """Stream the events of the job, for `EventSource` and `curl -N`."""
    last = request.headers.get("last-event-id") or None
    if last is not None and not (last.isascii() and last.isdigit() and len(last) <= 18):
        raise InvalidRequest("Last-Event-ID is not the id of an event of this job")
    await context.service.get(job_id)
    events = job_events(context, job_id, None if last is None else int(last))
    return StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    status_code=202,
    response_model=JobDocument,
    responses=problems("not_found", "conflict", "invalid_request"),
    dependencies=[takes()],
    operation_id="cancelJob",
)
async def cancel_job(job_id: str, context: Context) -> Response:
    """Cancel the job. Pushed content stays; no further tag is set."""
    return job_response.accepted_response(await context.service.cancel(job_id))


@router.post(
    "/{job_id}/retry",
    summary="Try a job again",
    status_code=202,
    response_model=JobDocument,
    responses=problems(
        "not_found", "conflict", "forbidden", "invalid_request", "invalid_reference", "unknown_registry"
    ),
    openapi_extra={"parameters": retry_parameters(), "requestBody": retry_body()},
    operation_id="retryJob",
)
async def retry_job(job_id: str, request: Request, context: Context) -> Response:
    """Push what is missing of a job that failed or was cancelled. Options that are given, in the query or as members of
    a JSON body, replace those of the job; the rest stays."""
    options = Options()
    options.add_all(request.query_params.multi_items())
    options.add_json_object(await json_members(context, stream_body(request, context), '{"tag": "team/app:1"}'))
    return job_response.accepted_response(await context.service.retry(job_id, options.retry_options()))


@router.delete(
    "/{job_id}",
    summary="Delete a job",
    status_code=204,
    responses=problems("not_found", "conflict", "invalid_request"),
    dependencies=[takes()],
    operation_id="deleteJob",
)
async def delete_job(job_id: str, context: Context) -> None:
    """Delete an ended job and its archives."""
    await context.service.delete(job_id)


async def job_events(context: ApiContext, job_id: str, after: int | None) -> AsyncGenerator[bytes, None]:
    """Yield server-sent events, with comments while nothing changes.

    If the service stops or the token lapses, the stream ends without `end`, so the client reconnects.
    """
    yield RECONNECT
    told = JobEvents(after)
    async with (
        aclosing(context.service.subscribe(job_id)) as states,
        aclosing(follow(context, partial(_next, states))) as items,
    ):
        async for item in items:
            if item is None:
                yield end(await context.service.get(job_id))
                return
            if text := item if isinstance(item, bytes) else told.of(item):
                yield text


async def _next(states: AsyncIterator[Job]) -> Job | None:
    return await anext(states, None)


async def wait_while_connected(
    request: Request, context: ApiContext, job: tuple[Job, float], *, for_answer: bool = False
) -> Job:
    """Wait as `JobService.wait` does, but not after the client disconnected or the service stops.

    Raises Unauthorized if the token of the request lapses.
    """
    present, seconds = job
    waiting = asyncio.ensure_future(context.service.wait(present.id, seconds, for_answer=for_answer))
    lapsed = asyncio.ensure_future(context.lapse())
    others = (asyncio.ensure_future(_gone(request)), asyncio.ensure_future(context.stopping.wait()), lapsed)
    try:
        await asyncio.wait({waiting, *others}, return_when=asyncio.FIRST_COMPLETED)
        if lapsed.done():
            raise Unauthorized(f"the token was revoked or changed while job {present.id} was waited for")
        return waiting.result() if waiting.done() else present
    finally:
        await cancel_all(waiting, *others)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
