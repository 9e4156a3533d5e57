"""Files of the command line as archives of a job.

A plain tar is read in place. Any other file is decompressed into the spool once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from app.archive import DEFAULT_LIMITS, Compression
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.ingest import IngestStream, sniff_file
from app.errors import ChecksumMismatch, PathNotFound, TarmacError, TruncatedArchive
from app.jobs.model import ArchiveSource, JobArchive
from app.jobs.sources.continued_files import join_continued
from app.jobs.sources.server_archives import read_chunks, sha256_of
from app.jobs.sources.split_files import join_parts
from app.oci import Digest
from app.spool import Spool, SpooledFile
from app.spool.disk import stat_server_file

STANDARD_INPUT = "-"
CHUNK = 1 << 20

Received = Callable[[str, int, int | None], None]  # name, bytes so far, bytes expected, if known


class ArchiveLoader:
    """Loads archives; `stack` deletes them from the spool. `may_be_cut`: see `IngestStream`."""

    def __init__(self, spool: Spool, stack: AsyncExitStack, received: Received, *, may_be_cut: bool = False) -> None:
        self._may_be_cut = may_be_cut
        self._spool = spool
        self._stack = stack
        self._received = received

    async def join_split_files(self, files: Sequence[str]) -> tuple[str | SpooledFile, ...]:
        """Return what to `load`, in order; the parts of a split archive are one. Raises what `load` raises."""
        return await asyncio.to_thread(join_files, files, self._spool)

    async def load(self, file: str | SpooledFile, checksum: Digest | None = None) -> JobArchive:
        """Load one archive. Raises PathNotFound, SpoolFull, ChecksumMismatch and ArchiveError."""
        try:
            archive = await self._take(file, checksum is not None)
        except OSError as error:
            raise PathNotFound(f"{path_of(file)} cannot be read: {error.strerror}") from None
        if checksum not in {None, archive.digest}:
            raise ChecksumMismatch(
                f"{archive.name} has the checksum {archive.digest} and not {checksum}; bring it over again"
            )
        return archive

    async def _take(self, file: str | SpooledFile, with_digest: bool) -> JobArchive:
        if isinstance(file, SpooledFile):
            return await self._take_adopted(file, with_digest)
        if await asyncio.to_thread(os.path.isdir, file):
            return await self._take_adopted(await self._spool.reference_file(file), with_digest)
        name = "standard input" if file == STANDARD_INPUT else Path(file).name
        raw, size = await _opened(file)
        with raw:  # not by the generators: one that is cancelled before its first step closes nothing
            if size is None:
                return await self._unwrap(name, _from_pipe(raw), None)
            if file == STANDARD_INPUT or await asyncio.to_thread(_is_wrapped, raw):
                return await self._unwrap(name, _from_file(raw), size)
            digest = await asyncio.to_thread(_digest, raw) if with_digest else None
        spooled = await self._spool.reference_file(file)
        return JobArchive(name, ArchiveSource.PATH, spooled.size, digest, None, Compression.NONE, spooled)

    async def _take_adopted(self, file: SpooledFile, with_digest: bool) -> JobArchive:
        """Load a directory, or an archive in parts, in place."""
        name = _name_of(file)
        opened = await asyncio.to_thread(self._spool.open, file)
        try:
            if await asyncio.to_thread(sniff_file, opened, opened.size) is not Compression.NONE:
                return await self._unwrap(name, read_chunks(opened), file.size)
            digest = await sha256_of(opened) if with_digest else None
        finally:
            opened.close()
        return JobArchive(name, ArchiveSource.PATH, file.size, digest, None, Compression.NONE, file)

    async def _unwrap(self, name: str, chunks: AsyncIterator[bytes], expected: int | None) -> JobArchive:
        intake = IngestStream(may_be_cut=self._may_be_cut)
        spooled = await self._spool.save(secrets.token_hex(8), self._counted(name, chunks, expected), intake)
        self._stack.push_async_callback(self._spool.discard, spooled)
        known = JobArchive(name, ArchiveSource.PATH, intake.received, intake.digest, None, intake.compression, spooled)
        cut = intake.index.cut
        return replace(known, problem=TruncatedArchive(cut).problem) if cut else known

    async def _counted(self, name: str, chunks: AsyncIterator[bytes], expected: int | None) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            yield chunk
            self._received(name, received, expected)


def _name_of(file: SpooledFile) -> str:
    """Return the name of the file, also for `.` and `..`."""
    return Path(os.path.abspath(file.path)).name


def path_of(file: str | SpooledFile) -> str:
    return file if isinstance(file, str) else file.path


def join_files(files: Sequence[str], spool: Spool) -> tuple[str | SpooledFile, ...]:
    """Return the files in order; the parts of a split archive are one. Blocks. Raises ArchiveError."""
    known = dict(_stated(files))
    found: dict[str, str | SpooledFile] = {}
    for whole in join_continued(join_parts(list(known.values()), spool.open), spool.open, DEFAULT_LIMITS):
        found |= {part.path: whole for part in whole.parts} if whole.parts else {whole.path: whole.path}
    # the rest of the files is only a description of parts
    return tuple(dict.fromkeys(found.get(file, file) for file in files if file in found or file not in known))


def _stated(files: Sequence[str]) -> Iterator[tuple[str, SpooledFile]]:
    """Yield the regular files that can be opened; `load` raises what is wrong with the others."""
    for file in files:
        try:
            if os.path.isfile(file):
                yield file, stat_server_file(file)
        except TarmacError:
            continue


async def _opened(file: str) -> tuple[BufferedReader, int | None]:
    """Open the file and return it with its size, which is None for a pipe. Opening a pipe may wait for its writer."""
    opening = asyncio.get_running_loop().run_in_executor(None, _open_raw, file)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_late)
        raise


def _close_late(opening: asyncio.Future[tuple[BufferedReader, int | None]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _open_raw(file: str) -> tuple[BufferedReader, int | None]:
    raw = open(os.dup(sys.stdin.fileno()) if file == STANDARD_INPUT else file, "rb")  # noqa: SIM115 - the caller closes it
    status = os.fstat(raw.fileno())
    return raw, status.st_size if stat.S_ISREG(status.st_mode) else None


def _is_wrapped(file: BufferedReader) -> bool:
    return sniff(file.peek(SNIFF_BYTES)[:SNIFF_BYTES]) is not Compression.NONE


def _digest(file: BufferedReader) -> Digest:
    return Digest("sha256", hashlib.file_digest(file, "sha256").hexdigest())


async def _from_file(file: BufferedReader) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk


async def _from_pipe(pipe: BufferedReader) -> AsyncIterator[bytes]:
    """Read the pipe by the event loop, because a thread that waits for a pipe cannot be cancelled."""
    reader = asyncio.StreamReader(limit=CHUNK)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(CHUNK):
            yield chunk
    finally:
        transport.close()
