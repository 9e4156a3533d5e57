"""The database file itself: its mode, its upgrade, and what is refused."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import InvalidSettings, Unavailable
from app.jobs import Job, JobState
from app.jobs.store import engine
from app.jobs.store import migrate as schema
from app.jobs.store.sql import METADATA, SqlJobStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tarmac.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqlJobStore]:
    store = await SqlJobStore.open(f"sqlite:///{file}")
    yield store
    await store.close()


async def test_the_file_is_for_this_user_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        store = await SqlJobStore.open(f"sqlite:///{file}")
    finally:
        os.umask(before)
    await store.add(Job.new(JobState.QUEUED, NOON))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    await store.close()
    assert set(modes.values()) == {0o600}, modes


async def test_the_migrations_make_the_tables_the_code_works_with(store: SqlJobStore, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        made = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
        indexes = {row[1] for row in connection.execute("PRAGMA index_list(jobs)")}
    connection.close()
    assert made == set(METADATA.tables["jobs"].columns.keys())
    assert {str(index.name) for index in METADATA.tables["jobs"].indexes} <= indexes


async def test_commits_are_synced_in_wal_mode(store: SqlJobStore) -> None:
    async with store.transaction() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one() == 2
        assert (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar_one() == 5000


async def test_a_database_is_opened_again(file: Path) -> None:
    for _ in range(2):
        store = await SqlJobStore.open(f"sqlite:///{file}")
        await store.close()


async def test_a_newer_database_is_refused_and_left_alone(store: SqlJobStore, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match="'9999'"):
        await SqlJobStore.open(f"sqlite:///{file}")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_garbage_is_refused_and_left_alone(file: Path) -> None:
    garbage = b"this is no database, but somebody's letter " * 100
    file.write_bytes(garbage)
    with pytest.raises(Unavailable, match="not a database"):
        await SqlJobStore.open(f"sqlite:///{file}")
    assert file.read_bytes() == garbage


async def test_an_upgrade_that_breaks_leaves_the_database_as_it_was(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE jobs (other TEXT)")
    with pytest.raises(Unavailable, match="already exists"):
        await SqlJobStore.open(f"sqlite:///{file}")
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("jobs",)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("no url", "TARMAC_DATABASE_URL"),
        ("nosuch://host/db", "TARMAC_DATABASE_URL"),
        ("sqlite:////nowhere/at/all/x.db", "/nowhere/at/all/x.db"),
        ("postgresql+asyncpg://127.0.0.1:1/x", "TARMAC_DATABASE_URL|cannot be reached"),
    ],
)
async def test_an_address_that_leads_nowhere_is_told(url: str, words: str) -> None:
    with pytest.raises((InvalidSettings, Unavailable), match=words):
        await SqlJobStore.open(url)


async def test_a_locked_database_asks_to_come_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0)
    store = await SqlJobStore.open(f"sqlite:///{file}")
    job = Job.new(JobState.QUEUED, NOON)
    await store.add(job)
    backup = sqlite3.connect(file, isolation_level=None)
    backup.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked") as raised:
        await store.save(job.evolve())
    assert raised.value.retryable
    assert await store.get(job.id) == job, "reading goes on"
    backup.execute("ROLLBACK")
    backup.close()
    await store.save(job.evolve())
    await store.close()


async def test_many_writers_get_their_turn(store: SqlJobStore) -> None:
    jobs = [Job.new(JobState.QUEUED, NOON) for _ in range(50)]
    await asyncio.gather(*(store.add(job) for job in jobs))
    await asyncio.gather(*(store.save(job.transition_to(JobState.RUNNING), over=job) for job in jobs))
    assert (await store.count())[JobState.RUNNING] == 50


async def test_a_start_on_a_database_of_this_release_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    await (await SqlJobStore.open(url)).close()
    program = (
        "import asyncio, sys; from app.jobs.store.sql import SqlJobStore\n"
        f"async def work(): await (await SqlJobStore.open({url!r})).close()\n"
        "asyncio.run(work()); print('alembic' in sys.modules)"
    )
    told = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True)
    assert (told.stdout.strip(), told.stderr) == ("False", "")


def test_migrations_are_called_by_their_revisions() -> None:
    """So the newest is known by its name."""
    files = sorted((Path(schema.__file__).parent / "migrations" / "versions").glob("v*.py"))
    revisions = [re.search(r'^revision = "(.+)"$', file.read_text(), re.MULTILINE) for file in files]
    assert [file.name[1:5] for file in files] == [found and found[1] for found in revisions]
    assert schema.newest() == files[-1].name[1:5]
