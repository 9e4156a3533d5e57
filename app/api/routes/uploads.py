"""`/uploads`: resumable uploads by tus 1.0 and by the IETF draft on the same resource.

Clients of tus send `Tus-Resumable`, clients of the draft `Upload-Complete`. Interim responses (104) cannot be sent by
ASGI, so a client of the draft begins with an empty request and learns the address from its response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app.api import job_response
from app.api.context import ApiContext, Context
from app.api.openapi.uploads import APPEND, CREATE, HELD, SHOW
from app.api.problems import MalformedRequest, problem_response
from app.api.requests.body import check_length, expected_bytes, json_members, stream_body
from app.api.requests.content_disposition import filename_of
from app.api.requests.deliveries import job_request
from app.api.requests.digest_headers import parse_digest_field
from app.api.requests.options import Options
from app.api.requests.upload_headers import (
    HOLD,
    OFFSET_STREAM,
    PARTIAL_UPLOAD,
    TUS_VERSION,
    UploadMetadata,
    is_true,
    parse_boolean,
    parse_concat,
    parse_number,
    parse_upload_checksum,
)
from app.api.routes.push import display_name, display_path
from app.api.upload_responses import (
    common_headers,
    discovery_headers,
    is_tus,
    upload_headers,
    upload_problem_response,
    upload_response,
)
from app.errors import InvalidRequest, TarmacError, UploadIncomplete
from app.jobs.resumable import AppendRequest, NewUpload, UploadChecksum, UploadStatus

router = APIRouter(prefix="/uploads", tags=["uploads"])


@router.options("", include_in_schema=False)
@router.options("/{upload_id}", include_in_schema=False)
async def get_upload_capabilities(request: Request, context: Context) -> Response:
    return Response(status_code=204, headers=common_headers(request, context) | discovery_headers(context))


@router.post("", summary="Begin an upload that can be resumed", status_code=201, **CREATE, operation_id="createUpload")
async def create_upload(request: Request, context: Context) -> Response:
    """Create an upload with some of its bytes, all of them, or none. Its job can be watched from then on."""
    try:
        _check_version(request)
        check_length(request, context)
        shown = await _create(request, context)
        if not shown.state.complete and await request.is_disconnected():
            raise await _abandoned(context, shown.state.id, UploadIncomplete("its client left before the response"))
    except TarmacError as error:
        return upload_problem_response(request, error, common_headers(request, context))
    headers = common_headers(request, context) | upload_headers(shown, context.max_upload_bytes)
    return upload_response(request, shown, headers, created=True)


@router.head(
    "/{upload_id}", summary="Ask how far an upload is", status_code=204, **SHOW, operation_id="getUploadOffset"
)
async def get_upload_offset(upload_id: str, request: Request, context: Context) -> Response:
    """Return the offset. Bytes below it survive a crash of the service."""
    headers = common_headers(request, context)
    try:
        _check_version(request)
        shown = await context.uploads.show(upload_id)
    except TarmacError as error:
        return upload_problem_response(request, error, headers)
    return upload_response(request, shown, headers | upload_headers(shown, context.max_upload_bytes))


@router.patch("/{upload_id}", summary="Go on with an upload", status_code=204, **APPEND, operation_id="appendToUpload")
async def append_to_upload(upload_id: str, request: Request, context: Context) -> Response:
    """Append bytes. The last byte completes the archive and queues its job."""
    headers = common_headers(request, context)
    try:
        _check_version(request)
        check_length(request, context)
        patch = _patch_of(request)
        appended = await context.uploads.append(upload_id, patch, _bytes_of(request, context))
    except TarmacError as error:
        return upload_problem_response(request, error, headers)
    headers |= upload_headers(appended.shown, context.max_upload_bytes)
    if appended.fault is not None:
        job = appended.shown.job
        return problem_response(appended.fault, headers, None if job is None else job_response.job_document(job))
    return upload_response(request, appended.shown, headers)


@router.delete(
    "/{upload_id}",
    summary="Give an upload up",
    status_code=204,
    responses=SHOW["responses"],
    operation_id="deleteUpload",
)
async def cancel_upload(upload_id: str, request: Request, context: Context) -> Response:
    """Delete the received bytes and cancel the job that receives them."""
    headers = common_headers(request, context)
    try:
        await context.uploads.cancel(upload_id)
    except TarmacError as error:
        return upload_problem_response(request, error, headers)
    return Response(status_code=204, headers=headers)


@router.post("/{upload_id}", include_in_schema=False)
async def post_as_patch(upload_id: str, request: Request, context: Context) -> Response:
    """Handle a POST as PATCH (tus, X-HTTP-Method-Override), for networks that pass only GET and POST."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await append_to_upload(upload_id, request, context)
    if method == "DELETE":
        return await cancel_upload(upload_id, request, context)
    return problem_response(MalformedRequest("append with PATCH, or with POST and X-HTTP-Method-Override: PATCH"))


@router.post(
    "/{upload_id}/push", summary="Push an archive that is held", status_code=202, **HELD, operation_id="pushHeldArchive"
)
async def push_held_archive(upload_id: str, request: Request, context: Context) -> Response:
    """Create another job for the archive of an upload with `hold`, without sending it again.

    The members of the body are the options of the push.
    """
    options = Options()
    options.add_all(request.query_params.multi_items())
    options.add_json_object(await json_members(context, stream_body(request, context), '{"prefix": "mirror"}'))
    _refuse_elsewhere(options, "wait", "wait_required", "each", "checksum")
    return job_response.accepted_response(
        await context.uploads.push_held(upload_id, await job_request(options, context))
    )


def _check_version(request: Request) -> None:
    version = request.headers.get("tus-resumable", TUS_VERSION)
    if version != TUS_VERSION:
        raise MalformedRequest(f"Tus-Resumable is {version!r:.20}; {TUS_VERSION} is spoken here")


async def _create(request: Request, context: ApiContext) -> UploadStatus:
    new = await _new_upload(request, context)
    concat = request.headers.get("upload-concat", "")
    if concat and not new.is_part:
        state = await context.uploads.concatenate(new, parse_concat(concat))
        return await context.uploads.show(state.id)
    size = expected_bytes(request)
    completes = parse_boolean(request.headers, "upload-complete")
    patch = AppendRequest(0, size, None, completes if new.explicit else None, _proof_of(request))
    state = await context.uploads.begin(new)
    if size == 0 and not completes:
        return await context.uploads.show(state.id)
    try:
        appended = await context.uploads.append(state.id, patch, _bytes_of(request, context))
    except TarmacError as error:
        raise await _abandoned(context, state.id, error) from None
    if appended.fault is not None:
        raise appended.fault
    return appended.shown


async def _abandoned(context: ApiContext, upload_id: str, error: TarmacError) -> TarmacError:
    """Return the response for `error` after the upload was deleted, because the client does not know its address."""
    await context.uploads.abandon(upload_id, error)
    return error


async def _new_upload(request: Request, context: ApiContext) -> NewUpload:
    headers = request.headers
    metadata = UploadMetadata.parse(headers.get("upload-metadata", ""))
    options = Options()
    options.add_all((name, value) for name, value in request.query_params.multi_items() if name != HOLD)
    metadata.add_to(options)
    options.add_digest_headers(headers.getlist("repr-digest"))
    _refuse_elsewhere(options, "wait", "wait_required", "each")
    length = parse_number(headers, "upload-length")
    completes = parse_boolean(headers, "upload-complete")
    if completes and length is None:
        length = expected_bytes(request)
    if completes is None and length is None and headers.get("upload-defer-length") != "1" and not _is_final(request):
        raise MalformedRequest("say how long the upload is: Upload-Length, or Upload-Defer-Length: 1")
    name = metadata.filename or filename_of(headers.get("content-disposition", "")) or ""
    asked = await job_request(options, context)
    new = NewUpload(display_name(name), asked, length, headers.get("upload-metadata", ""))
    return replace(
        new,
        path=display_path(metadata.values.get("relativePath", "")),
        hold=metadata.hold or is_true(request.query_params.get(HOLD, "")),
        is_part=headers.get("upload-concat", "").strip() == "partial",
        explicit=completes is not None and not is_tus(request),
    )


def _is_final(request: Request) -> bool:
    return request.headers.get("upload-concat", "").strip().startswith("final;")


def _patch_of(request: Request) -> AppendRequest:
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    completes = parse_boolean(headers, "upload-complete")
    if completes is None and kind != OFFSET_STREAM:
        raise MalformedRequest(f"Content-Type must be {OFFSET_STREAM}, or {PARTIAL_UPLOAD} with Upload-Complete")
    offset = parse_number(headers, "upload-offset")
    if offset is None:
        raise MalformedRequest("Upload-Offset must say where the bytes begin; ask with HEAD")
    length = parse_number(headers, "upload-length")
    return AppendRequest(offset, expected_bytes(request), length, completes, _proof_of(request))


def _proof_of(request: Request) -> UploadChecksum | None:
    proof = parse_upload_checksum(request.headers)
    digest = parse_digest_field(request.headers.getlist("content-digest"))
    if proof is None and digest is not None:
        return UploadChecksum("sha256", bytes.fromhex(digest.partition(":")[2]))
    return proof


async def _bytes_of(request: Request, context: ApiContext) -> AsyncIterator[bytes]:
    context.metrics.uploads.inc()
    try:
        async for chunk in stream_body(request, context):
            yield chunk
    finally:
        context.metrics.uploads.dec()


def _refuse_elsewhere(options: Options, *names: str) -> None:
    for name in names:
        if options.has(name):
            raise InvalidRequest(f"option `{name}` is not possible here; begin an upload, then watch its job")
