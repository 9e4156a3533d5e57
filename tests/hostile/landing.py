"""A whole push without a server: from bytes to tags, the way that an upload takes, with a file for the spool."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import BinaryIO

from app.archive import Archive, IngestStream, open_archive
from app.errors import TarmacError, TruncatedArchive
from app.push import Destination, Event, ImageChanged, ImageState, PushOptions, execute, make_plan
from tests.support.fake_registry import FakeRegistry

LOCAL = Destination("default", "registry.local:5000")
CHUNK = 256 << 10  # as they come from a socket


@dataclass(slots=True)
class Landed:
    """What came of an archive. `codes`: of the error that refused it, or of the images that failed."""

    codes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    tags: tuple[str, ...] = ()
    images: int = 0
    archive: Archive | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A ReadAt over an open file."""

    file: BinaryIO
    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        data = os.pread(self.file.fileno(), size, offset)
        if len(data) < size:
            raise TruncatedArchive(f"{size} bytes at {offset} of {self.size}")
        return data


async def land(data: bytes | BinaryIO, options: PushOptions | None = None) -> Landed:
    """Push to a registry in memory. Raises whatever is no TarmacError."""
    landed, registry = Landed(), FakeRegistry()
    with TemporaryFile() as spool:
        try:
            archive, source = _opened(data, spool)
            landed.archive = archive
            plan = make_plan([archive], options or PushOptions(), LOCAL)
        except TarmacError as error:
            landed.codes, landed.words = [error.code], [str(error)]
            return landed
        events: list[Event] = []
        await execute(plan, [source], registry, events.append)
    _read(events, landed)
    landed.images = len(plan.images)
    landed.tags = tuple(sorted(f"{repository}:{tag}" for repository, tag in registry.tags))
    return landed


def _opened(data: bytes | BinaryIO, spool: BinaryIO) -> tuple[Archive, File]:
    intake = IngestStream()
    for chunk in _chunks(data):
        for piece in intake.feed(chunk):
            spool.write(piece)
    for piece in intake.finish():
        spool.write(piece)
    spool.flush()
    source = File(spool, intake.index.size)
    return open_archive(intake.index, source), source


def _chunks(data: bytes | BinaryIO) -> Sequence[bytes] | BinaryChunks:
    return (
        [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] if isinstance(data, bytes) else BinaryChunks(data)
    )


@dataclass(slots=True)
class BinaryChunks:
    file: BinaryIO

    def __iter__(self) -> BinaryChunks:
        return self

    def __next__(self) -> bytes:
        if chunk := self.file.read(CHUNK):
            return chunk
        raise StopIteration


def _read(events: Sequence[Event], landed: Landed) -> None:
    for event in events:
        if isinstance(event, ImageChanged) and event.state is ImageState.FAILED:
            assert event.problem is not None
            landed.codes.append(event.problem.code)
            landed.words.append(event.problem.detail)
