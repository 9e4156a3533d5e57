"""TarIndex: the names in a tar and the extents of their bytes.

Nothing is extracted: names are only keys, and links refer to other keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from app.archive.model import DEFAULT_LIMITS, Compression, Extent, Limits, ReadAt
from app.errors import LimitExceeded, MalformedArchive

MAX_REPEATS = 16  # of one name with different content; an archive that was appended to has two or three
NONE_COMPRESSED: Mapping[int, Compression] = MappingProxyType({})
_UNEVEN = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")  # an empty component, `.` or `..`


class MemberKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


@dataclass(frozen=True, slots=True)
class Member:
    """`name` is normalized; `target` is as written, empty except for links; `extent` is empty except for files."""

    name: str
    kind: MemberKind
    extent: Extent
    target: str


def normalise(name: str) -> str:
    """Return the normalized name: `./a//b/` is `a/b`; the root is empty. Raises MalformedArchive.

    Absolute names and `..` are rejected. GNU tar removes the leading slash and other readers do not, so they would see
    different archives. No tool that writes image archives makes such names."""
    path = name.removesuffix("/")
    if not _UNEVEN.search(path):
        return path
    parts = path.split("/")
    if name.startswith("/") or ".." in parts:
        raise MalformedArchive(f"member {name!r:.300} has an absolute name or `..`; tar readers differ on such names")
    return "/".join(part for part in parts if part not in {"", "."})


def resolve_target(link: Member) -> str:
    """Return the name that a link refers to. Raises MalformedArchive if it is outside the archive.

    A symbolic link is relative to its directory, a hard link to the root (POSIX)."""
    found = link.name.split("/")[:-1] if link.kind is MemberKind.SYMLINK else []
    outside = not link.target or link.target.startswith("/")
    for part in link.target.split("/"):
        if part == "..":
            outside = outside or not found
            del found[-1:]
        elif part not in {"", "."}:
            found.append(part)
    if outside:
        raise MalformedArchive(f"{link.kind} {link.name!r:.300} refers to {link.target!r:.300}, outside the archive")
    return "/".join(found)


@dataclass(frozen=True, slots=True)
class TarIndex:
    """The members of a plain tar by name.

    members     by normalized name, in archive order; several if a name occurs more than once
    size        bytes of the plain tar
    compressed  compression of files, by their offsets; only of compressed ones
    ended       whether the end marker was seen; without one the archive may have been cut off after any member
    cut         why the archive breaks off, for messages; empty if it does not"""

    members: Mapping[str, tuple[Member, ...]]
    size: int
    limits: Limits = field(default=DEFAULT_LIMITS, repr=False)
    compressed: Mapping[int, Compression] = field(default_factory=lambda: NONE_COMPRESSED, repr=False)
    ended: bool = True
    cut: str = ""

    @property
    def roots(self) -> tuple[str, ...]:
        """Return the names at the root, in archive order."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.members))

    def files(self) -> Iterator[Member]:
        """Yield the regular files in archive order of their names, without links."""
        for members in self.members.values():
            for member in members:
                if member.kind is MemberKind.FILE:
                    yield member

    def compression(self, extent: Extent) -> Compression:
        """Return the compression of a file's content, detected from its first bytes."""
        return self.compressed.get(extent.offset, Compression.NONE)

    def extent(self, name: str) -> Extent | None:
        """Return the extent of `name`, links followed; None if no file has that name. Raises MalformedArchive.

        If a name occurs more than once, the first extent is returned; all have one size. This is sufficient for a file
        that is named by its digest; use `read` for any other."""
        extents = self._extents(name)
        return extents[0] if extents else None

    def read(self, name: str, source: ReadAt, limit: int) -> bytes | None:
        """Return the bytes of a small file; None if no such file exists.

        Raises LimitExceeded above `limit` bytes. Raises MalformedArchive if the name occurs more than once with
        different bytes: some readers use the first, some the last."""
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
        """Return every extent that a reader could use for `name`.

        Links are followed level by level over distinct names, so repeated links add no cost."""
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
            f"the links from {name!r:.300} form a circle or have more than {self.limits.link_hops} steps"
        )

    def _target(self, name: str, link: Member) -> tuple[Member, ...]:
        if members := self.members.get(name):
            return members
        raise MalformedArchive(
            f"{link.kind} {link.name!r:.300} refers to {link.target!r:.300}, which is not in the archive"
        )


def _agreed(name: str, extents: tuple[Extent, ...], directory: bool) -> tuple[Extent, ...]:
    if len({extent.size for extent in extents}) > 1 or (extents and directory):
        raise MalformedArchive(f"member {name!r:.300} occurs more than once, with different content")
    return extents
