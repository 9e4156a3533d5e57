"""Which files of a watched folder are archives, by their first bytes. Blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from app.archive.continued import may_be_archive
from app.archive.tar.header import BLOCK
from app.jobs.sources.openat2 import open_beneath

NO_ARCHIVE = "no archive"


class ArchiveHeads:
    """Remembers what was read of a file until its `mark` changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, bool] = {}  # by mark

    def keep(self, marks: Iterable[str]) -> None:
        """Forget all other files."""
        self._known = {mark: self._known[mark] for mark in marks if mark in self._known}

    def is_archive(self, path: str, mark: str) -> bool:
        """Return whether the file begins as an archive does, or cannot be read: then its job says why."""
        if mark not in self._known:
            self._known[mark] = self._begins(path)
        return self._known[mark]

    def _begins(self, path: str) -> bool:
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with os.fdopen(open_beneath(root, path), "rb") as file:
                    return may_be_archive(file.read(BLOCK), is_all=False)
            finally:
                os.close(root)
        except OSError:
            return True


__all__ = ["NO_ARCHIVE", "ArchiveHeads"]
