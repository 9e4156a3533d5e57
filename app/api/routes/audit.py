"""`GET /audit`: the end of every job, and its submitter."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from app.api.context import Context
from app.api.json_response import NewlineJSONResponse
from app.api.requests.moments import in_utc
from app.api.requests.query import takes
from app.api.schemas import problems
from app.errors import Forbidden, Unavailable
from app.jobs.audit import MAX_ENTRIES, parse_audit_cursor

JSON_LINES = "application/jsonl"
NEXT_CURSOR = "Tarmac-Next-Cursor"

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}},
    **problems("invalid_request", "forbidden", "unavailable"),
}

router = APIRouter(tags=["service"])


class AuditQuery(BaseModel):
    """Filters and format of entries."""

    since: datetime | None = Field(default=None, description="RFC 3339: only jobs that ended then or later")
    limit: int = Field(default=100, ge=1, le=MAX_ENTRIES, description="A page of more than 4 MiB ends earlier.")
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before", max_length=256)
    format: Literal["json", "jsonl"] | None = Field(default=None, description="instead of `Accept`")


class AuditArchive(BaseModel):
    name: str
    path: str | None = Field(
        default=None, description="Below its root or watched folder, or as a form has it; not in entries of 0.1."
    )
    source: str
    size: int = Field(description="Bytes that were received.")
    digest: str | None = Field(description="Of the archive as sent; null for a file on the server.")
    format: str | None = Field(default=None, description="As far as it was found out; not in entries of 0.1.")


class AuditImage(BaseModel):
    destinations: list[str] = Field(description="The first 20 of them.")
    destinations_total: int | None = Field(default=None, description="Not in older entries, which have them all.")
    digest: str | None = Field(description="What its tags were set to.")
    state: str
    code: str | None


class AuditDocument(BaseModel):
    at: str = Field(description="When the job ended.")
    job: str
    attempt: int
    outcome: Literal["succeeded", "failed", "cancelled"]
    code: str | None = Field(description="Of the problem it ended with.")
    token: str | None = Field(description="The name of the token that sent it; null where none was needed.")
    address: str | None = Field(description="Where the request came from, as the socket has it.")
    accepted_at: str
    registry: str
    dry_run: bool
    archives: list[AuditArchive] = Field(description="The first of them, 32 KiB at the most.")
    archives_total: int | None = Field(default=None, description="Not in older entries, which have them all.")
    images: list[AuditImage] = Field(
        description="The first of those that the job got to, 96 KiB at the most; one that was cancelled before is not "
        "listed."
    )
    images_total: int | None = Field(default=None, description="Of the job; not in older entries.")


class AuditPage(BaseModel):
    entries: list[AuditDocument]
    next_cursor: str | None = Field(description="Asks for what came after this page, also when that is still to come.")


@router.head("/audit", include_in_schema=False, dependencies=[takes(*AuditQuery.model_fields)])
@router.get(
    "/audit",
    summary="Read the audit trail",
    response_model=AuditPage,
    responses=_RESPONSES,
    dependencies=[takes(*AuditQuery.model_fields)],
    operation_id="listAuditEntries",
)
async def list_audit_entries(request: Request, context: Context, listing: Annotated[AuditQuery, Query()]) -> Response:
    """List the end of every job, oldest first. Entries outlive their jobs.

    As JSON lines, each entry is a line and the cursor is in the header `Tarmac-Next-Cursor`. Requires the role `read`.
    """
    if not context.caller.sees_all:
        raise Forbidden(f"the token of {context.caller.name} may not read the audit trail; it needs the role `read`")
    if context.audit is None:
        raise Unavailable("this service keeps no audit trail")
    found = await context.audit.entries(
        in_utc(listing.since, "since"), parse_audit_cursor(listing.cursor), listing.limit
    )
    following = found[-1].cursor if found else listing.cursor
    headers = {"Cache-Control": "no-store"}
    if listing.format == "jsonl" or (listing.format is None and JSON_LINES in request.headers.get("accept", "")):
        lines = "".join(json.dumps(found_item.entry, separators=(",", ":")) + "\n" for found_item in found)
        return Response(lines, headers=headers | {NEXT_CURSOR: following or ""}, media_type=JSON_LINES)
    return NewlineJSONResponse(
        {"entries": [dict(found_item.entry) for found_item in found], "next_cursor": following}, headers=headers
    )
