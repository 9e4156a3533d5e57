"""Server files of any name that together are one archive: the first breaks off, and the others continue it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.continued import PEEK_BYTES, ArchiveScan, can_follow, is_padding, name_parts
from app.archive.model import Limits
from app.archive.split import HEAD_BYTES, FileEnds, check_order
from app.errors import ArchiveError
from app.spool import OpenFile, SpooledFile

Opener = Callable[[SpooledFile], OpenFile]
_BESIDE = (".asc", ".gpg", ".minisig", ".p7s", ".sig")  # signatures
_NUMBER = re.compile(r"([0-9]+)")


def join_continued(files: Sequence[SpooledFile], open_file: Opener, limits: Limits) -> tuple[SpooledFile, ...]:
    """Return `files` in order. An archive that breaks off and the files behind it that continue it are one file with
    parts, at the place of the first. Files that are archives themselves stay alone. Blocks.

    An archive is read to its end only if what is behind it is none. Raises MissingContent, SourceChanged."""
    joined = []
    waiting = list(files)
    while waiting:
        first, *waiting = waiting
        parts = [first, *_continuing(first, waiting, open_file, limits)]
        waiting = [file for file in waiting if file not in parts]
        joined.append(first if len(parts) == 1 else _as_one(parts))
    return tuple(joined)


@contextmanager
def naming_parts(file: SpooledFile | None) -> Iterator[None]:
    """An error about a file that was joined names its parts."""
    try:
        yield
    except ArchiveError as error:
        if file is not None and file.parts:
            error.args = (f"{error.args[0]}; {name_parts([_name(part) for part in file.parts])}",)
        raise


def _as_one(parts: Sequence[SpooledFile]) -> SpooledFile:
    return SpooledFile(
        parts[0].path, sum(part.size for part in parts), owned=False, identity=parts[0].identity, parts=tuple(parts)
    )


def _continuing(
    first: SpooledFile, others: Sequence[SpooledFile], open_file: Opener, limits: Limits
) -> list[SpooledFile]:
    """Return those of `others` that are parts after `first`."""
    if first.parts or not others:
        return []
    head = _read_head(first, open_file)
    if not FileEnds(head, b"", first.size).starts_an_archive:
        return []
    run = list(takewhile(lambda file: _can_follow(file, open_file, head), others))
    if not run:
        return []
    return _matching(first, sorted(run, key=lambda file: natural_key(file.path)), open_file, ArchiveScan(limits))


def _matching(
    first: SpooledFile, run: Sequence[SpooledFile], open_file: Opener, scan: ArchiveScan
) -> list[SpooledFile]:
    """Return the files of `run` up to the one with which the archive is whole. If it never is, those count that are
    called like it: the archive is then refused with their names."""
    taken: list[SpooledFile] = []
    try:
        _add(scan, first, open_file)
        for file in run:
            if scan.is_whole and not is_padding(_read_head(file, open_file)):
                return taken
            taken.append(file)
            _add(scan, file, open_file)
        if scan.is_whole:
            return taken
    except ArchiveError:
        pass  # of the archive, which is read again
    alike = [file for file in taken if is_alike(first.path, file.path)]
    for before, after in zip((first, *alike), alike, strict=False):
        check_order(_name(before), _name(after))
    return alike


def _add(scan: ArchiveScan, file: SpooledFile, open_file: Opener) -> None:
    opened = open_file(file)
    try:
        scan.add(opened, file.size)
    finally:
        opened.close()


def _can_follow(file: SpooledFile, open_file: Opener, first: bytes) -> bool:
    if file.parts or (file.size and os.path.isdir(file.path)):
        return False
    head = _read_head(file, open_file)
    if FileEnds(head, b"", file.size).starts_an_archive:
        head = _read_head(file, open_file, PEEK_BYTES)
    return continues(first, head, file.path, is_all=len(head) == file.size)


def continues(first: bytes, head: bytes, path: str, *, is_all: bool = False) -> bool:
    """Return whether the file at `path`, which begins with `head`, can be a part of what begins with `first`. `is_all`:
    the file has no more."""
    if path.endswith(_BESIDE):
        return False
    return can_follow(head, is_all=is_all, compression=sniff(first[:SNIFF_BYTES]))


def _read_head(file: SpooledFile, open_file: Opener, size: int = HEAD_BYTES) -> bytes:
    opened = open_file(file)
    try:
        return opened.read_at(0, min(size, file.size))
    finally:
        opened.close()


def is_alike(path: str, other: str) -> bool:
    """Whether both lie in one directory, and their names share at least half of the shorter one."""
    directory, _, name = path.rpartition("/")
    other_directory, _, other_name = other.rpartition("/")
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other_name, strict=False)))
    return directory == other_directory and 2 * shared >= min(len(name), len(other_name))


def _name(file: SpooledFile) -> str:
    return file.path.rpartition("/")[2]


def natural_key(path: str) -> list[tuple[int, str]]:
    """By which paths are in the order in which people count: `x10` is behind `x9`."""
    return [(int(piece), piece) if number % 2 else (0, piece) for number, piece in enumerate(_NUMBER.split(path))]
