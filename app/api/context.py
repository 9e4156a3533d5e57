"""The dependencies of the routes, assembled by `app.main` and stored in the application's state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request

from app.api.probe import Probe
from app.auth.model import EVERYBODY, Caller
from app.errors import RegistryError
from app.jobs import JobService, JobState
from app.jobs.audit import AuditTrail
from app.jobs.authorization import AuthorizedJobs
from app.jobs.deliveries.service import Deliveries
from app.jobs.registries import ConfiguredRegistry
from app.jobs.resumable import ResumableUploads
from app.jobs.resumable.authorization import AuthorizedUploads
from app.jobs.retention.disk_usage import DiskUsage
from app.registry.distribution.probe import RegistryReport
from app.registry.oci_layout.image_store import ImageStore
from app.telemetry.metrics import Metrics

CALLER = "tarmac.caller"  # its key in the scope of a request
LAPSE = "tarmac.lapse"  # the key of what waits for the end of its token


async def never() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class RegistryView:
    """A configured registry as it may be shown. `check` raises RegistryError if it cannot be used now."""

    url: str
    check: Callable[[], Awaitable[RegistryReport]]
    configured: ConfiguredRegistry | None = None
    probe: Probe = field(default_factory=Probe)

    async def outcome(self) -> RegistryReport | RegistryError:
        """Return what the registry reports about itself, or why it cannot be used."""
        return await self.probe.outcome(self.url, self.check)


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The dependencies of a route, restricted to the jobs and uploads of `caller`, who sends the request.

    `check_room` raises SpoolFull if so many bytes do not fit (blocks). `max_upload_bytes` limits the body of one
    request. `count_jobs` returns the number of jobs by state. `stopping` is set before the service stops; waits and
    event streams end then. `lapse` returns when the token of the request was revoked or changed.
    """

    service: JobService
    registries: Mapping[str, RegistryView]
    max_upload_bytes: int
    check_room: Callable[[int], None]
    count_jobs: Callable[[], Awaitable[Mapping[JobState, int]]]
    uploads: ResumableUploads
    deliveries: Deliveries
    audit: AuditTrail | None = None
    store: ImageStore | None = None
    usage: DiskUsage | None = None
    caller: Caller = EVERYBODY
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    lapse: Callable[[], Awaitable[None]] = never


async def _context_of(request: Request) -> ApiContext:
    """Return the context of the request. A coroutine, because FastAPI would run a plain function in a thread."""
    context = request.app.state.context
    assert isinstance(context, ApiContext)
    held = restrict_to_caller(context, request.scope.get(CALLER, EVERYBODY))
    return replace(held, lapse=request.scope.get(LAPSE, never))


def restrict_to_caller(context: ApiContext, caller: Caller) -> ApiContext:
    jobs = AuthorizedJobs(context.service, caller)
    bounds = [context.max_upload_bytes, caller.quota.upload_bytes or context.max_upload_bytes]
    uploads = AuthorizedUploads(context.uploads, caller, jobs)
    return replace(
        context,
        service=jobs,
        uploads=uploads,
        deliveries=context.deliveries.restricted(jobs, caller),
        max_upload_bytes=min(bounds),
        caller=caller,
    )


Context = Annotated[ApiContext, Depends(_context_of)]
