"""Server files of any name that together are one archive: the first breaks off, and the others continue it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.continued import PEEK_BYTES, ArchiveScan, can_follow, is_padding, may_be_archive, name_parts
from app.archive.model import Limits
from app.archive.split import HEAD_BYTES, FileEnds, check_order
from app.errors import ArchiveError
from app.spool import OpenFile, SpooledFile

Opener = Callable[[SpooledFile], OpenFile]
_BESIDE = (".asc", ".gpg", ".json", ".md", ".md5", ".minisig", ".p7s", ".sha1", ".sha256", ".sha512", ".sig", ".txt")
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
    """Name the parts of a joined file in an error about it."""
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
    compression = sniff(head[:SNIFF_BYTES])
    run = [
        file
        for file in takewhile(lambda file: not _is_archive(file, open_file), others)
        if not is_beside(file.path) and can_follow(_read_head(file, open_file), compression)
    ]
    run.sort(key=lambda file: natural_key(file.path))
    return _matching(first, run, open_file, ArchiveScan(limits)) if run else []


def _matching(
    first: SpooledFile, run: Sequence[SpooledFile], open_file: Opener, scan: ArchiveScan
) -> list[SpooledFile]:
    """Return the files of `run` up to the one with which the archive is whole. If it never is, those count that are
    called like it: the archive is then refused with their names."""
    taken: list[SpooledFile] = []
    try:
        _add(scan, first, open_file)
        for file in run:
            is_end = is_alike(first.path, file.path) and is_padding(_read_head(file, open_file))
            if scan.is_whole and not is_end:
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


def _is_archive(file: SpooledFile, open_file: Opener) -> bool:
    if file.parts or os.path.isdir(file.path):
        return True
    head = _read_head(file, open_file)
    if FileEnds(head, b"", file.size).starts_an_archive:
        head = _read_head(file, open_file, PEEK_BYTES)
    return may_be_archive(head, is_all=len(head) == file.size)


def is_beside(path: str) -> bool:
    """Return whether the file is about an archive, as its name says."""
    return path.endswith(_BESIDE)


def _read_head(file: SpooledFile, open_file: Opener, size: int = HEAD_BYTES) -> bytes:
    opened = open_file(file)
    try:
        return opened.read_at(0, min(size, file.size))
    finally:
        opened.close()


def is_alike(path: str, other: str) -> bool:
    """Whether both lie in one directory, and their names without a common extension share half of the shorter one."""
    (directory, name), (other_directory, other_name) = map(os.path.split, (path, other))
    (stem, extension), (other_stem, other_extension) = map(os.path.splitext, (name, other_name))
    if extension == other_extension:
        name, other_name = stem, other_stem
    shared = _shared(name, other_name) + _shared(name[::-1], other_name[::-1])
    return directory == other_directory and 2 * shared >= min(len(name), len(other_name))


def _shared(name: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))


def _name(file: SpooledFile) -> str:
    return file.path.rpartition("/")[2]


def natural_key(path: str) -> list[tuple[int, str]]:
    """By which paths are in the order in which people count: `x10` is behind `x9`."""
    return [(int(piece), piece) if number % 2 else (0, piece) for number, piece in enumerate(_NUMBER.split(path))]
