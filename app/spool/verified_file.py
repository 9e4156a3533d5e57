"""An open archive: positioned reads of a regular file, with a check that it has not changed."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import PathNotFound, SourceChanged, SourceUnreadable, TruncatedArchive

Identity = tuple[int, int, int, int]  # device, inode, size, mtime_ns
CHANGED = "the archive was changed during the push; push it again without changing it"

# These mean that the file does not exist or may not be read; all others, that it cannot be read at the moment.
_MISSING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENAMETOOLONG}
)

# Opening a FIFO must not block, and a terminal must not become the controlling one; both are rejected after opening.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def file_identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_regular(path: str, missing: type[PathNotFound | SourceChanged]) -> int:
    """Open a regular file and return its descriptor. Raises SourceUnreadable, and `missing` for any other kind."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno not in _MISSING:
            raise SourceUnreadable(
                f"{os.path.basename(path)} cannot be opened at the moment: {error.strerror}; retry the job"
            ) from error
        raise missing(f"{os.path.basename(path)} cannot be opened: {error.strerror}") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise missing(f"{os.path.basename(path)} is not a regular file")


class SharedDescriptor:
    """A descriptor that is closed when its owner and all running reads have finished.

    A descriptor closed earlier could refer to another file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._closed = False
        self._users = 1  # the owner

    @contextmanager
    def use(self) -> Iterator[int]:
        """Use the descriptor. Raises SourceChanged after `close`."""
        with self._lock:
            if self._closed:
                raise SourceChanged("the archive has been closed")
            self._users += 1
        try:
            yield self._descriptor
        finally:
            self._release()

    def close(self) -> None:
        """Close the descriptor after all reads. May be called repeatedly."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._release()

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            os.close(self._descriptor)


class VerifiedFile:
    """A regular file that must stay unchanged. Owns `descriptor`.

    Every read is compared with `expected`, so a server file that changes during a push cannot be pushed as a mixture.
    The device is not compared for files of the spool: its number may change at a reboot."""

    def __init__(self, descriptor: int, expected: Identity, *, same_device: bool) -> None:
        self._shared = SharedDescriptor(descriptor)
        self._expected = expected
        self._first = 0 if same_device else 1

    @property
    def size(self) -> int:
        return self._expected[2]

    def read_at(self, offset: int, size: int) -> bytes:
        check_range(offset, size, self.size)
        with self._shared.use() as descriptor:
            content = read_from(descriptor, offset, size)
            self._compare(descriptor)
        if len(content) < size:
            raise SourceChanged(
                f"the archive ends at byte {offset + len(content)}, but it had {self.size} bytes; push it again"
            )
        return content

    def check(self) -> None:
        """Raise SourceChanged if the file has changed."""
        with self._shared.use() as descriptor:
            self._compare(descriptor)

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
        self._shared.close()

    def _compare(self, descriptor: int) -> None:
        found = file_identity(os.fstat(descriptor))
        if found[self._first :] != self._expected[self._first :]:
            raise SourceChanged(CHANGED)


def check_range(offset: int, size: int, end: int) -> None:
    """Raise TruncatedArchive if the range is not within the file."""
    if offset + size > end:
        raise TruncatedArchive(f"bytes {offset} to {offset + size} are beyond the archive's end at byte {end}")


def read_from(descriptor: int, offset: int, size: int) -> bytes:
    """Read `size` bytes, fewer at the end of the file.

    Raises SourceUnreadable, because a failing disk or file server says nothing about the content."""
    try:
        content = os.pread(descriptor, size, offset)
        while 0 < len(content) < size:  # Linux returns at most 2 GiB per call
            more = os.pread(descriptor, size - len(content), offset + len(content))
            if not more:
                break
            content += more
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise SourceUnreadable(
            f"the archive cannot be read at byte {offset}: {reason}; check its disk or file server, then retry the job"
        ) from error
    return content
