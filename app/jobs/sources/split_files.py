"""Joins server files that are parts of a split archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from app.archive.split import (
    HEAD_BYTES,
    TAIL_BYTES,
    FileEnds,
    PartName,
    PartSeries,
    missing_part,
    start_series,
    starts_new_archive,
)
from app.spool import OpenFile, SpooledFile

Opener = Callable[[SpooledFile], OpenFile]


@dataclass(frozen=True, slots=True)
class _Part:
    file: SpooledFile
    name: PartName
    ends: FileEnds


def join_parts(files: Sequence[SpooledFile], open_file: Opener) -> tuple[SpooledFile, ...]:
    """Return `files` in order, with the parts of each split archive joined at the position of the first part.

    The joined file has the name of the whole. Blocks; opens files whose name is that of a part. Raises MissingContent
    if a part between others is missing, MalformedArchive, SourceChanged."""
    found: dict[str, list[_Part]] = {}
    for file in files:
        directory, _, name = file.path.rpartition("/")
        part = PartName.of_series(name)
        if part is None:
            found[file.path] = []
        else:
            found.setdefault(f"{directory}/{part.before}\0{part.letters}\0{part.after}", []).append(
                _Part(file, part, _ends(file, open_file))
            )
    alone = {file.path: file for file in files}
    return tuple(each for key, parts in found.items() for each in (_joined(parts) if parts else [alone[key]]))


def _ends(file: SpooledFile, open_file: Opener) -> FileEnds:
    opened = open_file(file)
    try:
        head = opened.read_at(0, min(HEAD_BYTES, file.size))
        tail = min(TAIL_BYTES, file.size)
        return FileEnds(head, opened.read_at(file.size - tail, tail), file.size)
    finally:
        opened.close()


def _joined(parts: list[_Part]) -> Iterator[SpooledFile]:
    parts.sort(key=lambda part: part.name.number)
    taken: list[_Part] = []
    series: PartSeries | None = None
    for part in parts:
        if series is not None and not starts_new_archive(taken[0].ends, taken[-1].ends, part.ends):
            series = series.append(part.name)
            taken.append(part)
            continue
        if series is not None:
            yield _as_one(series, taken)
            series = None
        if part.name.may_be_first:
            series, taken = start_series(part.name, part.ends), [part]
        elif part.ends.starts_an_archive:
            yield part.file
        else:
            raise missing_part(part.name.previous, part.name)
    if series is not None:
        yield _as_one(series, taken)


def _as_one(series: PartSeries, parts: list[_Part]) -> SpooledFile:
    files = tuple(part.file for part in parts)[series.described :]
    size = sum(file.size for file in files)
    series.end(size)
    if len(parts) == 1:
        return parts[0].file
    path = files[0].path.removesuffix(files[0].path.rpartition("/")[2]) + series.last.stem
    return SpooledFile(path, size, owned=False, identity=files[0].identity, parts=files)
