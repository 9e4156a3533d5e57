"""Docker Engine routes: `docker load` and the docker package send an archive, and `push` reports its destinations.

These are the parts of the Engine API that they need, with and without a version in the path. X-Registry-Auth is
ignored: a request has no credentials and cannot name a host. The host of a name is removed, as in all requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.context import ApiContext, Context
from app.api.json_response import NewlineJSONResponse
from app.api.requests.body import check_size, expected_bytes, stream_body
from app.api.routes.docker_engine_documents import (
    API_VERSION,
    DockerError,
    DockerImageDocument,
    VersionDocument,
    image_document,
)
from app.api.routes.docker_engine_stream import error_line, final_lines, json_line, progress_lines, pushed_lines
from app.errors import InvalidRequest, NotFound, Unavailable, UnknownRegistry
from app.jobs import Job, JobRequest
from app.jobs.registries import ConfiguredRegistry
from app.oci import Reference, parse_repository
from app.push import PushOptions
from app.registry import StoredManifest

TICK_SECONDS = 1.0  # between two states of a job; clients abort after 60 s without a byte
_DEFAULT = "default"
_PING = {"API-Version": API_VERSION, "OSType": "linux", "Docker-Experimental": "false", "Cache-Control": "no-cache"}
_STREAM: dict[str, Any] = {"content": {"application/json": {"schema": {"type": "string"}}}}
_WORDS: dict[int | str, str] = {
    404: "It has not landed",
    422: "The request, a name or the archive is not valid",
    429: "The token has as many jobs under way as it may",
    502: "The registry cannot be asked",
    503: "The service is about to stop",
    507: "There is no room for the archive",
    "default": "Any other error",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of errors in Docker's format."""
    told: tuple[int | str, ...] = (*statuses, "default")
    return {item: {"description": _WORDS[item], "model": DockerError} for item in told}


router = APIRouter(tags=["docker"])
Endpoint = Callable[..., Coroutine[Any, Any, Response]]


def _door(method: str, path: str, **told: Any) -> Callable[[Endpoint], Endpoint]:
    """Add the route, and the same route with a version, which is not in the OpenAPI document."""

    def add(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(path, endpoint, methods=[method], **told)
        router.add_api_route(f"/v1.{{minor:int}}{path}", endpoint, methods=[method], include_in_schema=False)
        return endpoint

    return add


@router.head("/_ping", include_in_schema=False)
@router.head("/v1.{minor:int}/_ping", include_in_schema=False)
@_door(
    "GET",
    "/_ping",
    operation_id="ping",
    summary="Answer Docker's clients",
    response_class=Response,
    responses=_errors() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def ping() -> Response:
    """Return `OK`, with the supported version of Docker's API in a header."""
    return Response("OK", media_type="text/plain", headers=_PING)


@_door(
    "GET",
    "/version",
    operation_id="getVersion",
    summary="Tell the version",
    response_model=VersionDocument,
    responses=_errors(),
)
async def get_version() -> Response:
    """Return the version of Tarmac and the supported versions of Docker's API."""
    return NewlineJSONResponse(VersionDocument().model_dump(), headers=_PING)


@_door(
    "POST",
    "/images/load",
    operation_id="loadImages",
    summary="Push an archive as docker load sends it",
    response_class=StreamingResponse,
    responses=_errors(422, 429, 502, 503, 507)
    | {200: {"description": "Docker's progress stream, a JSON object a line"} | _STREAM},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def load_images(
    request: Request,
    context: Context,
    quiet: Annotated[bool, Query(description="Only what landed, and errors.")] = False,
    platform: Annotated[str, Query(description="Not possible here; `platforms` of `POST /push` is.")] = "",
) -> Response:
    """Push every image of the archive in the body to the registry `default`, under its embedded names.

    The stream ends with `Loaded image: NAME` for each of them, or an error.
    """
    if platform:
        raise InvalidRequest("`platform` cannot be chosen here; send the archive to POST /push?platforms=linux/amd64")
    job = await _received(request, context)
    return StreamingResponse(_told(context, job, quiet), media_type="application/json")


@_door(
    "POST",
    "/images/{name:path}/push",
    operation_id="pushLoadedImage",
    summary="Tell where an image has landed, as docker push does",
    response_class=StreamingResponse,
    responses=_errors(404, 422, 502)
    | {200: {"description": "Docker's progress stream, a JSON object a line"} | _STREAM},
)
async def push_image(
    name: str, context: Context, tag: Annotated[str, Query(description="`latest` where none is given.")] = ""
) -> Response:
    """Report where an image is and its digest; it was pushed when it was loaded. An image that was not is not found."""
    landed = await _landed(context, f"{name}:{tag}" if tag else name)
    where = f"{landed.reference.registry}/{landed.reference.repository}"
    lines = pushed_lines(where, landed.reference.tag or str(landed.stored.digest), landed.stored)
    return StreamingResponse(_each(lines), media_type="application/json")


@_door(
    "GET",
    "/images/{name:path}/json",
    operation_id="getLoadedImage",
    summary="Show an image that has landed, as docker inspect does",
    response_model=DockerImageDocument,
    responses=_errors(404, 422, 502),
)
async def inspect_image(name: str, context: Context) -> Response:
    """Return the image in the registry `default`, by a name or by `repository@digest`."""
    landed = await _landed(context, name)
    document = await image_document(landed.configured.registry, landed.reference, landed.stored)
    return NewlineJSONResponse(document.model_dump())


async def _received(request: Request, context: ApiContext) -> Job:
    """Receive the body and return its job."""
    if context.stopping.is_set():
        raise Unavailable("the service is about to stop and takes no new work; send it again in a moment")
    _default(context)
    await check_size(request, context)
    expected = expected_bytes(request)
    if expected == 0:
        raise InvalidRequest("the body is empty; send an archive, as docker save makes one")
    async with AsyncExitStack() as stack:
        upload = await stack.enter_async_context(await context.service.begin(source="upload"))
        context.metrics.uploads.inc()
        stack.callback(context.metrics.uploads.dec)
        await upload.receive("docker load", stream_body(request, context), expected)
        return await upload.submit(JobRequest(PushOptions()))


async def _told(context: ApiContext, job: Job, quiet: bool) -> AsyncIterator[bytes]:
    """Yield the progress of the job to its end. The job continues if the client disconnects."""
    seen: set[bytes] = set()
    yield json_line(status=f"job {job.id}: GET /jobs/{job.id}")
    while not job.ended:
        job = await _next(context, job)
        if context.stopping.is_set() and not job.ended:
            yield error_line(f"the service stops; job {job.id} goes on when it is back: GET /jobs/{job.id}")
            return
        fresh = [] if quiet else [line for line in progress_lines(job) if line not in seen]
        seen.update(fresh)
        yield b"".join(fresh) or b"\n"  # white space between objects keeps the connection alive
    yield b"".join(final_lines(job))


async def _next(context: ApiContext, job: Job) -> Job:
    """Return the job after a tick, or at once when it ends or the service stops."""
    waiting = asyncio.ensure_future(context.service.wait(job.id, TICK_SECONDS))
    stopping = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else job
    finally:
        waiting.cancel()
        stopping.cancel()
        await asyncio.wait({waiting, stopping})


@dataclass(frozen=True, slots=True)
class _PushedImage:
    """An image at `reference`."""

    configured: ConfiguredRegistry
    reference: Reference
    stored: StoredManifest


async def _landed(context: ApiContext, name: str) -> _PushedImage:
    """Return the image of an archive's name at the default registry. Raises NotFound, Forbidden, RegistryError."""
    configured = _default(context)
    embedded = Reference.parse(name)
    place = configured.destination
    repository = parse_repository("/".join(filter(None, (place.path, embedded.repository))))
    reference = embedded.at(place.host, repository)
    context.caller.submitter.check((reference,))
    wanted = str(reference.digest) if reference.digest else reference.tag or ""
    stored = await configured.registry.read_manifest(repository, wanted)
    if stored is None:
        raise NotFound(f"No such image: {name} ({reference} has not landed); load it, or send it to POST /push")
    return _PushedImage(configured, replace(reference, digest=None), stored)


def _default(context: ApiContext) -> ConfiguredRegistry:
    view = context.registries.get(_DEFAULT)
    if view is None or view.configured is None:
        raise UnknownRegistry("Docker's clients push to the registry `default`, and none is configured by that name")
    return view.configured


async def _each(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
