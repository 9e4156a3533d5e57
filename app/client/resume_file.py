"""Addresses of unfinished uploads, kept between runs of `tarmac send`. One small file for each."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path


def resume_dir() -> Path:
    """Return the directory below the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "tarmac" / "uploads"


class ResumeFile:
    """The address of the upload of one file with one request. `key` identifies both.

    Errors of the disk are ignored: without the file, an interrupted upload begins again.
    """

    def __init__(self, folder: Path, key: tuple[object, ...]) -> None:
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        self._path = folder / name

    def load(self) -> str | None:
        """Return the stored address, if there is one."""
        with suppress(OSError, UnicodeDecodeError):
            return self._path.read_text(encoding="utf-8").strip() or None
        return None

    def save(self, url: str) -> None:
        """Store the address."""
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_text(url, encoding="utf-8")

    def delete(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
