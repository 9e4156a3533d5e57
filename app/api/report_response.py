"""A report as a response: JSON, CSV or a page, written while its rows are read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.responses import Response, StreamingResponse

from app.jobs.deliveries.model import ReportRow
from app.jobs.deliveries.report_csv import csv_head, csv_lines
from app.jobs.deliveries.report_html import POLICY, TAIL, html_head, html_rows

Rows = AsyncIterator[Sequence[ReportRow]]


class ReportFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    HTML = "html"


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows in the format that was asked for.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ReportDocument"}},
            "text/csv": {"schema": {"type": "string"}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}
_TYPES: Mapping[ReportFormat, str] = {
    ReportFormat.JSON: "application/json",
    ReportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ReportFormat.HTML: "text/html; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class ReportHead:
    """`title` and `facts` of a page; `members` of the JSON document besides its rows; `file`: name of the CSV file."""

    title: str
    facts: Sequence[tuple[str, str]]
    members: Mapping[str, Any]
    file: str


def report_response(format_: ReportFormat, head: ReportHead, rows: Rows) -> Response:
    headers = {"Cache-Control": "private, no-cache"}
    if format_ is ReportFormat.HTML:
        headers["Content-Security-Policy"] = f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    if format_ is ReportFormat.CSV:
        headers["Content-Disposition"] = f'attachment; filename="{head.file}.csv"'
    return StreamingResponse(_WRITERS[format_](head, rows), media_type=_TYPES[format_], headers=headers)


async def _json(head: ReportHead, rows: Rows) -> AsyncIterator[str]:
    """Yield the report as JSON; its last member is the list of rows."""
    members = json.dumps(dict(head.members), ensure_ascii=False)[1:-1]
    yield f'{{{members}{", " if members else ""}"rows": ['
    is_first = True
    async for some in rows:
        documents = [json.dumps(row.document(), ensure_ascii=False) for row in some]
        if documents:
            yield ("" if is_first else ",") + ",".join(documents)
            is_first = False
    yield "]}\n"


async def _csv(head: ReportHead, rows: Rows) -> AsyncIterator[str]:
    yield csv_head()
    async for some in rows:
        yield csv_lines(some)


async def _html(head: ReportHead, rows: Rows) -> AsyncIterator[str]:
    yield html_head(head.title, head.facts)
    async for some in rows:
        yield html_rows(some)
    yield TAIL


_WRITERS: Mapping[ReportFormat, Callable[[ReportHead, Rows], AsyncIterator[str]]] = {
    ReportFormat.JSON: _json,
    ReportFormat.CSV: _csv,
    ReportFormat.HTML: _html,
}

__all__ = ["RESPONSES", "ReportFormat", "ReportHead", "report_response"]
