"""Shell patterns below a directory, as the module `glob` interprets them, at bounded cost.

`glob` follows links at `**`, so three links to their own directory make 3**40 paths through it. It also reads a
directory once for each way in which a pattern with several `**` reaches it. This module reads each directory once for
all patterns of a request, and counts the comparisons of names."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.errors import LimitExceeded
from app.jobs.sources.openat2 import open_beneath

MAX_ENTRIES = 200_000  # directory entries read for one request; 0.3 s
MAX_COMPARED = 2_000_000  # comparisons of an entry with a part of a pattern, for one request; 2 s
_MAGIC = frozenset("*?[")


def has_magic(pattern: str) -> bool:
    return bool(_MAGIC & set(pattern))


def _parts(pattern: str) -> list[str]:
    """Split a pattern into parts. Adjacent `**` are merged; a final `**` matches everything below."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part != "**" or parts[-1:] != ["**"]:
            parts.append(part)
    return [*parts, "*"] if parts[-1] == "**" else parts


class _Entry(NamedTuple):
    name: str
    is_directory: bool
    is_link: bool


class Effort:
    """The cost of one request so far, over all its patterns and roots."""

    def __init__(self) -> None:
        self.entries = self.compared = 0

    def read(self, entries: int) -> None:
        """Count entries that were read. Raises LimitExceeded."""
        self.entries += entries
        if self.entries > MAX_ENTRIES:
            raise LimitExceeded(
                f"the paths match too many directories; at most {MAX_ENTRIES} entries are read; use fewer `*` and `**`"
            )

    def compare(self, entries: int) -> None:
        """Count entries that were compared. Raises LimitExceeded."""
        self.compared += entries
        if self.compared > MAX_COMPARED:
            raise LimitExceeded(
                f"the paths match too many names; at most {MAX_COMPARED} are compared; use fewer `*` and `**`"
            )


class Search:
    """Matches patterns below one open directory. Blocks."""

    def __init__(self, directory: int, effort: Effort) -> None:
        self._directory, self._effort = directory, effort
        self._known: dict[str, list[_Entry]] = {}

    def matches(self, pattern: str) -> list[str]:
        """Return the names below the directory that match `pattern`, sorted. Raises LimitExceeded.

        `**` matches any depth, without following links. A name that begins with a dot must be written in the pattern.
        No directory outside is read."""
        found = [""]
        *parents, last = _parts(pattern)
        for part in parents:
            found = list(dict.fromkeys(self.step(found, part, directories=True)))
        return sorted(dict.fromkeys(self.step(found, last, directories=False)))

    def step(self, starts: Iterable[str], part: str, *, directories: bool) -> Iterator[str]:
        """Yield the names that `part` matches in each of the directories."""
        if part == "**":
            for start in starts:
                yield from self._below(start)
            return
        if not has_magic(part):
            for start in starts:
                self._effort.compare(1)
                yield os.path.join(start, part)
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
        listed = self._known.get(name)
        if listed is None:
            self._effort.read(1)
            try:
                listed = self._read(name)
            except OSError:  # not a directory, not readable, or outside
                listed = []
            self._effort.read(len(listed))
            self._known[name] = listed
        self._effort.compare(1 + len(listed))
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
    except OSError:  # a cycle of links
        return False
