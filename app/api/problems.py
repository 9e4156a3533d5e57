"""Errors as HTTP responses (RFC 9457). The only module with HTTP statuses of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import errors
from app.api.base_path import address_of
from app.api.json_response import NewlineJSONResponse
from app.api.middleware.request_id import request_id_field
from app.errors import (
    MAX_DETAIL,
    ErrorOrigin,
    Forbidden,
    Internal,
    InvalidRequest,
    NotFound,
    Problem,
    TarmacError,
    UploadIncomplete,
)

PROBLEM_JSON = "application/problem+json"
HELP = "/docs/guide/errors"  # the page of the guide with a row for each code
# Retry-After of errors that have none.
RETRY_AFTER_SECONDS = 5


class MalformedRequest(InvalidRequest):
    """Not well-formed as HTTP or as a form, so its options cannot be read."""


class UploadStalled(UploadIncomplete):
    """No byte arrived within the time limit."""


class MisdirectedRequest(Forbidden):
    """The Host header is not a name of the service."""


class MethodNotAllowed(InvalidRequest):
    """The path exists, but does not support the method."""


_STATUS: Mapping[type[TarmacError], HTTPStatus] = MappingProxyType(
    {
        TarmacError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.RequestError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.ArchiveError: HTTPStatus.UNPROCESSABLE_ENTITY,
        errors.RegistryError: HTTPStatus.BAD_GATEWAY,
        MalformedRequest: HTTPStatus.BAD_REQUEST,
        MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
        UploadIncomplete: HTTPStatus.BAD_REQUEST,
        UploadStalled: HTTPStatus.REQUEST_TIMEOUT,
        errors.PathNotAllowed: HTTPStatus.FORBIDDEN,
        errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
        errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
        errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
        errors.Forbidden: HTTPStatus.FORBIDDEN,
        MisdirectedRequest: HTTPStatus.MISDIRECTED_REQUEST,
        errors.NotFound: HTTPStatus.NOT_FOUND,
        errors.Conflict: HTTPStatus.CONFLICT,
        errors.TagExists: HTTPStatus.CONFLICT,
        errors.SpoolFull: HTTPStatus.INSUFFICIENT_STORAGE,
        errors.SourceUnreadable: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.WaitExpired: HTTPStatus.GATEWAY_TIMEOUT,
        errors.Interrupted: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
        errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
_BUSY = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE, HTTPStatus.TOO_MANY_REQUESTS})


def error_classes(root: type[TarmacError] = TarmacError) -> Iterator[type[TarmacError]]:
    """Yield every class of the tree that defines a code."""
    for child in root.__subclasses__():
        if "code" in vars(child):
            yield child
        yield from error_classes(child)


def status_of(error: type[TarmacError]) -> HTTPStatus:
    return next(_STATUS[ancestor] for ancestor in error.__mro__ if ancestor in _STATUS)


def status_by_code() -> Mapping[str, HTTPStatus]:
    """Return the status of every code."""
    return {leaf.code: status_of(leaf) for leaf in error_classes()}


_STATUS_OF_CODE = MappingProxyType(dict(status_by_code()))


def problem_document(problem: Problem, status: int | None = None) -> dict[str, Any]:
    """Return a problem as its object in a response, a job or an image."""
    return {
        "type": f"urn:tarmac:problem:{problem.code}",
        "title": problem.title,
        "status": int(status or _STATUS_OF_CODE.get(problem.code, HTTPStatus.INTERNAL_SERVER_ERROR)),
        "detail": problem.detail[:MAX_DETAIL],  # one of 0.1.0 may be longer
        "code": problem.code,
        "retryable": problem.retryable,
        "help": address_of(f"{HELP}#{problem.code}"),
    }


def problem_response(
    error: TarmacError, headers: Mapping[str, str] | None = None, job: Mapping[str, Any] | None = None
) -> Response:
    """Return the response. `job` is the document of the job that failed with the error."""
    status = status_of(type(error))
    extra = dict(headers or {})
    if status in _BUSY:
        extra.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    content = problem_document(error.problem, status) | ({} if job is None else {"job": job})
    return NewlineJSONResponse(content, status, extra, PROBLEM_JSON)


def failed_job_response(problem: Problem, job: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """Return the response to a request that waited: 422 if the request or the archive is at fault, otherwise 502."""
    ours = problem.origin in (ErrorOrigin.REGISTRY, ErrorOrigin.SERVICE)
    status = HTTPStatus.BAD_GATEWAY if ours else HTTPStatus.UNPROCESSABLE_ENTITY
    return NewlineJSONResponse(problem_document(problem, status) | {"job": job}, status, dict(headers), PROBLEM_JSON)


async def _answer_own(_: Request, error: Exception) -> Response:
    assert isinstance(error, TarmacError)
    return problem_response(error)


async def _answer_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The value is not repeated, because it may contain a secret.
    faults = (f"`{item['loc'][-1]}`: {item['msg'].replace('Input should', 'it must')}" for item in error.errors())
    return problem_response(InvalidRequest("; ".join(faults)))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path[:200]!r}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(NotFound(f"there is nothing at {where}; /docs lists what there is"))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        text = f"{where} is not possible; allowed here: {allowed}"
        return problem_response(MethodNotAllowed(text), {"Allow": allowed})
    return problem_response(MalformedRequest(f"{where}: {error.detail}"))


async def _answer_unforeseen(request: Request, error: Exception) -> Response:
    structlog.get_logger().error("request.crashed", path=request.url.path, kind=type(error).__name__)
    return problem_response(Internal("the service met an error it does not know; its log has more"), request_id_field())


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(TarmacError, _answer_own)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unforeseen)
