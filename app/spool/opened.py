"""An open archive: positioned reads of a regular file that is still the one it was."""

from __future__ import annotations

import errno
import os
import stat
import threading

from app.errors import PathNotFound, SourceChanged, TruncatedArchive

Identity = tuple[int, int, int, int]  # device, inode, size, mtime_ns

# A FIFO must not block the open, a terminal must not become ours; both are refused once they are open.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def identity_of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_regular(path: str, missing: type[PathNotFound | SourceChanged]) -> int:
    """A descriptor of a regular file. Raises `missing` for anything else."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        raise missing(f"{os.path.basename(path)} cannot be opened: {error.strerror}") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise missing(f"{os.path.basename(path)} is not a regular file")


class OpenedFile:
    """Owns `descriptor`. Every read is checked against `expected`, so whoever changes a server file while it is pushed
    cannot get a mixture pushed. The device is left out for files of the spool: its number may change with a reboot."""

    def __init__(self, descriptor: int, expected: Identity, *, same_device: bool) -> None:
        self._descriptor = descriptor
        self._expected = expected
        self._first = 0 if same_device else 1
        self._lock = threading.Lock()
        self._closed = False
        self._users = (
            1  # this object and every read under way: a descriptor that is closed too early names another file
        )

    @property
    def size(self) -> int:
        return self._expected[2]

    def read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            raise TruncatedArchive(f"bytes {offset} to {offset + size} lie beyond the archive's end at {self.size}")
        self._enter()
        try:
            content = _read(self._descriptor, offset, size)
            self._compare()
        finally:
            self._leave()
        if len(content) < size:
            raise SourceChanged(f"the archive ends at {offset + len(content)}; it had {self.size} bytes")
        return content

    def check(self) -> None:
        """Raises SourceChanged when the file no longer is what it was."""
        self._enter()
        try:
            self._compare()
        finally:
            self._leave()

    def close(self) -> None:
        """Any number of times."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            self._leave()

    def _compare(self) -> None:
        found = identity_of(os.fstat(self._descriptor))
        if found[self._first :] != self._expected[self._first :]:
            raise SourceChanged("the archive was changed while it was being pushed; leave it alone and retry the job")

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise SourceChanged("the archive has been closed")
            self._users += 1

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            os.close(self._descriptor)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    try:
        content = os.pread(descriptor, size, offset)
        while 0 < len(content) < size:  # Linux gives at most 2 GiB at once
            more = os.pread(descriptor, size - len(content), offset + len(content))
            if not more:
                break
            content += more
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise SourceChanged(f"the archive cannot be read at {offset}: {reason}; retry the job") from error
    return content
