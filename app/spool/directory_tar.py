"""A directory as the tar that would be made of it, so that it is read like any other archive.

No tar is written: headers are made from the directory's listing, and payloads are read from its files in place. A
symbolic link becomes a link member, which the tar reader follows within the archive or rejects. The file system never
follows one, so no name in the directory leads outside it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from itertools import islice

from app.errors import LimitExceeded, PathNotFound, SourceChanged
from app.spool.verified_file import (
    CHANGED,
    OPEN_FLAGS,
    Identity,
    SharedDescriptor,
    check_range,
    read_from,
)

MAX_ENTRIES = 100_000  # files and directories; the same limit as for members of an archive
MAX_DEPTH = 32  # nested directories; each is an open descriptor during the listing
_BLOCK = 512
_END = 2 * _BLOCK  # zeros at the end of a tar
_FINGERPRINT_BYTES = 7  # an integer that fits into every database
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,  # the tar reader rejects these three types with a reason
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}  # a tar has no sockets


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An entry of the directory. `name`: relative, `/` between components; `target`: of a link, unchanged."""

    name: str
    type: bytes
    size: int
    inode: int
    mtime_ns: int
    target: str

    def header(self) -> bytes:
        """Return the header as GNU tar writes it: long names in an extension header, large sizes in base 256.

        Owner and time are omitted, so the tar depends only on the content."""
        info = tarfile.TarInfo(self.name)
        info.type, info.size, info.linkname = self.type, self.size, self.target
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class _TarSegment:
    """A header, or the payload of a file, at an offset in the tar.

    Headers are built on each read: stored, those of 100,000 entries would take 50 MB."""

    start: int
    size: int
    is_header: bool
    entry: DirectoryEntry


def open_directory(path: str, missing: type[PathNotFound | SourceChanged]) -> DirectoryFile:
    """List the directory. Blocks. Raises LimitExceeded, and `missing` if any of it cannot be read."""
    try:
        descriptor = os.open(path, _DIRECTORY_FLAGS)
    except OSError as error:
        raise missing(f"{os.path.basename(path)} cannot be opened: {error.strerror}") from error
    try:
        return list_directory(descriptor, path, missing)
    finally:
        os.close(descriptor)


def list_directory(descriptor: int, path: str, missing: type[PathNotFound | SourceChanged]) -> DirectoryFile:
    """List an open directory. The caller keeps `descriptor`; `path` is for messages. Raises like `open_directory`."""
    try:
        return DirectoryFile(os.dup(descriptor), tuple(_list(descriptor, "", 1)))
    except OSError as error:
        raise missing(f"the directory {os.path.basename(path)} cannot be read: {error.strerror}") from error


def _list(directory: int, above: str, depth: int, count: int = 0) -> Iterator[DirectoryEntry]:
    """Yield the entries sorted by name, a directory before its content."""
    if depth > MAX_DEPTH:
        raise LimitExceeded(f"the directory has more than {MAX_DEPTH} levels of directories")
    with os.scandir(directory) as scan:
        names = sorted(entry.name for entry in islice(scan, MAX_ENTRIES + 1))
    for name in names:
        count += 1
        if count > MAX_ENTRIES:
            raise LimitExceeded(f"the directory has more than {MAX_ENTRIES} files and directories")
        entry = _entry(directory, above, name)
        if entry is not None:
            yield entry
            for inner in _list_below(directory, entry, depth, count):
                count += 1
                yield inner


def _list_below(directory: int, entry: DirectoryEntry, depth: int, count: int) -> Iterator[DirectoryEntry]:
    if entry.type == tarfile.DIRTYPE:
        name = entry.name.rstrip("/").rpartition("/")[2]
        below = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=directory)
        try:
            yield from _list(below, entry.name, depth + 1, count)
        finally:
            os.close(below)


def _entry(directory: int, above: str, name: str) -> DirectoryEntry | None:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    type_ = _TYPES.get(stat.S_IFMT(status.st_mode))
    if type_ is None:
        return None
    target = os.readlink(name, dir_fd=directory) if type_ == tarfile.SYMTYPE else ""
    is_file = type_ == tarfile.REGTYPE
    path = f"{above}{name}/" if type_ == tarfile.DIRTYPE else above + name
    return DirectoryEntry(
        path, type_, status.st_size if is_file else 0, status.st_ino, status.st_mtime_ns if is_file else 0, target
    )


class DirectoryFile:
    """An OpenFile over a directory. Owns `descriptor`, the directory's.

    Every read opens its file again, component by component and without following links, and compares it with the
    listing."""

    def __init__(self, descriptor: int, entries: tuple[DirectoryEntry, ...]) -> None:
        self._shared = SharedDescriptor(descriptor)
        self._pieces, end = _layout(entries)
        self._starts = [piece.start for piece in self._pieces]
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino, end + _END, _fingerprint(entries))

    @property
    def identity(self) -> Identity:
        """Return the directory's device and inode, the size of its tar, and a fingerprint of all entries instead of a
        time."""
        return self._identity

    @property
    def size(self) -> int:
        return self._identity[2]

    def read_at(self, offset: int, size: int) -> bytes:
        check_range(offset, size, self.size)
        number = bisect_right(self._starts, offset) - 1
        with self._shared.use() as descriptor:
            if number >= 0 and offset + size <= self._pieces[number].start + self._pieces[number].size:
                return _content(descriptor, self._pieces[number], offset - self._pieces[number].start, size)
            return self._gather(descriptor, max(number, 0), offset, size)

    def close(self) -> None:
        """Close the directory. May be called repeatedly."""
        self._shared.close()

    def _gather(self, descriptor: int, number: int, offset: int, size: int) -> bytes:
        """Read over several segments and the zeros between them."""
        content = bytearray(size)
        for piece in islice(self._pieces, number, None):
            begin, end = max(piece.start, offset), min(piece.start + piece.size, offset + size)
            if piece.start >= offset + size:
                break
            if begin < end:
                content[begin - offset : end - offset] = _content(descriptor, piece, begin - piece.start, end - begin)
        return bytes(content)


def _layout(entries: tuple[DirectoryEntry, ...]) -> tuple[list[_TarSegment], int]:
    pieces = []
    end = 0
    for entry in entries:
        pieces.append(_TarSegment(end, len(entry.header()), True, entry))
        end += pieces[-1].size
        if entry.size:
            pieces.append(_TarSegment(end, entry.size, False, entry))
            end += -(-entry.size // _BLOCK) * _BLOCK
    return pieces, end


def _fingerprint(entries: tuple[DirectoryEntry, ...]) -> int:
    hasher = hashlib.sha256()
    for entry in entries:
        hasher.update(repr(astuple(entry)).encode())
    return int.from_bytes(hasher.digest()[:_FINGERPRINT_BYTES], "big")


def _content(directory: int, piece: _TarSegment, offset: int, size: int) -> bytes:
    if piece.is_header:
        return piece.entry.header()[offset : offset + size]
    descriptor = _open_listed(directory, piece.entry.name)
    try:
        content = read_from(descriptor, offset, size)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    found = (stat.S_IFMT(status.st_mode), status.st_ino, status.st_size, status.st_mtime_ns)
    if found != (stat.S_IFREG, piece.entry.inode, piece.entry.size, piece.entry.mtime_ns) or len(content) < size:
        raise SourceChanged(CHANGED)
    return content


def _open_listed(directory: int, name: str) -> int:
    *parents, last = name.split("/")
    step = os.dup(directory)
    try:
        for parent in parents:
            below = os.open(parent, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=step)
            os.close(step)
            step = below
        return os.open(last, OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=step)
    except OSError as error:
        raise SourceChanged(CHANGED) from error
    finally:
        os.close(step)
