"""The body of a request as a stream: limited, counted, and checked for completeness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.context import ApiContext
from app.api.problems import MalformedRequest
from app.errors import ArchiveError, InvalidRequest, TooLarge, UploadIncomplete
from app.oci import strict_json
from app.threads import plan_in_thread

MAX_JSON_BYTES = 1 << 20  # a thousand paths of a thousand characters
MAX_JSON_VALUES = 10_000  # a thousand paths, images, new names and labels, and as much again
INLINE_BYTES = 64 << 10  # of JSON are parsed at once; it takes half a millisecond
MAX_DIGITS = 100  # of a count of bytes; with so many it is beyond every limit


def expected_bytes(request: Request) -> int | None:
    """Return the Content-Length if there is one. Raises MalformedRequest."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    digits = text.strip(" \t")
    if not (digits.isascii() and digits.isdigit()):
        raise MalformedRequest("Content-Length is not a number of bytes")
    return int(digits.lstrip("0")[:MAX_DIGITS] or 0)


def check_length(request: Request, context: ApiContext) -> int | None:
    """Return the Content-Length. Raises TooLarge if it is above the limit, before the body is read."""
    expected = expected_bytes(request)
    if expected is not None and expected > context.max_upload_bytes:
        raise _too_large(context)
    return expected


async def check_size(request: Request, context: ApiContext) -> None:
    """Refuse what does not fit, before the body is read. Raises TooLarge, SpoolFull."""
    expected = check_length(request, context)
    if expected is not None:
        await asyncio.to_thread(context.check_room, expected)


async def stream_body(request: Request, context: ApiContext) -> AsyncIterator[bytes]:
    """Yield the body. Raises TooLarge, and UploadIncomplete if the client sends less than it announced."""
    expected, received = expected_bytes(request), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > context.max_upload_bytes:
                raise _too_large(context)
            if chunk:
                context.metrics.bytes_received.inc(len(chunk))
                yield chunk
    except ClientDisconnect:
        raise UploadIncomplete(
            f"the connection was lost after {received} of {_words(expected)} bytes; send the archive again"
        ) from None
    if expected is not None and received != expected:
        raise UploadIncomplete(f"{received} bytes came and Content-Length says {expected}; send the archive again")


async def json_members(context: ApiContext, chunks: AsyncIterator[bytes], example: str) -> dict[str, Any]:
    """Return the members of a JSON object; an empty body has none. Raises InvalidRequest, MalformedRequest."""
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise InvalidRequest(f"the JSON body has more than {MAX_JSON_BYTES} bytes")
    if not body:
        return {}
    parse = partial(strict_json, body, what="the JSON body", limit=MAX_JSON_BYTES, values=MAX_JSON_VALUES)
    try:
        members = parse() if len(body) <= INLINE_BYTES else await plan_in_thread(context.service.share, parse)
    except ArchiveError as error:
        raise MalformedRequest(str(error)) from None
    if not isinstance(members, dict):
        raise InvalidRequest(f"the JSON body must be an object, as {example}")
    return members


def _too_large(context: ApiContext) -> TooLarge:
    return TooLarge(f"the body has more than {context.max_upload_bytes} bytes (TARMAC_MAX_UPLOAD_BYTES)")


def _words(expected: int | None) -> str:
    return "an unknown number of" if expected is None else str(expected)
