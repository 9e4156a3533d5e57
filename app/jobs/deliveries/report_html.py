"""The report as one page without scripts or links to elsewhere, which prints on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from app.jobs.deliveries.escaping import visible
from app.jobs.deliveries.model import DeliverySummary, Outcome, ReportRow, format_time

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #111; background: #fff }
h1 { font-size: 1.4em } dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1em }
dt { color: #444 } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: .85em }
th, td { border: 1px solid #888; padding: .3em; text-align: left; vertical-align: top; overflow-wrap: anywhere }
thead { display: table-header-group } tr { break-inside: avoid }
.failed, .needs_decision { font-weight: bold }
.signature { margin-top: 3em; border-top: 1px solid #111; width: 20em }
@page { size: A4 landscape; margin: 1.5cm }
@media print { body { margin: 0; font-size: 9pt } }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'"
OUTCOMES = {
    Outcome.PUSHED: "pushed",
    Outcome.PRESENT: "already there",
    Outcome.SKIPPED: "skipped",
    Outcome.PLANNED: "planned",
    Outcome.NEEDS_DECISION: "needs a decision",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "cancelled",
    Outcome.PENDING: "not finished",
    Outcome.NO_IMAGES: "no images",
    Outcome.LEFT_OUT: "left out",
    Outcome.EXPECTED: "not received",
}
_COLUMNS = ("Archive", "Name", "Destination", "Digest", "Outcome", "Problem", "Time")
TAIL = '</tbody></table><p class="signature">Signature, date</p></body></html>\n'


def html_head(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return the page up to its first row. `facts`: terms and values."""
    shown = "".join(f"<dt>{_text(term)}</dt><dd>{_text(value)}</dd>" for term, value in facts)
    columns = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{_text(title)}</h1><dl>{shown}</dl><table><thead><tr>{columns}</tr></thead><tbody>\n"
    )


def html_rows(rows: Iterable[ReportRow]) -> str:
    return "".join(map(_row, rows))


def facts_of(summary: DeliverySummary) -> list[tuple[str, str]]:
    """Return what the head of the report of a delivery says."""
    delivery = summary.delivery
    counted = [f"{summary.files[item]} {OUTCOMES[item]}" for item in Outcome if summary.files.get(item)]
    images = [f"{summary.rows[item]} {OUTCOMES[item]}" for item in Outcome if summary.rows.get(item)]
    facts = [
        ("Delivery", delivery.id),
        ("Begun", format_time(delivery.created_at) or ""),
        ("Last job ended", format_time(delivery.last_ended_at) or "none"),
        ("Sent by", delivery.submitter or "no token"),
        ("Files", ", ".join(counted) or "none"),
        ("Rows", ", ".join(images) or "none"),
        ("Bytes", str(summary.size)),
    ]
    return [*facts, *((f"Label {key}", value) for key, value in delivery.labels.items())]


def _row(row: ReportRow) -> str:
    cells = (
        _text(row.path) + (f"<br>{_text(row.archive_digest)}" if row.archive_digest else ""),
        "<br>".join(map(_text, row.names)),
        "<br>".join(map(_text, row.destinations)),
        _text(row.digest or ""),
        f'<span class="{row.outcome.value}">{OUTCOMES[row.outcome]}</span>',
        _text(f"{row.code}: {row.problem}" if row.code else row.problem or ""),
        _text(row.time or ""),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _text(text: str) -> str:
    """Return `text` with bidi controls shown, in an element of its own direction."""
    return f"<bdi>{escape(visible(text))}</bdi>" if not text.isascii() else escape(visible(text))


__all__ = ["OUTCOMES", "POLICY", "TAIL", "facts_of", "html_head", "html_rows"]
