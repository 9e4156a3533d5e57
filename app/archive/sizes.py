"""Sizes for people; pure."""

from __future__ import annotations


def size_of(count: float) -> str:
    """Return a size in bytes in a readable unit: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
