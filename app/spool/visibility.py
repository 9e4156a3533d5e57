"""Check whether a server file that another replica adopted is accessible on this one."""

from __future__ import annotations

import os

from app.spool import SpooledFile


def is_accessible_here(file: SpooledFile) -> bool:
    """Return whether device, inode, size and time match, as when the file is opened. Blocks.

    For a directory only device and inode are compared; its content is compared when it is opened."""
    if file.parts:
        return all(is_accessible_here(part) for part in file.parts)
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    if os.path.isdir(file.path):
        return (status.st_dev, status.st_ino) == file.identity[:2]
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) == file.identity
