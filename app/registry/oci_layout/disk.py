"""Locks of the layout's files, and errors of its disk as errors of a registry. Everything here blocks."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Failure, RegistryFault

LOCK_SECONDS = 30  # normal holders keep a lock for milliseconds, a stopped process for ever
_LOCK_STEP = 0.01
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Convert an OSError to a RegistryFault with advice. `doing` completes its sentence: `store a blob`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise RegistryFault(
                f"no space left in the image store to {doing}; free some and push again",
                failure=Failure.OVERLOADED,
            ) from None
        raise RegistryFault(
            f"the image store could not {doing}: {error.strerror or error}; check its directory and push again",
            failure=Failure.OVERLOADED,
        ) from None


def take_lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait for the lock of an open file. Raises RegistryFault after LOCK_SECONDS."""
    for _ in range(round(LOCK_SECONDS / _LOCK_STEP)):
        if tries_lock(descriptor, shared=shared):
            return
        time.sleep(_LOCK_STEP)
    raise RegistryFault(
        f"the image store has been locked by another process for {LOCK_SECONDS} seconds; stop that process",
        failure=Failure.OVERLOADED,
    )


def tries_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file if it is free. Return whether it was."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
