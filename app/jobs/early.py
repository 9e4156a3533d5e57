"""The early pushes of uploads under way, each until the run of its job takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from app.jobs.fencing import FencedRegistry
from app.jobs.job import Job
from app.jobs.registries import ConfiguredRegistry
from app.push import Lanes, PushOptions, PushPlan
from app.push.early import EarlyPush, Place
from app.push.foreseen import early_repository, may_go_early, named_repository
from app.push.undecided import Mark, wanted_marks
from app.spool import OpenFile
from app.threads import hash_in_thread


@dataclass(frozen=True, slots=True)
class Arriving:
    """An archive that is coming in: which one of its job, and `peek` opens it as far as it has come."""

    number: int
    peek: Callable[[], OpenFile]


@dataclass(frozen=True, slots=True)
class _Early:
    push: EarlyPush
    task: asyncio.Task[None]
    registry: ConfiguredRegistry
    archive: int  # which one of its job

    def wanted_by(self, job: Job, plan: PushPlan) -> frozenset[Mark]:
        """What the job wants where the blobs went."""
        place = self.push.place
        if place is None or job.registry != self.registry.name or not may_go_early(job.options):
            return frozenset()
        if plan.layer_compression is not place.layer_compression:
            return frozenset()
        is_staged = self.registry.is_staging(place.repository)
        return wanted_marks(plan, self.archive, None if is_staged else place.repository)


class EarlyPushes:
    """`lanes` as for all pushes; without them nothing goes early."""

    def __init__(self, lanes: Lanes | None = None) -> None:
        self._lanes = lanes
        self._under_way: dict[str, list[_Early]] = {}

    def begin(
        self, job: Job, options: PushOptions, registry: ConfiguredRegistry, archive: Arriving
    ) -> EarlyPush | None:
        """`options` as far as they are known. None where it can be told already that nothing may go early."""

        def place_at(repository: str | None) -> Place | None:
            if repository is None or not job.submitter.may_use(repository):
                return None
            fenced = FencedRegistry(registry.registry, _no_tag_is_set, partial(registry.may_mount, job.submitter))
            return Place(fenced, registry.destination.host, repository, options.layer_compression)

        def find(names: tuple[str, ...]) -> Place | None:
            return place_at(named_repository(names, options, registry.destination))

        place = place_at(early_repository(options, registry.destination, registry.staging_of(job.submitter)))
        if self._lanes is None or (place is None and (options.tag is not None or not may_go_early(options))):
            return None
        push = EarlyPush(archive.peek, self._lanes, place, find)
        early = _Early(push, asyncio.create_task(push.run()), registry, archive.number)
        self._under_way.setdefault(job.id, []).append(early)
        early.task.add_done_callback(partial(self._ended, job.id))
        return push

    async def decide(self, job: Job, plan: PushPlan) -> None:
        """The job is known as a whole: what it wants becomes blobs, the rest is taken back."""
        unwanted = []
        for early in self._under_way.get(job.id, ()):
            wanted = await hash_in_thread(early.wanted_by, job, plan)
            early.push.undecided.decide(wanted)
            if not wanted:
                unwanted.append(early.task)
        await _cancel(unwanted)

    async def settle(self, job_id: str) -> None:
        """Until what is under way for a job has ended; where this is cancelled, so is that."""
        tasks = self._take(job_id)
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await _cancel(tasks)

    async def drop(self, job_id: str) -> None:
        """Nothing is sent any more when this returns, and nothing waits at the registry."""
        await _cancel(self._take(job_id))

    def _take(self, job_id: str) -> list[asyncio.Task[None]]:
        return [early.task for early in self._under_way.pop(job_id, ())]

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        """The job may be run by another replica, or not at all."""
        left = [each for each in self._under_way.pop(job_id, ()) if each.task is not task]
        if left:
            self._under_way[job_id] = left

    async def close(self) -> None:
        for job_id in tuple(self._under_way):
            await self.drop(job_id)


async def _no_tag_is_set() -> None: ...


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
