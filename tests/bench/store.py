"""The job store with very many jobs: a page of the list, the status of one, and a start with a long queue. Without
HTTP, which costs the same with one job."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.jobs import Job, JobRuntime, JobState, JobTracker
from app.jobs.lifecycle import recover_jobs
from app.jobs.model import ArchiveSource, JobArchive, JobImage, plain_problem
from app.jobs.queue.local import LocalJobQueue
from app.jobs.store import JobQuery, key_of
from app.jobs.store.sql import JOBS, SqlJobStore
from app.oci import Digest
from app.push import ImageState
from app.spool.disk import DiskSpool

STORED = 100_000
QUEUED = 5_000
ASKED = 400  # times each
BATCH = 5_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def measure() -> dict[str, Any]:
    """Milliseconds, but for `ready`: seconds from opening the database to everything that waits standing in line. `cpu`
    is what it costs where nobody else wants the processor."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> dict[str, Any]:
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    store = await SqlJobStore.open(url)
    jobs = [_job(number) for number in range(STORED)]
    for start in range(0, STORED, BATCH):
        await _store_all(store, jobs[start : start + BATCH])
    chance = random.Random(1)
    before = [key_of(chance.choice(jobs)) for _ in range(ASKED)]
    figures: dict[str, Any] = {"jobs": STORED, "queued": QUEUED}
    failed = frozenset({JobState.FAILED})
    for name, question in {
        "page": lambda number: _page(store, JobQuery(limit=51)),
        "page_further": lambda number: _page(store, JobQuery(limit=51, before=before[number])),
        "page_failed": lambda number: _page(store, JobQuery(limit=51, states=failed, before=before[number])),
        "page_label": lambda number: _page(store, JobQuery(limit=51, label=("team", "7"), before=before[number])),
        "status": lambda number: store.get(before[number][1]),
        "counts": lambda number: store.count(),
    }.items():
        figures[name] = await _times(question)
    await store.close()
    spent = time.process_time()
    figures["ready"] = await _start(url, folder)
    figures["ready_cpu"] = time.process_time() - spent
    return figures


async def _page(store: SqlJobStore, query: JobQuery) -> None:
    """As it is answered."""
    json.dumps([job.document(plain_problem) for job in await store.page(query)])


async def _times(ask: Callable[[int], Awaitable[object]]) -> dict[str, float]:
    taken, spent = [], time.process_time()
    for number in range(ASKED):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    cpu = (time.process_time() - spent) * 1000 / ASKED
    return {"median": taken[ASKED // 2], "p99": taken[int(ASKED * 0.99)], "cpu": cpu}


async def _start(url: str, folder: Path) -> float:
    began = time.perf_counter()
    store = await SqlJobStore.open(url)
    runtime = JobRuntime(JobTracker(store), DiskSpool(folder / "spool"), LocalJobQueue(4), {})
    for job in await recover_jobs(runtime):
        await runtime.queue.put(job.id, job.schedule)
    taken = time.perf_counter() - began
    await store.close()
    return taken


async def _store_all(store: SqlJobStore, jobs: list[Job]) -> None:
    rows = list(_rows(store, jobs))

    def insert(connection: Connection) -> None:
        connection.execute(JOBS.insert(), rows)

    async with store.transaction() as connection:
        await connection.run_sync(insert)


def _rows(store: SqlJobStore, jobs: list[Job]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        yield {**store._row(job), "home": "", "place": ""}  # 100,000 commits would take minutes


def _job(number: int) -> Job:
    """Of one image; the newest are those that wait."""
    at = FIRST + timedelta(seconds=number)
    waits = number >= STORED - QUEUED
    state = JobState.QUEUED if waits else JobState.FAILED if number % 50 == 0 else JobState.SUCCEEDED
    digest = Digest.of(str(number).encode())
    archive = JobArchive("app.tar", ArchiveSource.UPLOAD, 50_000_000, digest, "docker-archive")
    name = f"registry.local:5000/team/app{number % 100}:{number}"
    ended = ImageState.PENDING if waits else ImageState.PUSHED
    image = JobImage("app.tar", (f"team/app:{number}",), (name,), digest, state=ended, platforms=("linux/amd64",))
    job = Job.new(state, at)
    return replace(
        job,
        accepted_at=at,
        finished_at=None if waits else at,
        labels={"team": str(number % 20)},
        archives=(archive,),
        images=(image,),
    )
