"""A file of the spool that is still being written, read behind its writer."""

from __future__ import annotations

import os

from app.spool.verified_file import SharedDescriptor, check_range, read_from


class PartialFile:
    """Owns `descriptor`. Bytes are appended to it and never change; it may be renamed or deleted meanwhile."""

    def __init__(self, descriptor: int) -> None:
        self._shared = SharedDescriptor(descriptor)

    @property
    def size(self) -> int:
        """Bytes that are there by now. Raises SourceChanged after `close`."""
        with self._shared.use() as descriptor:
            return os.fstat(descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Raises TruncatedArchive where they have not all come yet, SourceChanged."""
        check_range(offset, size, self.size)
        with self._shared.use() as descriptor:
            return read_from(descriptor, offset, size)

    def close(self) -> None:
        """Any number of times."""
        self._shared.close()
