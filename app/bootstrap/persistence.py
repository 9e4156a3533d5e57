"""Job store, queue, leases and heartbeat: SQLite for one process, PostgreSQL for several replicas."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

from app.config.settings import Settings
from app.errors import InvalidSettings
from app.jobs import JobTracker
from app.jobs.heartbeat import ReplicaHeartbeat
from app.jobs.leases import LocalTagLeases, TagLeases
from app.jobs.queue import JobQueue
from app.jobs.queue.local import LocalJobQueue
from app.jobs.store import JobStore
from app.jobs.store.age import SqlServiceAge
from app.jobs.store.engine import is_postgres
from app.jobs.store.sql import ReplicaIdentity, SqlJobStore
from app.spool.visibility import is_accessible_here


@dataclass(frozen=True, slots=True)
class Persistence:
    """The persistence adapters. `own_dir` is the part of the data directory that only this process uses."""

    store: SqlJobStore
    tracker: JobTracker
    queue: JobQueue
    own_dir: Path
    replicas: ReplicaHeartbeat | None = None
    leases: TagLeases = field(default_factory=LocalTagLeases)


def is_replicated(settings: Settings) -> bool:
    """Return whether other replicas may use the same database and data directory. Raises InvalidSettings."""
    return settings.database_url is not None and is_postgres(settings.database_url.get_secret_value())


@asynccontextmanager
async def open_persistence(settings: Settings) -> AsyncIterator[Persistence]:
    """Open the adapters. Raises InvalidSettings, Unavailable."""
    if is_replicated(settings):
        async with _open_postgres(settings) as shared:
            yield shared
        return
    store = await SqlJobStore.open(_sqlite_url(settings))
    try:
        tracker = JobTracker(store, age=SqlServiceAge(store))
        yield Persistence(store, tracker, LocalJobQueue(settings.max_running_jobs), settings.data_dir)
    finally:
        await store.close()


@asynccontextmanager
async def _open_postgres(settings: Settings) -> AsyncIterator[Persistence]:
    try:
        from app.jobs.queue.pgqueuer import PgQueuerJobQueue, Replica
        from app.jobs.store.heartbeat import PostgresHeartbeat
        from app.jobs.store.notifications import PostgresNotifications
        from app.jobs.store.tag_leases import PostgresTagLeases
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"TARMAC_DATABASE_URL (database_url): PostgreSQL needs {error.name}; run: pip install 'tarmac[postgres]'"
        ) from None
    if not settings.registries:
        raise InvalidSettings(
            "TARMAC_DATABASE_URL (database_url): replicas that share a database need a registry, because the image "
            "store is for a single process; set TARMAC_REGISTRY_URL"
        )
    assert settings.database_url is not None
    url, replica, place = settings.database_url.get_secret_value(), uuid4(), _identity(settings.data_dir)
    seconds = settings.replica_timeout.total_seconds()
    with _lock_own_dir(settings.data_dir / "replicas") as own:
        home, shared = f"{place}/{own.name}", _storage(settings)
        store = await SqlJobStore.open(url, ReplicaIdentity(home, place, str(replica), shared))
        try:
            this_replica = Replica(replica, place, home, _FileVisibility(store), seconds, shared)
            async with PgQueuerJobQueue.open(url, this_replica, settings.max_running_jobs) as queue:
                tracker = JobTracker(store, PostgresNotifications(url, str(replica)), age=SqlServiceAge(store))
                replicas = PostgresHeartbeat(store, str(replica), seconds)
                yield Persistence(store, tracker, queue, own, replicas, PostgresTagLeases(store))
        finally:
            await store.close()


class _FileVisibility:
    """Returns whether this replica can access the server files of a job, unchanged since it was accepted."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def __call__(self, job_id: str) -> bool:
        job = await self._store.get(job_id)
        files = (
            [] if job is None else [archive.file for archive in job.archives if archive.file and not archive.file.owned]
        )
        return await asyncio.to_thread(lambda: all(is_accessible_here(file) for file in files))


def _sqlite_url(settings: Settings) -> str:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite:///{settings.data_dir.absolute() / 'jobs.sqlite'}"


def _identity(data_dir: Path) -> str:
    """Return the identity of a data directory, creating it once. All replicas that use the directory share it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, made = data_dir / "identity", data_dir / f"identity-{uuid4().hex}"
    if not file.exists():
        made.write_text(uuid4().hex)
        try:
            os.link(made, file)  # atomic: of two that start at once, one wins
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text().strip()


def _storage(settings: Settings) -> str:
    """Return the identity of the object storage for archives; the same for all replicas that use it."""
    return "" if settings.spool_url is None else hashlib.sha256(settings.spool_url.encode()).hexdigest()[:32]


@contextmanager
def _lock_own_dir(parent: Path) -> Iterator[Path]:
    """Lock and yield the first directory of this host without an owner; the same after a restart."""
    for number in count(1):
        own = parent / f"{socket.gethostname()}-{number}"
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (own / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield own
            return
