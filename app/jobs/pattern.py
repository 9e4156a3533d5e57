"""Shell patterns below a directory, as `glob` reads them, at a bounded price.

`glob` follows links at `**`, so that three links to the directory they lie in make 3**40 ways through it, and it walks
a directory once for every way that a pattern with several `**` leads there. Here every directory is read once for each
part of the pattern."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.errors import LimitExceeded
from app.jobs.beneath import open_beneath

MAX_ENTRIES = 200_000  # of directories that are read for one pattern; 0.3 s
_MAGIC = frozenset("*?[")


def has_magic(pattern: str) -> bool:
    return bool(_MAGIC & set(pattern))


def matches(directory: int, pattern: str) -> list[str]:
    """The names below `directory`, an open one, that `pattern` stands for, sorted. `**` is any depth, links are not
    followed there; what begins with a point has to be named. No directory outside is read. Blocks. Raises
    LimitExceeded."""
    search = _Search(directory)
    found = [""]
    *parents, last = _parts(pattern)
    for part in parents:
        found = list(dict.fromkeys(search.step(found, part, directories=True)))
    return sorted(dict.fromkeys(search.step(found, last, directories=False)))


def _parts(pattern: str) -> list[str]:
    """Two `**` in a row are one; at the end it stands for everything below."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part != "**" or parts[-1:] != ["**"]:
            parts.append(part)
    return [*parts, "*"] if parts[-1] == "**" else parts


class _Entry(NamedTuple):
    name: str
    is_directory: bool
    is_link: bool


class _Search:
    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._entries = 0

    def step(self, starts: Iterable[str], part: str, *, directories: bool) -> Iterator[str]:
        """What `part` leads to from each of the directories."""
        if part == "**":
            for start in starts:
                yield from self._below(start)
            return
        if not has_magic(part):
            yield from (os.path.join(start, part) for start in starts)
            return
        matching = re.compile(fnmatch.translate(part)).match
        for start in starts:
            for entry in self._listed(start):
                hidden = entry.name.startswith(".") and not part.startswith(".")
                if not hidden and matching(entry.name) and (not directories or entry.is_directory):
                    yield os.path.join(start, entry.name)

    def _below(self, start: str) -> Iterator[str]:
        waiting = [start]
        for directory in waiting:
            yield directory
            for entry in self._listed(directory):
                if not entry.name.startswith(".") and entry.is_directory and not entry.is_link:
                    waiting.append(os.path.join(directory, entry.name))

    def _listed(self, name: str) -> list[_Entry]:
        try:
            listed = self._read(name)
        except OSError:  # no directory, none that may be read, or one outside
            return []
        self._entries += len(listed) + 1
        if self._entries > MAX_ENTRIES:
            raise LimitExceeded(
                f"the pattern makes the service read more than {MAX_ENTRIES} directory entries; use fewer `*` and `**`"
            )
        return listed

    def _read(self, name: str) -> list[_Entry]:
        if name:
            descriptor = open_beneath(self._directory, name)
        else:
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            with os.scandir(descriptor) as entries:
                return [_Entry(entry.name, _is_directory(entry), entry.is_symlink()) for entry in entries]
        finally:
            os.close(descriptor)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
