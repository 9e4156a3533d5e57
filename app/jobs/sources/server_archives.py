"""Archives of a job: their names, checksums and decompression, for server files and uploads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from app.archive import Compression
from app.archive.compression import MAX_DECODER_BYTES
from app.archive.ingest import IngestStream, sniff_file
from app.archive.tar.header import BLOCK, is_header
from app.archive.window import HEAD_BYTES, decoder_memory, is_sufficient
from app.errors import ArchiveError, ChecksumMismatch, InvalidRequest, TarmacError, TruncatedArchive
from app.jobs.bounds import MAX_PATH, shorten
from app.jobs.model import ArchiveSource, Job, JobArchive
from app.jobs.request import JobRequest
from app.jobs.runtime import JobRuntime
from app.jobs.sources.paths import AllowedRoots
from app.oci import Digest
from app.spool import OpenFile, SpooledFile
from app.threads import hash_in_thread

CHUNK_BYTES = 1 << 20
NAMELESS = "archive"
MAX_NAME = 255  # the limit of file systems

Refused = Callable[[IngestStream], None]
"""Called with the intake of an archive that is refused."""


def unique_name(name: str, taken: Set[str]) -> str:
    """Return a name that is unique within the job: `x.tar`, `x.tar (2)`."""
    short = shorten(name, MAX_NAME) or NAMELESS
    number = 1
    unique = short
    while unique in taken:
        number += 1
        unique = f"{short} ({number})"
    return unique


def path_archives(
    files: tuple[SpooledFile, ...], request: JobRequest, source: ArchiveSource, roots: AllowedRoots
) -> tuple[JobArchive, ...]:
    """Return the archives of `files`, named by their last component; equal names are numbered, `x.tar (2)`."""
    expected = request.expected()
    if expected is not None and len(files) > 1:
        raise InvalidRequest(f"option `checksum` needs a single archive; the paths match {len(files)}")
    archives: dict[str, JobArchive] = {}
    for file in files:
        name = unique_name(file.path.rpartition("/")[2], archives.keys())
        path = shorten(roots.relative(file.path), MAX_PATH)
        archives[name] = JobArchive(name, source, file.size, file=file, expected=expected, path=path)
    return tuple(archives.values())


def relocate_file(file: SpooledFile | None, moved: Mapping[str, str]) -> SpooledFile | None:
    """Return a server file with its new path, given by the former one, and so each of its parts."""
    if file is None or file.owned:
        return file
    parts = tuple(replace(part, path=moved.get(part.path, part.path)) for part in file.parts)
    return replace(file, path=moved.get(file.path, file.path), parts=parts)


def quotes_nothing(archives: Sequence[JobArchive]) -> bool:
    """Return whether errors must not quote the content: a caller may name a file that it may not read."""
    return any(archive.source is not ArchiveSource.UPLOAD for archive in archives)


@contextmanager
def nothing_quoted(archives: Sequence[JobArchive] | None = None) -> Iterator[None]:
    """Remove quoted content from errors of files that were named by path (all files if `archives` is None)."""
    try:
        yield
    except ArchiveError as error:
        if archives is None or quotes_nothing(archives):
            error.content = ""
        raise


def compare_checksum(archive: JobArchive, expected: Digest) -> None:
    """Raise ChecksumMismatch if the archive has another digest."""
    if archive.digest != expected:
        raise ChecksumMismatch(
            f"checksum mismatch: {archive.name} has {archive.digest}, expected {expected}; "
            "nothing was pushed; send the archive again"
        )


async def prepare_archive(
    archive: JobArchive, spooled_as: str, runtime: JobRuntime, job: Job, refused: Callable[[JobArchive], None]
) -> JobArchive:
    """Examine a server file: leave a plain tar in place, decompress any other into the spool, compare the checksum.

    `refused` is called with the digest, if known, before SourceChanged, ArchiveError, SpoolFull or ChecksumMismatch is
    raised. The digest of a file that is not a tar stays secret: the content of a short one could be guessed by it."""

    def note(digest: Digest) -> None:
        refused(replace(archive, digest=digest))

    if archive.compression is not None or archive.file is None:
        return archive
    file = await asyncio.to_thread(runtime.spool.open, archive.file)
    try:
        compression = await asyncio.to_thread(sniff_file, file, file.size)
        if compression is Compression.NONE:
            is_compared = archive.expected is not None and await asyncio.to_thread(_starts_tar, file)
            known = replace(archive, compression=compression, digest=await sha256_of(file) if is_compared else None)
        else:
            intake, own = await unwrap(file, spooled_as, runtime, job, partial(_note_whole, archive.size, note))
            known = replace(archive, compression=intake.compression, digest=intake.digest, file=own)
            if intake.index.cut:
                known = replace(known, problem=TruncatedArchive(intake.index.cut).problem)
    finally:
        file.close()
    if archive.expected is not None and known.digest is not None:
        note(known.digest)
        await _compare(known, archive.expected, runtime, archive.file)
    return replace(known, expected=None)


async def unwrap(
    file: OpenFile, spooled_as: str, runtime: JobRuntime, job: Job, refused: Refused
) -> tuple[IngestStream, SpooledFile]:
    """Save the plain tar of `file` in the spool, as soon as there is memory for its decoder.

    If `job` keeps going, the archive may break off. Calls `refused` before it raises ArchiveError or SpoolFull."""
    memory = decoder_memory(await asyncio.to_thread(file.read_at, 0, min(HEAD_BYTES, file.size)))
    async with runtime.decoders.turn(job.share, memory):
        intake = IngestStream(runtime.limits, memory=memory or MAX_DECODER_BYTES, may_be_cut=job.options.keep_going)
        try:
            return intake, await runtime.save(job.share, spooled_as, read_chunks(file), intake)
        except TarmacError:
            refused(intake)
            raise


def _note_whole(size: int, note: Callable[[Digest], None], intake: IngestStream) -> None:
    if intake.received == size and intake.files_since(0):
        note(intake.digest)


def _starts_tar(file: OpenFile) -> bool:
    """Return whether a file starts with a header of a tar or with its end. Blocks."""
    block = file.read_at(0, min(BLOCK, file.size))
    return len(block) == BLOCK and (is_header(block) or not any(block))


async def _compare(archive: JobArchive, expected: Digest, runtime: JobRuntime, source: SpooledFile) -> None:
    try:
        compare_checksum(archive, expected)
    except ChecksumMismatch:
        if archive.file is not None and archive.file != source:
            await runtime.discard(archive.file)
        raise


async def begun(chunks: AsyncIterable[bytes]) -> tuple[int, AsyncIterator[bytes]]:
    """Read enough chunks to detect the compression. Return the memory its decoder takes, and all chunks."""
    iterator = aiter(chunks)
    first: list[bytes] = []
    head = b""
    async for chunk in iterator:
        first.append(chunk)
        head += chunk[: HEAD_BYTES - len(head)]
        if is_sufficient(head) or not chunk:
            break

    async def whole() -> AsyncIterator[bytes]:
        while first:
            yield first.pop(0)
        async for chunk in iterator:
            yield chunk

    return decoder_memory(head), whole()


async def read_chunks(file: OpenFile) -> AsyncIterator[bytes]:
    """Yield the whole file in chunks, read in threads."""
    for offset in range(0, file.size, CHUNK_BYTES):
        yield await asyncio.to_thread(file.read_at, offset, min(CHUNK_BYTES, file.size - offset))


async def sha256_of(file: OpenFile) -> Digest:
    hasher = hashlib.sha256()
    async for chunk in read_chunks(file):
        await hash_in_thread(hasher.update, chunk)
    return Digest("sha256", hasher.hexdigest())
