"""Responses about a resumable upload, in both protocols at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

from fastapi import Request, Response

from app.api import job_response
from app.api.context import ApiContext
from app.api.json_response import NewlineJSONResponse
from app.api.problems import PROBLEM_JSON, problem_document, problem_response
from app.api.requests.upload_headers import INTEROP_VERSIONS, PARTIAL_UPLOAD, TUS_VERSION
from app.errors import TarmacError
from app.jobs.resumable import (
    HASHES,
    LengthMismatch,
    OffsetMismatch,
    UploadAlreadyComplete,
    UploadChecksumMismatch,
    UploadLocked,
    UploadStatus,
)

EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum,concatenation"
TYPES = "https://iana.org/assignments/http-problem-types#"
_CHECKSUM_MISMATCH = 460  # of tus; no registered status
_DRAFT_TYPES: Mapping[type[TarmacError], str] = {
    OffsetMismatch: "mismatching-upload-offset",
    LengthMismatch: "inconsistent-upload-length",
    UploadAlreadyComplete: "completed-upload",
}


def is_tus(request: Request) -> bool:
    return "tus-resumable" in request.headers


def common_headers(request: Request, context: ApiContext) -> dict[str, str]:
    """Return the header fields of every response below /uploads."""
    headers = {
        "Tus-Resumable": TUS_VERSION,
        "Cache-Control": "no-store",
        "Upload-Limit": f"max-size={context.max_upload_bytes}",
    }
    version = request.headers.get("upload-draft-interop-version", "")
    if version in INTEROP_VERSIONS:
        headers["Upload-Draft-Interop-Version"] = version
    return headers


def discovery_headers(context: ApiContext) -> dict[str, str]:
    return {
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(context.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(HASHES),
        "Accept-Patch": PARTIAL_UPLOAD,
    }


def upload_headers(shown: UploadStatus, limit: int) -> dict[str, str]:
    """Return the state of the upload as header fields. A part of a finished concatenation has none."""
    state = shown.state
    left = max(0, int((shown.expires_at - datetime.now(UTC)).total_seconds()))
    headers = {
        "Upload-Offset": str(shown.offset),
        "Upload-Complete": "?1" if state.complete else "?0",
        "Upload-Expires": format_datetime(shown.expires_at, usegmt=True),
        "Upload-Limit": f"max-size={limit}, max-age={left}",
    }
    if state.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(state.length)
    if state.metadata:
        headers["Upload-Metadata"] = state.metadata
    if state.concat:
        headers["Upload-Concat"] = state.concat
    if state.job:
        headers["Tarmac-Job"] = f"/jobs/{state.job}"
    return headers


def upload_response(
    request: Request, shown: UploadStatus, headers: Mapping[str, str], *, created: bool = False
) -> Response:
    """Return 204, or 201 for a creation. For the draft, the last byte is answered as by /push."""
    if shown.state.complete and shown.job is not None and not is_tus(request) and request.method != "HEAD":
        return NewlineJSONResponse(
            job_response.job_document(shown.job), 202, {**headers, "Location": f"/jobs/{shown.job.id}"}
        )
    if created:
        return Response(status_code=201, headers={**headers, "Location": f"/uploads/{shown.state.id}"})
    return Response(status_code=204, headers=dict(headers))


def upload_problem_response(request: Request, error: TarmacError, headers: Mapping[str, str]) -> Response:
    """Return the problem with the draft's types for its clients, and with tus's status for a checksum."""
    answer = problem_response(error, headers)
    if isinstance(error, UploadChecksumMismatch) and is_tus(request):
        answer.status_code = _CHECKSUM_MISMATCH
    if isinstance(error, UploadLocked):
        answer.status_code = HTTPStatus.LOCKED
    if is_tus(request) or type(error) not in _DRAFT_TYPES:
        return answer
    status = HTTPStatus.CONFLICT if isinstance(error, OffsetMismatch) else HTTPStatus.BAD_REQUEST
    content = problem_document(error.problem, status) | {"type": TYPES + _DRAFT_TYPES[type(error)]}
    if isinstance(error, OffsetMismatch):
        content |= {"expected-offset": error.expected, "provided-offset": error.provided}
    return NewlineJSONResponse(content, status, dict(headers), PROBLEM_JSON)


__all__ = ["common_headers", "discovery_headers", "upload_headers", "upload_problem_response", "upload_response"]
