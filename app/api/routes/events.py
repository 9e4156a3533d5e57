"""`GET /events`: the changes of all jobs that the caller may see, as server-sent events.

    reset     list the jobs: first, and after missed changes
    job       a brief document, if the state, attempt or delivery changed
    progress  `id`, `revision`, `progress` and `waiting_for`, if nothing else changed
    deleted   `id` of a job that was deleted

Events have no id: changes while a client is disconnected are not repeated; it receives `reset`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from app.api import job_response
from app.api.context import ApiContext, Context
from app.api.event_stream import RECONNECT, STREAM_HEADERS, event, follow
from app.api.requests.query import takes
from app.api.schemas import problems
from app.jobs import Job
from app.jobs.tracking.feed import JobChanges

PAUSE_SECONDS = 0.5  # between two batches; changes in between are coalesced

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events. `reset` (no members): list the jobs; it is sent first, and when changes "
        "were missed. `job`: a brief JobDocument. `progress`: the `id`, `revision`, `progress` and `waiting_for` of a "
        "JobDocument. `deleted`: the `id` of a job. At most 100 jobs twice a second; a job that changes more often is "
        "sent in its newest state. No event has an id.",
        "content": {"text/event-stream": {"schema": {"type": ["string", "object"]}}},
    }
}

router = APIRouter(tags=["jobs"])


@router.get(
    "/events",
    summary="Watch all jobs",
    response_class=StreamingResponse,
    responses=_RESPONSES | problems("invalid_request"),
    dependencies=[takes()],
    operation_id="streamEvents",
)
async def stream_events(context: Context) -> Response:
    """Stream the changes of all jobs that the caller may see, for `EventSource` and `curl -N`."""
    return StreamingResponse(all_events(context), media_type="text/event-stream", headers=STREAM_HEADERS)


async def all_events(context: ApiContext) -> AsyncGenerator[bytes, None]:
    """Yield the events until the service stops or the token lapses. A comment keeps a silent stream open."""
    changes = _Changes()
    with context.service.follow() as feed:
        yield RECONNECT + event("reset", {})
        async with aclosing(follow(context, feed.next, PAUSE_SECONDS)) as items:
            async for item in items:
                yield item if isinstance(item, bytes) else changes.of(item)


class _Changes:
    """The jobs whose document was sent and that have not ended."""

    def __init__(self) -> None:
        self._outlines: dict[str, tuple[Any, ...]] = {}

    def of(self, changes: JobChanges) -> bytes:
        if changes.is_incomplete:
            self._outlines.clear()
        reset = [event("reset", {})] if changes.is_incomplete else []
        deleted = [event("deleted", {"id": job_id}) for job_id in changes.deleted]
        return b"".join((*reset, *map(self._job, changes.jobs), *deleted))

    def _job(self, job: Job) -> bytes:
        outline = (job.state, job.attempt, job.delivery, job.next_attempt_at)
        is_known = self._outlines.pop(job.id, None) == outline
        if not job.ended:
            self._outlines[job.id] = outline
        document = job_response.brief(job)
        if is_known:
            return event("progress", {name: document[name] for name in ("id", "revision", "progress", "waiting_for")})
        return event("job", document)


__all__ = ["all_events"]
