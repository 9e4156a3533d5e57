"""Which files of a watched folder continue an archive that breaks off, whatever they are called. Blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.continued import ArchiveScan, can_follow, is_padding, may_be_archive
from app.archive.model import DEFAULT_LIMITS, Compression
from app.archive.tar.header import BLOCK
from app.errors import ArchiveError
from app.jobs.sources.continued_files import is_alike, is_beside, natural_key
from app.jobs.sources.openat2 import open_beneath
from app.spool import OpenFile
from app.spool.verified_file import VerifiedFile, file_identity


class Continuations:
    """What was read of a file is kept until it changes: `mark` is another one then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._marks: dict[str, str] = {}  # of the last look, by path
        self._heads: dict[str, bytes] = {}  # by mark
        self._whole: dict[str, bool] = {}  # by mark

    def find(self, marks: Mapping[str, str]) -> dict[str, str]:
        """Return the archive that each file continues, by path. `marks`: of all files, by path."""
        at_rest = {path for path, mark in marks.items() if self._marks.get(path) == mark}
        self._marks = dict(marks)
        self._heads = {mark: self._heads[mark] for mark in marks.values() if mark in self._heads}
        self._whole = {mark: self._whole[mark] for mark in marks.values() if mark in self._whole}
        found: dict[str, str] = {}
        for directory in _directories(marks):
            first = None
            for path in directory:
                if self._begins(path):
                    first = path
                elif first is None or not (is_alike(first, path) and self._continues(first, path)):
                    continue
                elif is_padding(self._head(path)) or not self._is_whole(first, at_rest):
                    found[path] = first
        return found

    def _begins(self, path: str) -> bool:
        return may_be_archive(self._head(path), is_all=False)

    def _continues(self, first: str, path: str) -> bool:
        compression = sniff(self._head(first)[:SNIFF_BYTES])
        return not is_beside(path) and can_follow(self._head(path), compression)

    def _head(self, path: str) -> bytes:
        mark = self._marks[path]
        if mark not in self._heads:
            with self._opened(path) as file:
                self._heads[mark] = b"" if file is None else file.read_at(0, min(BLOCK, file.size))
        return self._heads[mark]

    def _is_whole(self, path: str, at_rest: Set[str]) -> bool:
        """Whether the archive needs no continuation. Compressed data that still changes is not read."""
        mark = self._marks[path]
        if path not in at_rest and sniff(self._head(path)[:SNIFF_BYTES]) is not Compression.NONE:
            return False
        if mark not in self._whole:
            scan = ArchiveScan(DEFAULT_LIMITS)
            with self._opened(path) as file:
                try:
                    if file is not None:
                        scan.add(file, file.size)
                    self._whole[mark] = file is None or scan.is_whole
                except ArchiveError:
                    self._whole[mark] = True
        return self._whole[mark]

    @contextmanager
    def _opened(self, path: str) -> Iterator[OpenFile | None]:
        """None if it is gone, or another file was put in its place."""
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = open_beneath(directory, path)
        except OSError:
            yield None
            return
        finally:
            os.close(directory)
        file = VerifiedFile(descriptor, file_identity(os.fstat(descriptor)), same_device=True)
        try:
            yield file
        finally:
            file.close()


def _directories(marks: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """Return the paths of each directory with several files, in the order of their names as people count."""
    found: dict[str, list[str]] = {}
    for path in sorted(marks, key=natural_key):
        found.setdefault(path.rpartition("/")[0], []).append(path)
    return (paths for paths in found.values() if len(paths) > 1)
