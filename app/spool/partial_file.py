"""A file of the spool that is read while it is written."""

from __future__ import annotations

import os

from app.spool.verified_file import SharedDescriptor, check_range, read_from


class PartialFile:
    """Owns `descriptor`. Bytes are only appended and never change; the file may be renamed or deleted meanwhile."""

    def __init__(self, descriptor: int) -> None:
        self._shared = SharedDescriptor(descriptor)

    @property
    def size(self) -> int:
        """Return the number of bytes written so far. Raises SourceChanged after `close`."""
        with self._shared.use() as descriptor:
            return os.fstat(descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes. Raises SourceChanged, and TruncatedArchive if not all are written yet."""
        check_range(offset, size, self.size)
        with self._shared.use() as descriptor:
            return read_from(descriptor, offset, size)

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
        self._shared.close()
