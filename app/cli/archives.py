"""Files of the command line become open archives: a plain tar is read where it stands, anything else is unwrapped into
the spool once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from app.archive import Archive, Compression, index_file
from app.archive.compression import SNIFF_BYTES, sniff
from app.archive.formats import open_archive
from app.archive.intake import Intake
from app.errors import ChecksumMismatch, PathNotFound
from app.oci import Digest
from app.spool import OpenFile, Spool

STANDARD_INPUT = "-"
CHUNK = 1 << 20

Received = Callable[[str, int, int | None], None]  # name, bytes so far, bytes expected where that is known


@dataclass(frozen=True, slots=True)
class OpenedArchive:
    """`size` and `digest` are those of the archive as it was given; the digest is None where nobody needed it."""

    name: str
    size: int
    digest: Digest | None
    compression: Compression
    archive: Archive
    file: OpenFile


class Opener:
    """Opens archives; `stack` closes them and clears the spool."""

    def __init__(self, spool: Spool, stack: AsyncExitStack, received: Received) -> None:
        self._spool = spool
        self._stack = stack
        self._received = received

    async def open(self, file: str, checksum: Digest | None = None) -> OpenedArchive:
        """Raises PathNotFound, SpoolFull, ChecksumMismatch and ArchiveError."""
        name = "standard input" if file == STANDARD_INPUT else Path(file).name
        try:
            opened = await self._open(file, name, checksum)
        except OSError as error:
            raise PathNotFound(f"{file} cannot be read: {error.strerror}") from None
        if checksum is not None and opened.digest != checksum:
            raise ChecksumMismatch(f"{name} has the checksum {opened.digest} and not {checksum}; bring it over again")
        return opened

    async def _open(self, file: str, name: str, checksum: Digest | None) -> OpenedArchive:
        raw, size = await asyncio.to_thread(_open_raw, file)
        if size is not None and file != STANDARD_INPUT:
            head = await asyncio.to_thread(raw.peek, SNIFF_BYTES)
            if sniff(head[:SNIFF_BYTES]) is Compression.NONE:
                raw.close()
                return await self._adopt(file, name, checksum)
        return await self._unwrap(name, _from_pipe(raw) if size is None else _from_file(raw), size)

    async def _adopt(self, file: str, name: str, checksum: Digest | None) -> OpenedArchive:
        spooled = await self._spool.adopt(file)
        opened = self._spool.open(spooled)
        self._stack.callback(opened.close)
        digest = None
        if checksum is not None:
            digest = await asyncio.to_thread(_digest, opened)
        index = await asyncio.to_thread(index_file, opened, opened.size)
        archive = await asyncio.to_thread(open_archive, index, opened)
        return OpenedArchive(name, opened.size, digest, Compression.NONE, archive, opened)

    async def _unwrap(self, name: str, chunks: AsyncIterator[bytes], expected: int | None) -> OpenedArchive:
        intake = Intake()
        spooled = await self._spool.save(os.urandom(8).hex(), self._counted(name, chunks, expected), intake)
        self._stack.push_async_callback(self._spool.discard, spooled)
        opened = self._spool.open(spooled)
        self._stack.callback(opened.close)
        archive = await asyncio.to_thread(open_archive, intake.index, opened)
        return OpenedArchive(name, intake.received, intake.digest, intake.compression, archive, opened)

    async def _counted(self, name: str, chunks: AsyncIterator[bytes], expected: int | None) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            yield chunk
            self._received(name, received, expected)


def _open_raw(file: str) -> tuple[BufferedReader, int | None]:
    """The file and its size; None where it is a pipe or the like."""
    raw = open(os.dup(sys.stdin.fileno()) if file == STANDARD_INPUT else file, "rb")  # noqa: SIM115 - the caller closes
    status = os.fstat(raw.fileno())
    return raw, status.st_size if stat.S_ISREG(status.st_mode) else None


def _digest(file: OpenFile) -> Digest:
    hasher = hashlib.sha256()
    for start in range(0, file.size, CHUNK):
        hasher.update(file.read_at(start, min(CHUNK, file.size - start)))
    return Digest("sha256", hasher.hexdigest())


async def _from_file(file: BufferedReader) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


async def _from_pipe(pipe: BufferedReader) -> AsyncIterator[bytes]:
    """By the event loop: a thread that waits for a pipe cannot be cancelled."""
    reader = asyncio.StreamReader(limit=CHUNK)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(CHUNK):
            yield chunk
    finally:
        transport.close()
