"""An archive in several files, read as one: the parts of an archive that was split to fit a disk."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from app.spool import OpenFile
from app.spool.verified_file import check_range


class ConcatenatedFile:
    """An OpenFile over open parts, in order; it closes them."""

    def __init__(self, parts: tuple[OpenFile, ...]) -> None:
        self._parts = parts
        self._starts = (0, *accumulate(part.size for part in parts))

    @property
    def size(self) -> int:
        return self._starts[-1]

    def read_at(self, offset: int, size: int) -> bytes:
        check_range(offset, size, self.size)
        content = b""
        number = bisect_right(self._starts, offset) - 1
        while len(content) < size:
            at = offset + len(content) - self._starts[number]
            content += self._parts[number].read_at(at, min(size - len(content), self._parts[number].size - at))
            number += 1
        return content

    def close(self) -> None:
        """Close all parts. May be called repeatedly."""
        for part in self._parts:
            part.close()
