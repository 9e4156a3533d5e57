"""TarIndex: which names a tar holds and where their bytes lie. Nothing is ever extracted; names are keys only, and
links lead to other keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from app.archive.model import DEFAULT_LIMITS, Compression, Extent, Limits, ReadAt
from app.errors import LimitExceeded, MalformedArchive

MAX_REPEATS = 16  # of one name with different content; an archive that was appended to has two or three
NOTHING_COMPRESSED: Mapping[int, Compression] = MappingProxyType({})
_UNEVEN = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")  # an empty component, `.` or `..`


class MemberKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


@dataclass(frozen=True, slots=True)
class Member:
    """`name` is normalised; `target` is as it stands, empty but for links; the extent of all but files is empty."""

    name: str
    kind: MemberKind
    extent: Extent
    target: str


def normalise(name: str) -> str:
    """`./a//b/` is `a/b`; the root itself is empty. Raises MalformedArchive for absolute names and for `..`: GNU tar
    takes the slash away, others look for the name as it stands, so the two would see different archives. No tool that
    writes image archives makes such names."""
    path = name.removesuffix("/")
    if not _UNEVEN.search(path):
        return path
    parts = path.split("/")
    if name.startswith("/") or ".." in parts:
        raise MalformedArchive(f"member {name!r:.300} is absolute or climbs by `..`; tar readers differ on such names")
    return "/".join(part for part in parts if part not in {"", "."})


def resolve_target(link: Member) -> str:
    """The name a link leads to: from its own directory, or for a hard link from the root (POSIX). Raises
    MalformedArchive where that is outside of the archive."""
    found = link.name.split("/")[:-1] if link.kind is MemberKind.SYMLINK else []
    outside = not link.target or link.target.startswith("/")
    for part in link.target.split("/"):
        if part == "..":
            outside = outside or not found
            del found[-1:]
        elif part not in {"", "."}:
            found.append(part)
    if outside:
        raise MalformedArchive(f"{link.kind} {link.name!r:.300} leads to {link.target!r:.300}, outside of the archive")
    return "/".join(found)


@dataclass(frozen=True, slots=True)
class TarIndex:
    """members     by normalised name, in archive order; several where a name occurs more than once
    size        bytes of the plain tar
    compressed  how the files are compressed, by their offsets; what is not compressed is not in it
    ended       whether the archive has an end: without one it may have been cut off behind any member"""

    members: Mapping[str, tuple[Member, ...]]
    size: int
    limits: Limits = field(default=DEFAULT_LIMITS, repr=False)
    compressed: Mapping[int, Compression] = field(default_factory=lambda: NOTHING_COMPRESSED, repr=False)
    ended: bool = True

    @property
    def roots(self) -> tuple[str, ...]:
        """The names at the root, in archive order."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.members))

    def files(self) -> Iterator[Member]:
        """The regular files in archive order of their names; links are left out."""
        for members in self.members.values():
            for member in members:
                if member.kind is MemberKind.FILE:
                    yield member

    def compression(self, extent: Extent) -> Compression:
        """Return how the content of a file is compressed, as its first bytes tell."""
        return self.compressed.get(extent.offset, Compression.NONE)

    def extent(self, name: str) -> Extent | None:
        """Where the bytes of `name` lie, links followed; None where no file has that name.

        Where a name occurs more than once the first is given, and all have one size. That is enough for what is named
        by its digest; use `read` for anything else. Raises MalformedArchive."""
        extents = self._extents(name)
        return extents[0] if extents else None

    def read(self, name: str, source: ReadAt, limit: int) -> bytes | None:
        """The bytes of a small file, None where there is none. Raises LimitExceeded above `limit` bytes, and
        MalformedArchive where the name occurs more than once with different bytes: some readers take the first, some
        the last."""
        content: bytes | None = None
        for extent in self._extents(name):
            if extent.size > limit:
                raise LimitExceeded(f"member {name!r:.300} has {extent.size} bytes; at most {limit} are read")
            piece = source.read_at(extent.offset, extent.size)
            if content is not None and piece != content:
                raise MalformedArchive(f"member {name!r:.300} occurs more than once, with different content")
            content = piece
        return content

    def _extents(self, name: str) -> tuple[Extent, ...]:
        """Every extent that a reader could take for `name`. Level by level over names, so links that are repeated or
        meet again cost nothing."""
        extents: dict[Extent, None] = {}
        directory = False
        level = {name: self.members.get(name, ())}
        for _ in range(self.limits.link_hops + 1):
            targets: dict[str, tuple[Member, ...]] = {}
            for member in (member for members in level.values() for member in members):
                if member.kind is MemberKind.FILE:
                    extents[member.extent] = None
                elif member.kind is MemberKind.DIRECTORY:
                    directory = True
                else:
                    target = resolve_target(member)
                    targets[target] = self._target(target, member)
            if not targets:
                return _agreed(name, tuple(extents), directory)
            level = targets
        raise MalformedArchive(
            f"the links from {name!r:.300} run in a circle or over more than {self.limits.link_hops} steps"
        )

    def _target(self, name: str, link: Member) -> tuple[Member, ...]:
        if members := self.members.get(name):
            return members
        raise MalformedArchive(
            f"{link.kind} {link.name!r:.300} leads to {link.target!r:.300}, which is not in the archive"
        )


def _agreed(name: str, extents: tuple[Extent, ...], directory: bool) -> tuple[Extent, ...]:
    if len({extent.size for extent in extents}) > 1 or (extents and directory):
        raise MalformedArchive(f"member {name!r:.300} occurs more than once, with different content")
    return extents
