"""The report as CSV (RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from app.jobs.deliveries.escaping import csv_cell
from app.jobs.deliveries.model import ReportRow

COLUMNS = (
    "archive",
    "archive_digest",
    "bytes",
    "name",
    "destination",
    "digest",
    "platforms",
    "outcome",
    "code",
    "problem",
    "time",
    "job",
)


def csv_lines(rows: Iterable[ReportRow]) -> str:
    """Return the lines of `rows`; several names and destinations are separated by spaces."""
    return _lines(_cells(row) for row in rows)


def csv_head() -> str:
    return _lines([COLUMNS])


def _lines(records: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue()


def _cells(row: ReportRow) -> list[str]:
    cells = (
        row.path,
        row.archive_digest,
        str(row.size),
        " ".join(row.names),
        " ".join(row.destinations),
        row.digest,
        " ".join(row.platforms),
        row.outcome.value,
        row.code,
        row.problem,
        row.time,
        row.job,
    )
    return [csv_cell(cell or "") for cell in cells]


__all__ = ["COLUMNS", "csv_head", "csv_lines"]
