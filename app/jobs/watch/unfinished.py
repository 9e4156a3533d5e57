"""Detects unfinished files in a watched folder: files open for writing, and archives that end early. Blocks.

A process on another machine that writes over a network share is invisible; only the content of its files shows their
state."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.archive import index_file
from app.errors import TarmacError, TruncatedArchive
from app.jobs.sources.openat2 import open_beneath
from app.spool.verified_file import VerifiedFile, file_identity

PROCESSES = Path("/proc")
END_BYTES = 1024  # end of a tar: two blocks of zeros
_MAGIC, _MAGIC_AT = b"ustar", 257
_LEASED = frozenset(
    {errno.EAGAIN, errno.EWOULDBLOCK}
)  # a writer has it open, or a file server has leased it to a client
_WRITING = os.O_WRONLY | os.O_RDWR
Inode = tuple[int, int]  # device, inode


def is_written(root: Path, names: Iterable[str]) -> bool:
    """Return whether a process has one of the files below `root` open for writing, as far as that can be determined."""
    unknown: set[Inode] = set()
    for descriptor in _opened(root, names):
        if descriptor is None:
            return True
        free = _is_free(descriptor)
        if free is None:
            status = os.fstat(descriptor)
            unknown.add((status.st_dev, status.st_ino))
        elif not free:
            return True
    return bool(unknown) and any(inode in unknown for inode in written_by_processes())


def ends_early(root: Path, names: Sequence[str]) -> bool:
    """Return whether one of the files is clearly incomplete.

    It is empty or has holes, or it is the only file and a tar without an end."""
    for descriptor in _opened(root, names):
        if descriptor is not None and (_has_gaps(descriptor) or (len(names) == 1 and _is_endless(descriptor))):
            return True
    return False


def written_by_processes() -> Iterator[Inode]:
    """Yield the files that a process of this machine has open for writing, as far as this process may see them."""
    for process in _numbers(PROCESSES):
        for descriptor in _numbers(process / "fd"):
            inode = _written(process, descriptor)
            if inode is not None:
                yield inode


def _written(process: Path, descriptor: Path) -> Inode | None:
    try:
        flags = (process / "fdinfo" / descriptor.name).read_text().partition("flags:")[2].split()[0]
        status = descriptor.stat()
        return (status.st_dev, status.st_ino) if int(flags, 8) & _WRITING else None
    except (OSError, ValueError, IndexError):
        return None  # closed or ended meanwhile


def _numbers(directory: Path) -> Collection[Path]:
    try:
        return [path for path in directory.iterdir() if path.name.isdigit()]
    except OSError:
        return ()  # another user's process, or it does not exist (any more)


def _opened(root: Path, names: Iterable[str]) -> Iterator[int | None]:
    """Yield a descriptor of each file, then close it; None for a file leased to a writer. Skip missing files."""
    try:
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    with _closing(directory):
        for name in names:
            try:
                descriptor = open_beneath(directory, name)
            except OSError as error:
                if error.errno in _LEASED:
                    yield None
                continue
            with _closing(descriptor):
                yield descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _is_free(descriptor: int) -> bool | None:
    """Return whether the file is not open for writing; None if the kernel does not say.

    It does not for a file of another user or a file system without leases. A read lease is granted only if the file is
    not open for writing (fcntl(2), F_SETLEASE)."""
    try:
        # if a process opens it for writing at this moment, we get a signal, which by default would end the process
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return False if error.errno in _LEASED else None
    return True


def _has_gaps(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    try:
        return size == 0 or os.lseek(descriptor, 0, os.SEEK_HOLE) < size
    except OSError:
        return False  # a file system without support for holes


def _is_endless(descriptor: int) -> bool:
    if os.pread(descriptor, len(_MAGIC), _MAGIC_AT) != _MAGIC:
        return False
    file = VerifiedFile(os.dup(descriptor), file_identity(os.fstat(descriptor)), same_device=True)
    try:
        index_file(file, file.size)
    except TruncatedArchive:
        return True
    except TarmacError:
        pass  # damaged in another way, or written just now
    finally:
        file.close()
    return any(os.pread(descriptor, END_BYTES, max(file.size - END_BYTES, 0)))
