"""Runner: run one job. Plan its files, execute the plan, publish and store what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from app.errors import ArchiveError, Conflict, Internal, NotFound, Problem, TarmacError, Unavailable
from app.jobs.image_outcomes import failed, landed_names, problem_of_archives, problem_of_images, told
from app.jobs.leases import TagsLeasedError, pushed_tags
from app.jobs.model import ArchiveSource, Job, JobArchive, JobState
from app.jobs.outage import (
    asked_now,
    ended_as,
    is_outage,
    is_outage_failure,
    pause_for_outage,
    recover_running,
    refused_images,
    requeue_for_leases,
    resumed,
    waited,
)
from app.jobs.preparation import Findings, PreparedPush, PushPreparer, with_findings
from app.jobs.registries import ConfiguredRegistry, pick_registry
from app.jobs.runtime import JobRuntime
from app.jobs.sources.continued_files import join_continued, naming_parts
from app.jobs.sources.server_archives import nothing_quoted, prepare_archive, quotes_nothing
from app.jobs.tracking.retry_reporter import RetryReporter
from app.jobs.tracking.tracker import Change
from app.net.retry_observer import observe_retries
from app.net.warnings import collect_warnings
from app.push import Event, NoticeAdded, PushPlan, apply_event, dry_run, execute, start_progress, with_rate
from app.push.options import MERGES
from app.push.plan.open_archives import prefix_errors_with
from app.push.report.inspection import inspect_all, with_registry_state
from app.registry.wrappers.fence import FencedRegistry
from app.registry.wrappers.verify import reads_content, with_verification
from app.threads import hash_in_thread

ASIDE = timedelta(seconds=2)  # delay before a job tries again to lease its tags
PATIENCE_SECONDS = 1.0  # between attempts to store the end of a job while the database is unavailable

_log = structlog.get_logger(__name__)


class Runner:
    """Runs the jobs that the queue passes to it."""

    def __init__(self, runtime: JobRuntime, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._runtime = runtime
        self._tracker = runtime.tracker
        self._patience = patience_seconds
        self.cut_off: set[str] = set()  # jobs whose run was cancelled

    async def run(self, job_id: str) -> None:
        """Run a QUEUED job to its end.

        If the run is cancelled, the job stays RUNNING and the canceller decides what follows. Raises nothing but the
        cancellation."""
        try:
            await self._run(job_id)
        except asyncio.CancelledError:
            self.cut_off.add(job_id)
            raise

    async def _run(self, job_id: str) -> None:
        try:
            job = await self._record(job_id, self._begun)
        except (Conflict, NotFound):
            return  # cancelled or deleted while it waited
        if job.ended:
            return  # the job was running at too many crashes of its process
        self.cut_off.discard(job_id)
        began = self._runtime.elapsed()
        try:
            problem = await self._problem_of(job)
        except TagsLeasedError:
            await self._step_aside(job)
            return
        try:
            took = timedelta(seconds=self._runtime.elapsed() - began)
            ended = await self._record(job_id, lambda present: self._ended(_same_run(present, job), problem, took))
        except (Conflict, NotFound):
            return
        if ended.state is JobState.QUEUED:
            await self._pause(ended)
            return
        if ended.problem is None or not is_outage(ended.problem):
            await self._resume(ended.registry)
        if ended.state is JobState.SUCCEEDED or ended.has_damaged_content:
            await self._discard(ended)

    async def _step_aside(self, begun: Job) -> None:
        """Requeue the job behind others, because another job has leased its tags."""
        try:
            job = await self._record(begun.id, lambda present: requeue_for_leases(_same_run(present, begun)))
        except (Conflict, NotFound):
            return
        await self._runtime.queue.put(job.id, replace(job.schedule, not_before=self._runtime.clock() + ASIDE))

    async def _pause(self, job: Job) -> None:
        """Queue the job, then register it as paused.

        In the opposite order a resume before the queueing would be lost, and the job would wait out its pause."""
        await self._runtime.queue.put(job.id, job.schedule)
        self._runtime.paused.add(job)

    async def _resume(self, registry: str) -> None:
        """Resume the jobs that wait for `registry`, because this job reached it."""
        for job_id in self._runtime.paused.take(registry):
            try:
                job = await self._tracker.transition(job_id, lambda job: resumed(job, self._runtime.clock()))
            except (NotFound, Unavailable):
                continue  # deleted meanwhile; or it resumes at its time
            if job.state is JobState.QUEUED:
                await self._runtime.queue.put(job_id, job.schedule)

    async def _problem_of(self, job: Job) -> Problem | None:
        """Push the job and return its problem; None if the plan was executed, even if images failed."""
        try:
            with nothing_quoted(job.archives):
                await self._push(job)
        except TagsLeasedError:
            raise
        except TarmacError as error:
            return error.problem
        except Exception:  # noqa: BLE001 - see below
            # boundary: after any unexpected error this job has failed and the others continue
            _log.exception("job.run_crashed", job=job.id)
            return Internal("unexpected error in the service; see its log under the id of this job").problem
        return None

    async def _push(self, job: Job) -> None:
        configured = pick_registry(self._runtime.registries, job.registry)
        proved = with_verification(configured.registry, job.options.verify)
        registry = FencedRegistry(proved, lambda: self._check_held(job), partial(configured.may_mount, job.submitter))
        job = await self._joined(job)
        archives = await self._look_at_all(job)
        opener = PushPreparer(
            self._runtime.spool,
            self._runtime.limits,
            self._runtime.signatures,
            configured.check,
            self._runtime.open_store,
        )

        def understood(found: Findings) -> None:
            self._tracker.update_progress(job.id, lambda job: with_findings(job, found))

        looked_at = replace(job, archives=archives)
        reads_all = reads_content(proved) or any(archive.source is ArchiveSource.WATCH for archive in archives)
        known = self._runtime.plans.take(looked_at) or ()
        async with opener.prepare(looked_at, configured.destination, understood, known, reads_all=reads_all) as opened:
            emit = self._teller(job, opened)
            await self._runtime.early.wait_until_done(job.id)
            reporter = RetryReporter(self._tracker, await self._tracker.newest(job.id), job.registry)
            with collect_warnings(lambda text: emit(NoticeAdded(text))), observe_retries(reporter):
                if job.options.dry_run:
                    await self._inspect(job, opened)
                    found = await dry_run(opened.plan, opened.files, proved, emit, resources=self._runtime.resources)
                    self._tracker.update_progress(
                        job.id,
                        lambda job: job.evolve(inspection=with_registry_state(job.inspection, opened.plan, found)),
                    )
                else:
                    async with self._leased(job, opened) as plan:
                        with configured.under_way(job.id):
                            await execute(plan, opened.files, registry, emit, resources=self._runtime.resources)
                            await self._keep(configured, job, plan)

    async def _keep(self, configured: ConfiguredRegistry, job: Job, plan: PushPlan) -> None:
        if configured.keep is not None:
            present = await self._tracker.newest(job.id)
            await configured.keep(landed_names(present, plan))

    async def _joined(self, job: Job) -> Job:
        """Return the job with server files that continue one another as one archive."""
        if len(job.archives) == 1 or any(archive.compression or not archive.file for archive in job.archives):
            return job
        by_path = {archive.file.path: archive for archive in job.archives if archive.file}
        files = [archive.file for archive in job.archives if archive.file]
        joined = await hash_in_thread(join_continued, files, self._runtime.spool.open, self._runtime.limits)
        archives = tuple(replace(by_path[file.path], file=file, size=file.size) for file in joined)
        if len(archives) < len(job.archives):
            self._tracker.update_progress(job.id, lambda job: job.evolve(archives=archives))
        return replace(job, archives=archives)

    async def _look_at_all(self, job: Job) -> tuple[JobArchive, ...]:
        """Examine the archives on the server, and return all archives as they are afterwards.

        Findings are recorded in the job at once."""
        archives = list(job.archives)

        def show(number: int, archive: JobArchive) -> None:
            archives[number] = archive
            known = tuple(archives)
            self._tracker.update_progress(job.id, lambda job: job.evolve(archives=known))

        for number, archive in enumerate(job.archives):
            try:
                show(number, await self._look_at(job, number, partial(show, number)))
            except ArchiveError as error:
                if not job.options.keep_going or len(archives) == 1:
                    raise
                if quotes_nothing([archive]):
                    error.content = ""
                show(number, replace(archives[number], problem=error.problem))
        return tuple(archives)

    async def _look_at(self, job: Job, number: int, refused: Callable[[JobArchive], None]) -> JobArchive:
        archive = job.archives[number]
        if archive.file is not None and archive.is_unreadable:
            archive = replace(archive, problem=None)  # it may be another one by now
        # a replica that died at an earlier attempt may have left a part of it
        spooled_as = f"{job.id}-{number}" + (f"-attempt{job.attempt}" if job.attempt > 1 else "")
        with prefix_errors_with(archive.name, several=len(job.archives) > 1), naming_parts(archive.file):
            return await prepare_archive(archive, spooled_as, self._runtime, job, refused)

    @asynccontextmanager
    async def _leased(self, job: Job, opened: PreparedPush) -> AsyncIterator[PushPlan]:
        """Acquire the leases of the job's tags. Yield the plan without tags that a later job has written."""
        leases = self._runtime.leases
        names = frozenset(name for image in opened.images if image.problem is None for name in image.destinations)
        async with leases.lease(job, names) as overtaken:
            merges = opened.plan.on_existing_tag in MERGES  # each such job adds to the images of the others
            left = frozenset[str]() if merges else overtaken
            plan = replace(opened.plan, left=left, refused={**refused_images(job), **opened.plan.refused})
            try:
                yield plan
            finally:
                present = await self._tracker.newest(job.id)
                await leases.record_pushed(job, pushed_tags(present) - plan.left)
                for name in sorted(plan.left):
                    text = f"{name} was written by a job that was accepted later; it is not changed"
                    self._tracker.update_progress(job.id, lambda job, text=text: told(job, NoticeAdded(text)))  # type: ignore[misc]

    async def _inspect(self, job: Job, opened: PreparedPush) -> None:
        found = await hash_in_thread(inspect_all, opened.plan.archives, opened.files)
        self._tracker.update_progress(job.id, lambda job: job.evolve(inspection=found))

    def _teller(self, job: Job, opened: PreparedPush) -> Callable[[Event], None]:
        meter = start_progress(self._runtime.early.counted(job), opened.plan)

        def planned(job: Job) -> Job:
            return job.evolve(
                archives=opened.job_archives,
                images=opened.images,
                notices=opened.notices,
                progress=meter.progress,
            )

        def emit(event: Event) -> None:
            nonlocal meter
            meter = with_rate(apply_event(meter, event), time.monotonic())
            self._tracker.update_progress(job.id, lambda job: told(job.evolve(progress=meter.progress), event))

        self._runtime.early.follow(job.id, emit)
        self._tracker.update_progress(job.id, planned)
        return emit

    async def _record(self, job_id: str, change: Change) -> Job:
        """Change the state of a job. Retry while the database is full or locked, so that no change is lost."""
        while True:
            try:
                return await self._tracker.transition(job_id, change)
            except Unavailable as error:
                _log.warning("job.state_not_stored", job=job_id, reason=str(error))
                await asyncio.sleep(self._patience)

    async def _check_held(self, job: Job) -> None:
        """Raise Conflict if another replica has taken the job over, so that a suspended replica writes no tag."""
        if not await self._tracker.still_owns(job):
            raise _lost(job)

    def _begun(self, job: Job) -> Job:
        if job.state is JobState.RUNNING:  # its replica died, and the queue gave the job to this one
            job = recover_running(job, self._runtime.clock())
            if job.ended:
                return job
        return job.transition_to(
            JobState.RUNNING,
            started_at=self._runtime.clock(),
            finished_at=None,
            next_attempt_at=None,
            waiting_for=asked_now(job),
            problem=None,
            starts=job.starts + 1,
        )

    def _ended(self, job: Job, problem: Problem | None, took: timedelta) -> Job:
        images = job.images if problem is None else tuple(failed(image, problem) for image in job.images)
        problem = problem or problem_of_images(images) or problem_of_archives(job.archives)
        now = self._runtime.clock()
        if problem is None:
            return ended_as(job, JobState.SUCCEEDED, now, images=images)
        job = replace(job, images=images, waited=waited(job, took))
        pause = self._runtime.schedule.pause(job.waited)
        if pause is not None and is_outage_failure(job, problem, images):
            return pause_for_outage(job, problem, now, pause)
        return ended_as(job, JobState.FAILED, now, problem=problem, images=images)

    async def _discard(self, job: Job) -> None:
        for archive in job.archives:
            if archive.file is not None:
                await self._runtime.discard(archive.file)


def _same_run(present: Job, begun: Job) -> Job:
    """Return `present` if it is the attempt that `begun` began. Raises Conflict."""
    if present.attempt != begun.attempt:
        raise _lost(begun)
    return present


def _lost(job: Job) -> Conflict:
    return Conflict(
        f"this replica does not run job {job.id} any more; it was cancelled, or another replica has taken it over"
    )
