"""The Range header with one range (RFC 9110 section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE)  # 2**63 has 19 digits


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` up to, not including, `end`; never empty."""

    start: int
    end: int


class RangeNotSatisfiable(Exception):
    """The range is outside the content: 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the requested range of `size` bytes, or None for all of them. Raises RangeNotSatisfiable.

    All are returned without a header, for another unit, a malformed header, or several ranges. RFC 9110 14.2 allows a
    server to ignore several ranges, which have been used for attacks (CVE-2025-62727).
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, end)
