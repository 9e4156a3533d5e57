"""S3Spool: archives in S3-compatible storage, for replicas without a shared directory.

An archive is numbered objects under its name, all of one size except the last, and a final object that marks it as
complete: `NAME/00000001`, `NAME/00000002`, …, `NAME/complete`. Without that object the archive does not exist. A single
object by multipart upload is not used: an aborted upload remains in the storage, invisible but billed. Server files are
adopted and opened in place, on the local disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from app.errors import Internal, InvalidSettings, SourceChanged, SourceUnreadable, TarmacError, Unavailable
from app.spool import OpenFile, Spool, SpooledFile, StreamFilter
from app.spool.disk import write_in_batches
from app.spool.verified_file import CHANGED, check_range

if TYPE_CHECKING:
    from obstore.store import S3Store

OBJECT_BYTES = 16 << 20  # every running upload has one object in memory
BLOCK_BYTES = 1 << 20  # per read: readers request 512 KiB after 512 KiB, and storage has a latency of milliseconds
MAX_BLOCKS = 8  # of one archive in memory: four blobs are read at a time
SCHEME = "s3:"
_COMPLETE = "complete"
_CLIENT = {"timeout": "60s", "connect_timeout": "5s"}
_RETRY: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}

_log = structlog.get_logger(__name__)


def open_store(url: str) -> S3Store:
    """Open the bucket of `s3://bucket/prefix`; the AWS_ variables set endpoint, region and credentials.

    Blocks: a request verifies that the bucket can be listed. Raises InvalidSettings, Unavailable."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ModuleNotFoundError:
        raise InvalidSettings(
            "TARMAC_SPOOL_URL (spool_url) needs obstore; install the extra: pip install 'tarmac[s3]'"
        ) from None
    plain = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")).startswith("http://")
    client: Any = {**_CLIENT, "allow_http": plain}
    try:
        store = S3Store.from_url(url, client_options=client, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise InvalidSettings(
            f"TARMAC_SPOOL_URL (spool_url): {type(error).__name__}; write it like s3://bucket/prefix"
        ) from None
    with _storage_errors("be used (check the bucket, the endpoint and the credentials)"):
        next(iter(store.list(chunk_size=1)), None)
    return store


class S3Spool:
    """Stores archives in the bucket. `disk` has the other files: server files, and archives received in pieces."""

    def __init__(self, store: S3Store, disk: Spool, object_bytes: int = OBJECT_BYTES) -> None:
        self._store, self._disk, self._object_bytes = store, disk, object_bytes

    async def save(
        self, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        writing = _S3Writer(self._store, name, tap, self._object_bytes)
        try:
            await write_in_batches(chunks, writing.write)
            file = await asyncio.to_thread(writing.complete)
            writing.keep()
        finally:
            await asyncio.to_thread(writing.close)
        return file

    async def reference_file(self, path: str) -> SpooledFile:
        return await self._disk.reference_file(path)

    def open(self, file: SpooledFile) -> OpenFile:
        return _S3File(self._store, file) if is_stored(file) else self._disk.open(file)

    async def discard(self, file: SpooledFile) -> None:
        if not is_stored(file):
            await self._disk.discard(file)
            return
        try:
            await asyncio.to_thread(_delete, self._store, _name_of(file))
        except Unavailable as error:
            _log.warning("spool.delete_failed", file=file.path, reason=str(error))

    def check_space(self, size: int) -> None:
        """Accept any size: the storage has no known limit."""

    async def sweep(self, keep: Set[str]) -> int:
        known = {name.removeprefix(SCHEME) for name in keep}
        return await self._disk.sweep(keep) + await asyncio.to_thread(self._sweep, known)

    def _sweep(self, known: Set[str]) -> int:
        complete, found = set[str](), set[str]()
        for key in _keys(self._store, ""):
            name, _, last = key.partition("/")
            found.add(name)
            if last == _COMPLETE:
                complete.add(name)
        lost = found - (known & complete)
        for name in lost:
            _delete(self._store, name)
        return len(lost)

    async def names(self) -> frozenset[str]:
        stored = await asyncio.to_thread(lambda: {key.partition("/")[0] for key in _keys(self._store, "")})
        return await self._disk.names() | stored

    async def remove(self, names: Set[str]) -> None:
        await self._disk.remove(names)
        await asyncio.to_thread(self._remove_all, names)

    def _remove_all(self, names: Set[str]) -> None:
        for name in names:
            _delete(self._store, name)


def is_stored(file: SpooledFile) -> bool:
    """Return whether the file is in the storage, and so accessible to every replica that uses the same storage."""
    return file.path.startswith(SCHEME)


class _S3Writer:
    """An archive being written to the storage; `close` without `keep` deletes it. Locks like the disk's writer."""

    def __init__(self, store: S3Store, name: str, tap: StreamFilter, object_bytes: int) -> None:
        self._store, self._name, self._tap, self._object_bytes = store, name, tap, object_bytes
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._size = self._count = 0
        self._closed = self._kept = False

    def write(self, batch: list[bytes]) -> None:
        with self._lock:
            if not self._closed:
                self._store_pieces(piece for chunk in batch for piece in self._tap.feed(chunk))

    def complete(self) -> SpooledFile:
        with self._lock:
            if self._closed:
                raise Internal("the upload was cancelled before the archive was complete")
            self._store_pieces(self._tap.finish())
            if self._waiting:
                self._put(bytes(self._waiting))
            summary = {"size": self._size, "object_bytes": self._object_bytes}
            with _storage_errors("be written"):
                self._store.put(f"{self._name}/{_COMPLETE}", json.dumps(summary).encode(), use_multipart=False)
            identity = (0, 0, self._size, self._object_bytes)
            return SpooledFile(f"{SCHEME}{self._name}", self._size, owned=True, identity=identity)

    def keep(self) -> None:
        self._kept = True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting = bytearray()
            if self._kept or not self._count:
                return
            try:
                _delete(self._store, self._name)
            except Unavailable as error:
                _log.warning("spool.delete_failed", file=self._name, reason=str(error))

    def _store_pieces(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._waiting += piece
            while len(self._waiting) >= self._object_bytes:
                self._put(bytes(self._waiting[: self._object_bytes]))
                del self._waiting[: self._object_bytes]

    def _put(self, content: bytes) -> None:
        self._count += 1
        with _storage_errors("be written"):
            self._store.put(_key(self._name, self._count), content, use_multipart=False)
        self._size += len(content)


class _S3File:
    """An archive in the storage. Thread-safe. The blocks read last are cached."""

    def __init__(self, store: S3Store, file: SpooledFile) -> None:
        self._store, self._name = store, _name_of(file)
        self._size, self._object_bytes = file.size, file.identity[3]
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._closed = False
        with _storage_errors("be read", reading=True):
            summary = json.loads(bytes(store.get(f"{self._name}/{_COMPLETE}").bytes()))
        if summary != {"size": self._size, "object_bytes": self._object_bytes}:
            raise SourceChanged(CHANGED)

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        check_range(offset, size, self._size)
        first, end = offset // BLOCK_BYTES, offset + size
        parts = []
        for number in range(first, -(-end // BLOCK_BYTES) if size else first):
            start = number * BLOCK_BYTES
            parts.append(self._block(number)[max(offset - start, 0) : end - start])
        return b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
        with self._lock:
            self._closed = True
            self._blocks.clear()

    def _block(self, number: int) -> bytes:
        with self._lock:
            if self._closed:
                raise SourceChanged("the archive has been closed")
            if number in self._blocks:
                self._blocks.move_to_end(number)
                return self._blocks[number]
        start = number * BLOCK_BYTES
        content = b"".join(self._ranges(start, min(start + BLOCK_BYTES, self._size)))
        with self._lock:
            if not self._closed:
                self._blocks[number] = content
                if len(self._blocks) > MAX_BLOCKS:
                    self._blocks.popitem(last=False)
        return content

    def _ranges(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            number, within = divmod(start, self._object_bytes)
            length = min(end - start, self._object_bytes - within)
            with _storage_errors("be read", reading=True):
                yield bytes(self._store.get_range(_key(self._name, number + 1), start=within, length=length))
            start += length


def _key(name: str, number: int) -> str:
    return f"{name}/{number:08}"


def _name_of(file: SpooledFile) -> str:
    return file.path.removeprefix(SCHEME)


def _keys(store: S3Store, prefix: str) -> Iterator[str]:
    with _storage_errors("be listed"):
        for batch in store.list(prefix or None):
            yield from (str(item["path"]) for item in batch)


def _delete(store: S3Store, name: str) -> None:
    """Delete an archive, its completion mark first, so that a crash leaves only parts, which `sweep` deletes."""
    keys = [key for key in _keys(store, f"{name}/") if not key.endswith(_COMPLETE)]
    with _storage_errors("be emptied"):
        for paths in ([f"{name}/{_COMPLETE}"], keys):
            store.delete(paths)


@contextmanager
def _storage_errors(verb: str, *, reading: bool = False) -> Iterator[None]:
    """Convert errors of the storage. Its messages are not shown: they may contain addresses and keys."""
    from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if reading:
            raise SourceChanged("the archive is no longer in the spool; send it again") from error
        raise Unavailable(f"the spool (TARMAC_SPOOL_URL) cannot {verb}: not found") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _refused(reading)(f"the spool (TARMAC_SPOOL_URL) cannot {verb}: access denied") from error
    except (BaseError, OSError) as error:
        raise _refused(reading)(
            f"the spool (TARMAC_SPOOL_URL) cannot {verb}: the storage returned an error; try again"
        ) from error


def _refused(reading: bool) -> type[TarmacError]:
    return SourceUnreadable if reading else Unavailable


__all__ = ["S3Spool", "is_stored", "open_store"]
