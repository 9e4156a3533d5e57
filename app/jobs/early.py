"""The early pushes of uploads under way, each until the run of its job takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from app.jobs.fencing import FencedRegistry
from app.jobs.job import Job
from app.jobs.registries import ConfiguredRegistry
from app.push import Lanes, PushOptions
from app.push.early import EarlyPush, Place, early_repository
from app.spool import OpenFile


class EarlyPushes:
    """`peek` opens a file that the spool is writing, by its name there."""

    def __init__(self, peek: Callable[[str], OpenFile], lanes: Lanes) -> None:
        self._peek, self._lanes = peek, lanes
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def begin(self, job: Job, spooled_as: str, options: PushOptions, registry: ConfiguredRegistry) -> EarlyPush | None:
        """None where it is not known yet where the blobs go and none may wait elsewhere, or they may not go there."""
        repository = early_repository(options, registry.destination, registry.staging_repository)
        if repository is None or not job.submitter.may_use(repository):
            return None
        fenced = FencedRegistry(registry.registry, _no_tag_is_set, job.submitter.may_use)
        place = Place(fenced, registry.destination.host, repository, options.layer_compression)
        push = EarlyPush(partial(self._peek, spooled_as), place, self._lanes)
        task = asyncio.create_task(push.run())
        self._tasks.setdefault(job.id, []).append(task)
        task.add_done_callback(partial(self._ended, job.id))
        return push

    async def settle(self, job_id: str) -> None:
        """Until what is under way for a job has ended; where this is cancelled, so is that."""
        tasks = self._tasks.pop(job_id, [])
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await _cancel(tasks)

    async def drop(self, job_id: str) -> None:
        """Nothing is sent any more when this returns."""
        await _cancel(self._tasks.pop(job_id, []))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        """The job may be run by another replica, or not at all."""
        left = [each for each in self._tasks.pop(job_id, []) if each is not task]
        if left:
            self._tasks[job_id] = left

    async def close(self) -> None:
        for job_id in tuple(self._tasks):
            await self.drop(job_id)


async def _no_tag_is_set() -> None: ...


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
