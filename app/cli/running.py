"""A job that is carried out here and now: the events of a push folded into it and shown. No store, no queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.archive import Compression
from app.cli.display import Display
from app.errors import Problem, TarmacError
from app.jobs.job import Job, JobArchive, JobImage, JobState, utc_now
from app.jobs.opening import Opened
from app.push import (
    Event,
    ImageChanged,
    ImageState,
    Noticed,
    PushOptions,
    begin,
    execute,
    fold,
    survey,
    timed,
)
from app.registry import Registry

RATE_SECONDS = 1.0  # the rate is smoothed over such steps


class Run:
    """`job` is what is known so far, at every moment."""

    def __init__(
        self, options: PushOptions, registry: str, display: Display, clock: Callable[[], float] = time.monotonic
    ):
        self.job = Job.new(JobState.QUEUED, utc_now()).to(
            JobState.RUNNING, started_at=utc_now(), options=options, registry=registry
        )
        self._display = display
        self._clock = clock

    def taken(self, archives: tuple[JobArchive, ...]) -> None:
        self.job = self.job.but(archives=archives)

    async def push(self, opened: Opened, registry: Registry) -> None:
        """What goes wrong with an image is told in the job."""
        plan = opened.plan
        self._meter = begin(self.job.progress, plan)
        self.job = self.job.but(archives=opened.job_archives, images=opened.images, progress=self._meter.progress)
        for archive in opened.job_archives:
            self._display.told(words_of(archive, len([each for each in opened.images if each.archive == archive.name])))
        for note in plan.notes:
            self._notice(note)
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            if self.job.options.dry_run:
                await survey(plan, registry, self._emit)
            else:
                await execute(plan, opened.files, registry, self._emit)
            ticking.cancel()

    def ended(self, error: TarmacError | None = None) -> Job:
        """The job as it came out, `error` being what stopped the whole of it."""
        failed = [image for image in self.job.images if image.state is ImageState.FAILED]
        problem = None if error is None else error.problem
        if failed and problem is None:
            problem = replace(_first(failed), detail=f"{len(failed)} of {len(self.job.images)} images failed")
        state = JobState.SUCCEEDED if problem is None else JobState.FAILED
        self.job = self.job.to(state, finished_at=utc_now(), problem=problem)
        return self.job

    def cancelled(self) -> Job:
        self.job = self.job.to(JobState.CANCELLED, finished_at=utc_now())
        return self.job

    def _emit(self, event: Event) -> None:
        self._meter = fold(self._meter, event)
        self.job = self.job.but(progress=self._meter.progress)
        self._display.pushed(self._meter.progress)
        if isinstance(event, Noticed):
            self._notice(event.text)
        elif isinstance(event, ImageChanged):
            self._image(event)

    def _image(self, event: ImageChanged) -> None:
        images = list(self.job.images)
        before = images[event.image]
        images[event.image] = replace(
            before,
            state=event.state,
            digest=event.digest or before.digest,
            media_type=event.media_type or before.media_type,
            problem=event.problem,
        )
        self.job = self.job.but(images=tuple(images))
        self._display.image(images[event.image])

    def _notice(self, text: str) -> None:
        self.job = self.job.but(notices=(*self.job.notices, text))
        self._display.told(text)

    async def _tick(self) -> None:
        while True:
            self._meter = timed(self._meter, self._clock())
            self._display.pushed(self._meter.progress)
            await asyncio.sleep(RATE_SECONDS)


def _first(failed: Sequence[JobImage]) -> Problem:
    return next(image.problem for image in failed if image.problem is not None)


def words_of(archive: JobArchive, images: int) -> str:
    wrapped = "" if archive.compression is Compression.NONE else f" in {archive.compression}"
    return f"{archive.name}: {archive.format}{wrapped}, {images} image{'' if images == 1 else 's'}"
