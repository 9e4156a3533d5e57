"""Whether a file of somebody else's, adopted on one machine, is there on this one too."""

from __future__ import annotations

import os

from app.spool import SpooledFile


def is_accessible_here(file: SpooledFile) -> bool:
    """By device, inode, size and time, as it is opened; a directory by its device and inode, its content is compared
    when it is opened. Blocks."""
    if file.parts:
        return all(is_accessible_here(part) for part in file.parts)
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    if os.path.isdir(file.path):
        return (status.st_dev, status.st_ino) == file.identity[:2]
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) == file.identity
