"""DiskSpool: one file per archive in one directory, complete and durable or absent."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Set
from contextlib import ExitStack, aclosing
from pathlib import Path

import structlog

from app.errors import Internal, PathNotFound, SourceChanged, SpoolFull, Unavailable
from app.spool import OpenFile, SpooledFile, StreamFilter
from app.spool.batches import BATCHES
from app.spool.concatenated_file import ConcatenatedFile
from app.spool.directory_tar import open_directory
from app.spool.partial_file import PartialFile
from app.spool.reservation import SpaceReservation, SpaceReservations
from app.spool.verified_file import CHANGED, VerifiedFile, file_identity, open_regular
from app.spool.writeback import Writeback
from app.threads import hashing

WRITE_BYTES = 1 << 20  # plain bytes per write
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PART, _DONE = ".part", ".tar"
_VECTOR = 1024  # IOV_MAX of Linux

_log = structlog.get_logger(__name__)


class DiskSpool:
    """Stores archives in `root`, which only this user may access.

    `reserve_bytes` of its file system are kept free, for the job store and other programs."""

    def __init__(self, root: Path, reserve_bytes: int = 0) -> None:
        self._root = root.absolute()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root.chmod(0o700)
        self._reservations = SpaceReservations(self._root, reserve_bytes)

    async def save(
        self, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        reservation = await asyncio.to_thread(self._reservations.reserve, expected_bytes)
        writing = _DiskWriter(self._root / name, tap, reservation)
        try:
            await asyncio.to_thread(writing.begin)
            await write_in_batches(chunks, writing.write)
            file = await asyncio.to_thread(writing.complete)
            writing.keep()
        finally:
            await asyncio.to_thread(writing.close)
        return file

    def open_partial(self, name: str) -> OpenFile:
        return PartialFile(open_regular(str(self._root / f"{name}{_PART}"), SourceChanged))

    async def reference_file(self, path: str) -> SpooledFile:
        return await asyncio.to_thread(stat_server_file, path)

    def open(self, file: SpooledFile) -> OpenFile:
        if file.parts:
            return self._open_parts(file)
        if not file.owned and os.path.isdir(file.path):
            return _open_adopted_directory(file)
        descriptor = open_regular(str(self._path(file)), SourceChanged)
        opened = VerifiedFile(descriptor, file.identity, same_device=not file.owned)
        try:
            opened.check()
        except SourceChanged:
            opened.close()
            raise
        return opened

    def _open_parts(self, file: SpooledFile) -> OpenFile:
        with ExitStack() as stack:
            parts = []
            for part in file.parts:
                parts.append(self.open(part))
                stack.callback(parts[-1].close)
            stack.pop_all()
        return ConcatenatedFile(tuple(parts))

    async def discard(self, file: SpooledFile) -> None:
        if file.owned:
            await asyncio.to_thread(_remove, self._path(file))

    def check_space(self, size: int) -> None:
        self._reservations.check(size)

    async def sweep(self, keep: Set[str]) -> int:
        return await asyncio.to_thread(self._sweep, keep)

    def _sweep(self, keep: Set[str]) -> int:
        lost = [path for path in self._root.iterdir() if not (path.suffix == _DONE and path.stem in keep)]
        for path in lost:
            path.unlink(missing_ok=True)
        return len(lost)

    async def names(self) -> frozenset[str]:
        return await asyncio.to_thread(lambda: frozenset(path.stem for path in self._root.iterdir()))

    async def remove(self, names: Set[str]) -> None:
        await asyncio.to_thread(self._remove_all, names)

    def _remove_all(self, names: Set[str]) -> None:
        for name in names:
            for suffix in (_PART, _DONE):
                _remove(self._root / f"{name}{suffix}")

    def _path(self, file: SpooledFile) -> Path:
        """Return the path of a file. An owned file is always in this directory.

        The directory may have been moved, and a path from the database must not decide what is deleted."""
        return self._root / Path(file.path).name if file.owned else Path(file.path)


def stat_server_file(path: str) -> SpooledFile:
    """Return the file or directory as `DiskSpool.reference_file` does. Blocks."""
    if os.path.isdir(path):
        directory = open_directory(path, PathNotFound)
        directory.close()
        return SpooledFile(path, directory.size, owned=False, identity=directory.identity)
    descriptor = open_regular(path, PathNotFound)
    try:
        identity = file_identity(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return SpooledFile(path, identity[2], owned=False, identity=identity)


def _open_adopted_directory(file: SpooledFile) -> OpenFile:
    directory = open_directory(file.path, SourceChanged)
    if directory.identity != file.identity:
        directory.close()
        raise SourceChanged(CHANGED)
    return directory


class _DiskWriter:
    """A file being written, by one thread at a time; `close` without `keep` deletes it.

    A cancelled task leaves its thread call running, so every step takes the lock and does nothing after `close`."""

    def __init__(self, target: Path, tap: StreamFilter, reservation: SpaceReservation) -> None:
        self._part, self._done = target.with_name(target.name + _PART), target.with_name(target.name + _DONE)
        self._tap, self._reservation = tap, reservation
        self._lock = threading.Lock()
        self._file = -1
        self._size = 0
        self._writeback = Writeback()
        self._closed = self._kept = False

    def begin(self) -> None:
        with self._lock:
            if not self._closed:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                try:
                    self._file = os.open(self._part, flags, 0o600)
                except OSError as error:
                    raise self._failure(error) from error

    def write(self, batch: list[bytes]) -> None:
        with self._lock:
            if not self._closed:
                self._store(piece for chunk in batch for piece in self._tap.feed(chunk))

    def complete(self) -> SpooledFile:
        with self._lock:
            if self._closed:
                raise Internal("the upload was cancelled before the archive was complete")
            self._store(self._tap.finish())
            try:
                os.fsync(self._file)
                identity = file_identity(os.fstat(self._file))
                self._part.rename(self._done)
                _sync_directory(self._done.parent)
            except FileNotFoundError as error:  # other replicas considered this one dead, and one deleted the file
                raise Unavailable(
                    "the archive was deleted from the spool while it was written, because another replica ended its "
                    "job; send it again"
                ) from error
            except OSError as error:
                raise self._failure(error) from error
            return SpooledFile(str(self._done), self._size, owned=True, identity=identity)

    def keep(self) -> None:
        self._kept = True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._reservation.close()
            if self._file >= 0:
                os.close(self._file)
                _remove(self._part)
                if not self._kept:
                    _remove(self._done)

    def _store(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces, about 1 MiB at a time: a compressed batch may decompress to a hundred times its size."""
        waiting: list[bytes] = []
        size = 0
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= WRITE_BYTES or len(waiting) == _VECTOR:
                self._put(waiting)
                waiting, size = [], 0
        if waiting:
            self._put(waiting)

    def _put(self, pieces: list[bytes]) -> None:
        size = sum(map(len, pieces))
        self._reservation.consume(size)
        try:
            written = os.writev(self._file, pieces)
            if written < size:  # a signal, or the last block of a full disk: the next call shows which
                rest = memoryview(b"".join(pieces))[written:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise self._failure(error) from error
        self._size += size
        self._writeback.advance(self._file, self._size)

    def _failure(self, error: OSError) -> SpoolFull | Internal:
        if error.errno in _NO_SPACE:
            free = shutil.disk_usage(self._part.parent).free
            return SpoolFull(
                f"the spool is full ({error.strerror}): {free} bytes are free after {self._size} bytes of the archive; "
                "free space or delete ended jobs, then send it again"
            )
        return Internal(f"the spool cannot be written: {error.strerror}")


async def write_in_batches(chunks: AsyncIterable[bytes], write: Callable[[list[bytes]], None]) -> None:
    """Collect a batch while the previous one is written in a thread.

    When the chunk after an empty one is requested, all chunks before it are written."""
    loop = asyncio.get_running_loop()
    write_task: asyncio.Future[None] = loop.create_future()
    write_task.set_result(None)
    try:
        async with aclosing(_batches(chunks)) as batches:
            async for batch in batches:
                await write_task
                write_task = loop.run_in_executor(hashing(), write, batch)
                if batch and not batch[-1]:
                    await write_task
        await write_task
    finally:
        await asyncio.wait([write_task])
        if not write_task.cancelled():
            write_task.exception()  # already raised, or less important than the error of the loop


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncGenerator[list[bytes], None]:
    batch: list[bytes] = []
    size = 0
    with BATCHES.upload():
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if BATCHES.is_full(len(batch), size) or not chunk:
                yield batch
                batch, size = [], 0
        yield batch


def _remove(path: Path) -> None:
    """Delete a file, or log the error: it is deleted at the next start, and the job's result is unaffected."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("spool.delete_failed", file=path.name, reason=error.strerror)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
