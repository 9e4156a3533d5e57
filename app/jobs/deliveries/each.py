"""Which server files are one archive, if each archive of a request becomes a job of its own. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from app.spool import SpooledFile

_SERIES = re.compile(r"(.*_seq[0-9]+)_[0-9]{6}\.tar")  # the numbered files of oc-mirror, which refer to one another


def separate(files: Sequence[SpooledFile]) -> tuple[tuple[str, ...], ...]:
    """Return the paths of each archive. Parts of a split archive and the numbered files of oc-mirror stay one."""
    found: dict[str, list[str]] = {}
    for file in files:
        series = _SERIES.fullmatch(file.path)
        paths = [part.path for part in file.parts] or [file.path]
        found.setdefault(file.path if series is None else series[1], []).extend(paths)
    return tuple(map(tuple, found.values()))


def key_of_archive(key: str | None, number: int) -> str | None:
    """Return the idempotency key of one job of a request with the key `key`."""
    return None if key is None else hashlib.sha256(f"{key}\neach\n{number}".encode()).hexdigest()


__all__ = ["key_of_archive", "separate"]
