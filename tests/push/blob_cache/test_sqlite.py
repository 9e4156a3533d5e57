"""What was learnt of layers, in a file: kept, bounded, and never a reason to fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.archive import Compression
from app.oci import Digest
from app.push.blob_cache import sqlite as knowledge
from app.push.blob_cache.cache import BlobInfoCache, KnownBlob, NoBlobInfoCache
from app.push.blob_cache.sqlite import SqliteBlobInfoCache, cache_file

A, B = Digest.of(b"a"), Digest.of(b"b")
FOUND = {A: KnownBlob(Digest.of(b"A"), 1, "team/app"), B: KnownBlob(Digest.of(b"B"), 2, "team/app")}


async def recalled(
    memory: BlobInfoCache, registry: str = "r:5000", compression: Compression = Compression.GZIP
) -> object:
    return await memory.lookup(registry, compression, [A, B])


async def test_what_is_remembered_is_known_by_registry_and_compression_to_whoever_opens_the_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "not yet" / "there.sqlite"
    await SqliteBlobInfoCache(file).record("r:5000", Compression.GZIP, FOUND)
    assert await recalled(SqliteBlobInfoCache(file)) == FOUND
    assert await recalled(SqliteBlobInfoCache(file), registry="s:5000") == {}
    assert await recalled(SqliteBlobInfoCache(file), compression=Compression.ZSTD) == {}


async def test_those_who_begin_a_file_at_once_wait_for_one_another(tmp_path: Path) -> None:
    """As several commands in one cache directory do; a service has a single one for all its jobs."""
    names = [f"r:{number}" for number in range(8)]
    for number in range(20):
        memories = [SqliteBlobInfoCache(tmp_path / f"{number}") for _ in names]
        with capture_logs() as logs:
            await asyncio.gather(
                *(memory.record(name, Compression.GZIP, FOUND) for memory, name in zip(memories, names, strict=True)),
                *map(recalled, memories),
            )
        assert not logs
        assert [await recalled(memories[0], registry=name) for name in names] == [FOUND] * len(names)


async def test_the_last_place_is_what_counts(tmp_path: Path) -> None:
    memory = SqliteBlobInfoCache(tmp_path / "file")
    await memory.record("r:5000", Compression.GZIP, FOUND)
    later = {A: KnownBlob(Digest.of(b"A2"), 3, "other")}
    await memory.record("r:5000", Compression.GZIP, later)
    assert await recalled(memory) == FOUND | later


async def test_asking_makes_no_file(tmp_path: Path) -> None:
    assert await recalled(SqliteBlobInfoCache(tmp_path / "file")) == {}
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"no database" * 1000)
    memory = SqliteBlobInfoCache(file)
    assert await recalled(memory) == {}
    await memory.record("r:5000", Compression.GZIP, FOUND)
    assert await recalled(memory) == FOUND


async def test_a_row_that_makes_no_sense_is_not_believed(tmp_path: Path) -> None:
    memory = SqliteBlobInfoCache(tmp_path / "file")
    await memory.record("r:5000", Compression.GZIP, FOUND)
    with memory._open() as database, database:
        database.execute("update layers_1 set digest = 'nonsense'")
    assert await recalled(memory) == {}


async def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for file in (tmp_path / "folder", tmp_path / "file" / "below"):
        memory = SqliteBlobInfoCache(file)
        await memory.record("r:5000", Compression.GZIP, FOUND)
        assert await recalled(memory) == {}


async def test_the_oldest_are_forgotten_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "MAX_ROWS", 1)
    memory = SqliteBlobInfoCache(tmp_path / "file")
    await memory.record("r:5000", Compression.GZIP, FOUND)
    assert await recalled(memory) == {B: FOUND[B]}


async def test_no_memory_knows_nothing() -> None:
    await NoBlobInfoCache().record("r:5000", Compression.GZIP, FOUND)
    assert await recalled(NoBlobInfoCache()) == {}


def test_the_cache_lies_where_the_user_has_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_file() == Path("/var/cache/me/tarmac/layers.sqlite")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_file() == Path("/home/me/.cache/tarmac/layers.sqlite")
