"""The BlobInfoCache in a separate SQLite file: next to the jobs, or in the user's cache directory.

It needs no server, no migrations and no durability: if it is lost, layers are compressed once more.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app.archive.model import Compression
from app.errors import ArchiveError
from app.oci import Digest
from app.push.blob_cache.cache import KnownBlob

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ROWS = 200_000  # layers, about 300 bytes each; the oldest entries are deleted
BUSY_TIMEOUT_SECONDS = 2.0  # maximum wait for another process that writes to it
MAX_QUERY_KEYS = 500  # DiffIDs per query; SQLite accepts 32,766
_TABLE = """create table if not exists layers_1 (
    registry text not null, diff_id text not null, compression text not null,
    digest text not null, size integer not null, repository text not null,
    primary key (registry, compression, diff_id)
)"""
_log = structlog.get_logger(__name__)


class SqliteBlobInfoCache:
    """A cache in `file`. The file and its directory are created when the first layer is recorded."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()  # so that the timeout only concerns other processes

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]:
        return await asyncio.to_thread(self._lookup, registry, compression, tuple(diff_ids))

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        await asyncio.to_thread(self._record, registry, compression, found)

    def _lookup(
        self, registry: str, compression: Compression, diff_ids: tuple[Digest, ...]
    ) -> Mapping[Digest, KnownBlob]:
        found: dict[Digest, KnownBlob] = {}
        try:
            if not self._file.exists():
                return found
            with self._open() as database:
                for start in range(0, len(diff_ids), MAX_QUERY_KEYS):
                    keys = [str(id_) for id_ in diff_ids[start : start + MAX_QUERY_KEYS]]
                    found |= _read(database, (registry, compression.value), keys)
        except (sqlite3.Error, OSError, ArchiveError) as error:
            self._handle_error(error)
            return {}
        return found

    def _record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        rows = [
            (registry, str(diff_id), compression.value, str(blob.digest), blob.size, blob.repository)
            for diff_id, blob in found.items()
        ]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._open() as database, database:
                database.executemany("insert or replace into layers_1 values (?, ?, ?, ?, ?, ?)", rows)
                database.execute(
                    "delete from layers_1 where rowid <= (select max(rowid) from layers_1) - ?", (MAX_ROWS,)
                )
        except (sqlite3.Error, OSError) as error:
            self._handle_error(error)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the database without a write-ahead log.

        If two connections both enable it, they do not wait for each other: one fails at once, despite its timeout.
        """
        with self._lock, closing(sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_SECONDS)) as database:
            database.execute("pragma synchronous = off")
            database.execute(_TABLE)
            yield database

    def _handle_error(self, error: Exception) -> None:
        """Log the error, and delete a damaged file. No error here is worth failing a push."""
        _log.warning("blob_cache.unusable", file=str(self._file), reason=str(error))
        if isinstance(error, sqlite3.OperationalError | OSError):
            return  # locked, full or not writable
        for ending in ("", "-wal", "-shm"):
            Path(f"{self._file}{ending}").unlink(missing_ok=True)


def _read(database: sqlite3.Connection, scope: tuple[str, str], keys: list[str]) -> Mapping[Digest, KnownBlob]:
    placeholders = ", ".join("?" * len(keys))
    rows = database.execute(
        "select diff_id, digest, size, repository from layers_1 "  # noqa: S608 - only question marks are inserted
        f"where registry = ? and compression = ? and diff_id in ({placeholders})",
        (*scope, *keys),
    )
    return {
        Digest.parse(diff_id): KnownBlob(Digest.parse(digest), size, repository)
        for diff_id, digest, size, repository in rows
    }


def cache_file() -> Path:
    """Return the cache file for use without a data directory: below $XDG_CACHE_HOME, as its specification requires."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    below = Path(given) if os.path.isabs(given) else Path("~/.cache").expanduser()
    return below / "tarmac" / "layers.sqlite"
