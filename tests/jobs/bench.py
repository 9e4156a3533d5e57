"""A job service at work in a temporary directory, before a registry in memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.jobs import (
    AllowedRoots,
    ConfiguredRegistry,
    Job,
    JobRequest,
    JobRuntime,
    JobService,
    JobState,
    JobTracker,
    run_job_service,
)
from app.jobs.outage import FAIL_AT_ONCE, RetrySchedule
from app.jobs.queue.local import LocalJobQueue
from app.jobs.retention.service_age import LocalServiceAge
from app.jobs.store import JobStore
from app.push import Destination, PushOptions
from app.spool.disk import DiskSpool
from tests.support.archives import docker_save, image, tagged
from tests.support.fake_registry import FakeRegistry

APP = docker_save([tagged(image({"bin/app": b"one" * 1000}), "example.com/team/app:1")])
TWO = docker_save(
    [
        tagged(image({"bin/a": b"a" * 1000}, label="a"), "example.com/team/a:1"),
        tagged(image({"bin/b": b"b" * 1000}, label="b"), "example.com/team/b:1"),
    ]
)
NAMELESS = docker_save([image({"bin/app": b"nameless"})])
REQUEST = JobRequest(PushOptions())


class Ticking:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Bench:
    root: Path
    store: JobStore
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    max_running: int = 2
    grace: float = 30
    keep: timedelta = timedelta(days=30)
    clock: Ticking = field(default_factory=Ticking)
    schedule: RetrySchedule = FAIL_AT_ONCE
    staging_repository: str = ""
    queue: LocalJobQueue | None = None
    passed: float = 0.0  # seconds that the service has run

    def __post_init__(self) -> None:
        self.roots = self.root / "in"
        self.roots.mkdir(exist_ok=True)

    def runtime(self) -> JobRuntime:
        return JobRuntime(
            tracker=JobTracker(self.store, save_seconds=0, age=LocalServiceAge(lambda: self.passed)),
            spool=DiskSpool(self.root / "spool"),
            queue=self.queue or LocalJobQueue(self.max_running),
            registries={
                "default": ConfiguredRegistry(
                    "default",
                    "https://registry.test",
                    Destination("default", "registry.test"),
                    self.registry,
                    self.staging_repository,
                )
            },
            roots=AllowedRoots((self.roots,)),
            clock=self.clock,
            max_archive_bytes=10 << 20,
            schedule=self.schedule,
        )

    def let_pass(self, time: timedelta) -> None:
        """While the service runs."""
        self.clock.now += time
        self.passed += time.total_seconds()

    @asynccontextmanager
    async def service(self) -> AsyncIterator[JobService]:
        async with run_job_service(self.runtime(), keep=self.keep, grace_seconds=self.grace) as service:
            yield service

    def spooled(self) -> list[str]:
        return sorted(os.listdir(self.root / "spool"))

    def put(self, name: str, content: bytes) -> str:
        path = self.roots / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


async def chunks_of(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def broken_after(content: bytes, error: BaseException) -> AsyncIterator[bytes]:
    yield content
    raise error


async def upload(
    service: JobService,
    archives: bytes | Iterable[bytes] = APP,
    request: JobRequest = REQUEST,
    *,
    key: str | None = None,
) -> Job:
    async with await service.begin(idempotency_key=key) as begun:
        for archive in [archives] if isinstance(archives, bytes) else archives:
            await begun.receive("x.tar", chunks_of(archive), len(archive))
        return await begun.submit(request)


async def ended(service: JobService, job: Job) -> Job:
    return await service.wait(job.id, 30)


async def until(service: JobService, job: Job, state: JobState) -> Job:
    async for seen in service.subscribe(job.id):
        if seen.state is state:
            return seen
    raise AssertionError(f"the job ended without being {state}")
