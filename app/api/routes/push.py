"""`POST /push` and `PUT /push/{filename}`: receive archives and create a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response

from app.api import job_response
from app.api.context import ApiContext, Context
from app.api.each_response import EachArchive, each_response
from app.api.openapi.push import PUSH_RESPONSES, describe_push
from app.api.problems import problem_response
from app.api.requests.body import check_length, check_size, expected_bytes, json_members, stream_body
from app.api.requests.body_type import Body, Kind, is_json, read_kind
from app.api.requests.deliveries import job_request
from app.api.requests.multipart import Form
from app.api.requests.options import Options
from app.api.requests.split_upload import FormArchive, FormParts
from app.api.routes.jobs import wait_while_connected
from app.errors import ArchiveError, InvalidRequest, TarmacError, Unavailable, UnknownRegistry
from app.jobs import ArchiveUpload, Job, JobRequest
from app.jobs.bounds import MAX_PATH, shorten

MAX_HELD_BYTES = 64 << 20  # of a form that is read to its end although an archive of it is bad
MAX_NAME = 255  # characters of a file name; it is only shown

router = APIRouter(tags=["push"])


class _PushRequest:
    """One request. `upload` is set once its job exists."""

    def __init__(self, request: Request, context: ApiContext, name: str) -> None:
        self._request, self._context, self._name = request, context, name
        self.options = Options()
        self.upload: ArchiveUpload | None = None
        self.each: EachArchive | None = None
        self._stack = AsyncExitStack()

    async def run(self) -> Job:
        """Receive the archives and return the queued job. Raises TarmacError; then `upload.job` has failed with it."""
        if self._context.stopping.is_set():
            raise Unavailable("the service is about to stop and takes no new work; send it again in a moment")
        headers = self._request.headers
        self.options.add_all(self._request.query_params.multi_items())
        self.options.add_prefer_header(headers.getlist("prefer"))
        content_type = headers.get("content-type", "")
        check_length(self._request, self._context)
        if not is_json(content_type):
            await check_size(self._request, self._context)
        async with self._stack:
            body = await read_kind(content_type, stream_body(self._request, self._context))
            if body.kind is Kind.JSON:
                return await self._take_paths(body.chunks)
            if is_json(content_type):
                await check_size(self._request, self._context)
            return await (self._take_form(body) if body.kind is Kind.FORM else self._take_raw(body.chunks))

    async def _take_paths(self, chunks: AsyncIterator[bytes]) -> Job:
        self.options.add_json(await json_members(self._context, chunks, '{"paths": ["/data/in/*.tar"]}'))
        self._check_options()
        if self.options.each:
            delivery, jobs = await self._context.deliveries.submit_each(await self._job_request(), self._key())
            self.each = EachArchive(delivery, jobs)
            return jobs[0]
        return await self._context.service.submit_paths(await self._job_request(), self._key())

    async def _take_raw(self, chunks: AsyncIterator[bytes]) -> Job:
        self.options.add_digest_headers(self._digest_fields())
        self._check_options()
        expected = expected_bytes(self._request)
        first = await anext(chunks, None) if expected is None else b""
        if expected == 0 or first is None:
            raise InvalidRequest("the body is empty; send an archive, as curl -T x.tar or curl -F archive=@x.tar does")
        upload = await self._begin()
        upload.set_expected_request(self.options.job_request(self._context.caller))
        await upload.receive(self._name, _behind(first, chunks), expected)
        return await upload.submit(await self._job_request())

    async def _take_form(self, body: Body) -> Job:
        if self._digest_fields():
            raise InvalidRequest("Content-Digest of a form is not the archive's; give it as option `checksum`")
        form = Form(body.content_type, body.chunks)
        async for part in FormParts(form):
            if isinstance(part, FormArchive):
                await self._take_part(part)
            else:
                self.options.add(part.name, await part.text())
        if self.upload is None:
            raise InvalidRequest("the form has no file part `archive`, as curl -F archive=@x.tar makes one")
        return await self.upload.submit(await self._job_request())

    async def _take_part(self, part: FormArchive) -> None:
        if self.upload is None:
            self._check_options()
        upload = self.upload or await self._begin()
        asked = self.options.job_request(self._context.caller)  # later parts may add options
        upload.set_expected_request(asked)
        path = display_path(part.filename or "") or None
        try:
            await upload.receive(display_name(part.filename or self._name), part.chunks(upload.is_whole), None, path)
        except ArchiveError as error:
            part.explain(error)
            if not (asked.options.keep_going or self._is_small()):
                raise
            upload.add_refused(error)
            await part.skip()

    def _is_small(self) -> bool:
        """Whether the whole request is read although an archive of it is bad: an option to keep going may follow."""
        length = expected_bytes(self._request)
        return length is not None and length <= MAX_HELD_BYTES

    async def _begin(self) -> ArchiveUpload:
        delivery = (await self._job_request()).delivery
        begun = await self._context.service.begin(source="upload", idempotency_key=self._key(), delivery=delivery)
        self.upload = await self._stack.enter_async_context(begun)
        self._context.metrics.uploads.inc()
        self._stack.callback(self._context.metrics.uploads.dec)
        return self.upload

    async def _job_request(self) -> JobRequest:
        return await job_request(self.options, self._context)

    def _check_options(self) -> None:
        """Check the options before the first byte, so that a typo is reported before 10 GB are sent."""
        self.options.job_request(self._context.caller)
        self.options.wait_seconds()
        if self.options.each and not self.options.paths:
            raise InvalidRequest("option `each` needs `paths`; send one request per archive, with the same `delivery`")
        _ = self.options.delivery, self.options.wait_required
        known = self._context.registries
        if self.options.registry not in known:
            raise UnknownRegistry(
                f"no registry {self.options.registry!r:.100} is configured; known: {', '.join(known)}"
            )

    def _digest_fields(self) -> list[str]:
        headers = self._request.headers
        return [*headers.getlist("content-digest"), *headers.getlist("repr-digest")]

    def _key(self) -> str | None:
        return self._request.headers.get("idempotency-key")


async def _behind(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def display_name(filename: str) -> str:
    """Return the last component of the client's file name, printable; it is never used as a path."""
    name = _shown(filename.replace("\\", "/").rstrip("/").rpartition("/")[2])
    return shorten(name, MAX_NAME) or "archive"


def display_path(filename: str) -> str:
    """Return the client's file name, printable; it is never used as a path."""
    steps = filename.replace("\\", "/").split("/")
    return shorten("/".join(_shown(step) for step in steps if step not in ("", ".", "..")), MAX_PATH)


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "_" for char in text)


async def _push(request: Request, context: ApiContext, name: str) -> Response:
    push = _PushRequest(request, context, display_name(name))
    try:
        job = await push.run()
        wait, is_required = push.options.wait_seconds(), push.options.wait_required
    except TarmacError as error:
        if push.upload is None:
            return problem_response(error)
        ended = await context.service.get(push.upload.job.id)
        return problem_response(error, {"Location": f"/jobs/{ended.id}"}, job_response.job_document(ended))
    if push.each is not None:
        return await each_response(request, context, push.each, wait, is_required=is_required)
    if wait is None:
        return job_response.accepted_response(job)
    ended = await wait_while_connected(request, context, (job, wait), for_answer=True)
    return job_response.waited_response(ended, is_required=is_required)


@router.post(
    "/push",
    summary="Push archives",
    status_code=202,
    responses=PUSH_RESPONSES,
    openapi_extra=describe_push("post"),
    operation_id="pushArchives",
)
async def push_archives(request: Request, context: Context) -> Response:
    """Push every image in the archives of the request: a form, the body itself, or paths on the server."""
    return await _push(request, context, "")


@router.put("/push", include_in_schema=False)
@router.put("/push/", include_in_schema=False)
async def put_unnamed_archive(request: Request, context: Context) -> Response:
    return await _push(request, context, "")


@router.put(
    "/push/{filename:path}",
    summary="Push one archive, as curl -T sends it",
    status_code=202,
    responses=PUSH_RESPONSES,
    openapi_extra=describe_push("put"),
    operation_id="pushArchiveFile",
)
async def put_archive(filename: str, request: Request, context: Context) -> Response:
    """Push every image in the archive that is the body: `curl -T x.tar http://host/push/`."""
    return await _push(request, context, unquote(filename))
