"""The process dies, or stops, and comes back: a second service on the same directory and database."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import Conflict, MissingContent, SourceChanged, Unavailable
from app.jobs import Job, JobState, JobTracker
from app.jobs.lifecycle import _keep_alive, delete_older, recover_jobs
from app.jobs.preparation import OpenedArchives, PushPreparer
from app.jobs.retention.sweeping import sweep_shared_spool
from app.jobs.runner import Runner
from app.jobs.service import JobService
from app.jobs.store import JobQuery
from app.jobs.store.memory import MemoryJobStore
from app.jobs.store.sql import SqlJobStore
from app.push import Destination, ImageState
from app.spool import OpenFile, SpooledFile
from app.spool.disk import DiskSpool
from tests.jobs.bench import APP, REQUEST, TWO, Bench, chunks_of, ended, upload
from tests.support.fake_registry import FakeRegistry


async def test_a_job_that_ran_when_the_process_stopped_goes_on(bench: Bench) -> None:
    bench.grace = 0
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        job = await upload(service)
        await bench.registry.waiting.wait()
        before = await service.get(job.id)
    stored = await bench.store.get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt, stored.starts) == (JobState.QUEUED, 2, 0), "a stop in order is no crash"
    bench.registry.gate = None
    async with bench.service() as service:
        seen = [item async for item in service.subscribe(job.id)]
    assert seen[-1].state is JobState.SUCCEEDED
    assert seen[-1].attempt == 2
    assert seen[0].revision > before.revision, "a watcher that comes back is not told old news as new"
    assert min(seen_item.progress.percent for seen_item in seen) >= stored.progress.percent
    assert bench.registry.manifest("team/app", "1")


async def test_queued_jobs_keep_their_order(bench: Bench) -> None:
    bench.grace, bench.max_running = 0, 1
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        jobs = [await upload(service) for _ in range(4)]
        await bench.registry.waiting.wait()
    assert [job.id for job in await recover_jobs(bench.runtime())] == [job.id for job in jobs]


async def test_an_upload_that_was_cut_off_has_failed_and_left_nothing(bench: Bench) -> None:
    service = JobService(bench.runtime())
    begun = await service.begin(idempotency_key="k")
    await begun.receive("x.tar", chunks_of(APP))
    (bench.root / "spool" / "half.part").write_bytes(b"half")
    assert len(bench.spooled()) == 2
    async with bench.service() as restarted:
        job = await restarted.get(begun.job.id)
        assert job.state is JobState.FAILED
        assert job.problem is not None
        assert (job.problem.code, job.problem.retryable) == ("upload_incomplete", True)
        assert bench.spooled() == []
        assert (await upload(restarted, key="k")).id != job.id


async def test_archives_of_jobs_that_failed_survive_and_those_of_no_job_go(bench: Bench) -> None:
    broken = FakeRegistry()
    bench.registry, good = broken, bench.registry
    broken.fail("find_manifest", Unavailable("no"))
    broken.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        job = await ended(service, await upload(service))
        assert job.state is JobState.FAILED
    (bench.root / "spool" / "orphan-0.tar").write_bytes(b"nobody's")
    bench.registry = good
    async with bench.service() as service:
        assert bench.spooled() == [f"{job.id}-0.tar"]
        assert (await ended(service, await service.retry(job.id))).state is JobState.SUCCEEDED


async def test_beside_other_replicas_only_what_no_job_can_want_is_swept(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    queued, failed = await upload(service), await upload(service)
    await service.cancel(failed.id)
    receiving = await runtime.tracker.add(Job.new(JobState.RECEIVING, bench.clock()))
    spool = bench.root / "spool"
    names = (f"{receiving.id}-0.part", f"{failed.id}-1.part", f"{'0' * 32}-0.tar")
    for name in names:
        (spool / name).write_bytes(b"x")
    assert await sweep_shared_spool(runtime) == 1, "a job that ended a moment ago may be tried again"
    bench.clock.now += timedelta(hours=2)
    assert await sweep_shared_spool(runtime) == 1
    assert bench.spooled() == sorted([f"{queued.id}-0.tar", f"{failed.id}-0.tar", names[0]])


async def test_many_jobs_are_taken_up_batch_by_batch(bench: Bench) -> None:
    for _ in range(401):
        await bench.store.add(Job.new(JobState.QUEUED, bench.clock()))
    waiting = await recover_jobs(bench.runtime())
    newest = await bench.store.page(JobQuery(limit=500))
    assert [job.id for job in waiting] == [job.id for job in reversed(newest)]
    assert len(waiting) == 401


async def test_ended_jobs_go_by_age_with_their_archives(bench: Bench) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        old = await ended(service, await upload(service))
        bench.let_pass(timedelta(days=2))
        new = await ended(service, await upload(service))
        assert await delete_older(service, bench.runtime(), timedelta(days=1)) == 1
        assert [job.id for job in (await service.page())[0]] == [new.id]
        assert bench.spooled() == [f"{new.id}-0.tar"]
        assert old.id not in str(bench.spooled())


async def test_a_job_that_ended_lately_stays_however_old_it_is(bench: Bench) -> None:
    async with bench.service() as service:
        job = await ended(service, await upload(service))
        late = job.evolve(finished_at=bench.clock.now + timedelta(days=3))
        await bench.store.save(late)
        bench.let_pass(timedelta(days=3))
        assert await delete_older(service, bench.runtime(), timedelta(days=1)) == 0


class Flaky(MemoryJobStore):
    """Does not take a state for a while, as a database on a full disk."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.refuse: frozenset[JobState] = frozenset()

    async def save(self, job: Job, over: Job | None = None) -> bool:
        if self.refusals and job.state in self.refuse:
            self.refusals -= 1
            raise Unavailable("database or disk is full")
        return await super().save(job, over)


async def test_the_end_of_a_job_is_not_lost_for_a_full_disk(tmp_path: Path) -> None:
    store = Flaky()
    bench = Bench(tmp_path, store)
    runtime = bench.runtime()
    service = JobService(runtime)
    job = await upload(service)
    store.refuse, store.refusals = frozenset({JobState.RUNNING, JobState.SUCCEEDED}), 6
    await Runner(runtime, patience_seconds=0).run(job.id)
    assert (await service.get(job.id)).state is JobState.SUCCEEDED
    assert store.refusals == 0


async def test_progress_that_cannot_be_stored_is_still_told(tmp_path: Path) -> None:
    store = Flaky()
    store.refuse, store.refusals = frozenset({JobState.RECEIVING}), 1_000_000
    bench = Bench(tmp_path, store)
    async with bench.service() as service:
        async with await service.begin() as begun:
            await begun.receive("x.tar", chunks_of(APP))
            assert (await service.get(begun.job.id)).progress.bytes_received == len(APP)
            await asyncio.sleep(0)
            job = await begun.submit(REQUEST)
        assert (await ended(service, job)).state is JobState.SUCCEEDED


async def test_an_upload_that_cannot_be_recorded_may_be_sent_again_with_its_key(tmp_path: Path) -> None:
    store = Flaky()
    bench = Bench(tmp_path, store)
    async with bench.service() as service:
        store.refuse, store.refusals = frozenset({JobState.QUEUED}), 1
        with pytest.raises(Unavailable):
            await upload(service, key="k")
        assert bench.spooled() == []
        assert (await ended(service, await upload(service, key="k"))).state is JobState.SUCCEEDED


async def test_progress_is_stored_while_a_job_runs(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        job = await upload(service, TWO)
        await bench.registry.waiting.wait()
        stored = await bench.store.get(job.id)
        while stored is None or not stored.progress.images_total:
            await asyncio.sleep(0)
            stored = await bench.store.get(job.id)
        assert {image.state for image in stored.images} <= {ImageState.PENDING, ImageState.PUSHING}
        bench.registry.gate.set()
        await ended(service, job)


async def test_an_older_state_is_not_told_after_a_newer_one(bench: Bench) -> None:
    tracker = JobTracker(bench.store)
    job = await tracker.add(Job.new(JobState.RECEIVING, bench.clock()))
    with tracker.subscribe(job.id) as news:
        await tracker.transition(job.id, lambda job: job.transition_to(JobState.CANCELLED))
        tracker.update_progress(job.id, lambda job: job.evolve(notices=("late",)))
        assert (await news.next()).state is JobState.CANCELLED
    assert (await tracker.get(job.id)).notices == ()


async def test_a_caller_that_goes_away_does_not_break_a_change(bench: Bench) -> None:
    tracker = JobTracker(bench.store)
    job = await tracker.add(Job.new(JobState.QUEUED, bench.clock()))
    changing = asyncio.create_task(tracker.transition(job.id, lambda job: job.transition_to(JobState.RUNNING)))
    await asyncio.sleep(0)
    changing.cancel()
    await asyncio.wait([changing])
    await tracker.drain()
    stored = await bench.store.get(job.id)
    assert stored is not None
    assert stored.state is (await tracker.get(job.id)).state is JobState.RUNNING


async def test_what_breaks_in_the_block_is_raised_as_it_is(bench: Bench) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with bench.service():
            raise KeyError("mine")


async def test_a_job_tried_again_a_moment_ago_is_not_swept_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench.service() as service:
        await ended(service, await upload(service))

        async def refuse(job_id: str) -> None:
            raise Conflict(job_id)

        monkeypatch.setattr(service, "delete", refuse)
        bench.let_pass(timedelta(days=2))
        assert await delete_older(service, bench.runtime(), timedelta(days=1)) == 0


async def test_old_jobs_that_cannot_be_deleted_stop_nothing(tmp_path: Path) -> None:
    class Locked(MemoryJobStore):
        async def page(self, query: JobQuery) -> tuple[Job, ...]:
            if query.before is not None:
                raise Unavailable("database is locked")
            return await super().page(query)

    with capture_logs() as logs:
        async with Bench(tmp_path, Locked()).service() as service:
            assert (await ended(service, await upload(service))).state is JobState.SUCCEEDED
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["retention.failed"]


async def test_a_job_cancelled_before_its_run_begins_is_left_alone(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    job = await upload(service)
    await service.cancel(job.id)
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).state is JobState.CANCELLED
    assert bench.registry.calls == []


async def test_a_job_cancelled_as_its_run_ends_stays_cancelled(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    bench.registry.gate = asyncio.Event()
    job = await upload(service)
    running = asyncio.create_task(Runner(runtime).run(job.id))
    await bench.registry.waiting.wait()
    await service.cancel(job.id)
    bench.registry.gate.set()
    await running
    assert (await service.get(job.id)).state is JobState.CANCELLED
    assert bench.spooled() == [f"{job.id}-0.tar"]


async def test_an_archive_that_is_gone_from_the_spool_is_told(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    job = await upload(service)
    (bench.root / "spool" / f"{job.id}-0.tar").unlink()
    await Runner(runtime).run(job.id)
    done = await service.get(job.id)
    assert done.problem is not None
    assert done.problem.code == "source_changed"
    bare = replace(done, archives=tuple(replace(archive, file=None) for archive in done.archives))
    heard: list[object] = []
    with pytest.raises(MissingContent, match=r"x\.tar"):
        async with PushPreparer(runtime.spool, runtime.limits).prepare(bare, Destination("default", "r"), heard.append):
            pass


@pytest.mark.parametrize("name", ["gone", "here"])
async def test_files_opened_for_nobody_are_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    runtime = bench.runtime()
    job = await upload(JobService(runtime))
    opening, go_on, closed = threading.Event(), threading.Event(), asyncio.Event()
    opener = PushPreparer(runtime.spool, runtime.limits)
    loop = asyncio.get_running_loop()
    opened: list[OpenFile] = []
    heard: list[object] = []

    def close(self: OpenedArchives) -> None:
        self.files[0].close()
        closed.set()

    def slow(file: SpooledFile) -> OpenFile:
        opening.set()
        go_on.wait(30)
        if name == "gone":
            loop.call_soon_threadsafe(closed.set)
            raise SourceChanged("gone")
        opened.append(DiskSpool(bench.root / "spool").open(file))
        monkeypatch.setattr(OpenedArchives, "close", close)
        return opened[0]

    monkeypatch.setattr(runtime.spool, "open", slow)

    async def open_it() -> None:
        async with opener.prepare(job, Destination("default", "registry.test"), heard.append):
            raise AssertionError("nobody waits for this")

    task = asyncio.create_task(open_it())
    await asyncio.to_thread(opening.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await closed.wait()
    for file in opened:
        with pytest.raises(SourceChanged, match="closed"):
            file.read_at(0, 1)


async def test_a_restart_finds_the_jobs_in_the_database_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tarmac.db'}"
    store = await SqlJobStore.open(url)
    bench = Bench(tmp_path, store)
    async with bench.service() as service:
        done = await ended(service, await upload(service, APP, replace(REQUEST, labels={"a": "b"})))
    await store.close()
    store = await SqlJobStore.open(url)
    assert await store.get(done.id) == done
    await store.close()


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_an_upload_whose_job_was_given_up_meanwhile_is_told_so_and_not_what_broke(
    bench: Bench, *, is_cancelled: bool
) -> None:
    """Its replica stood still; another one has ended the job, and deleted what had come."""
    service = JobService(bench.runtime())
    begun = await service.begin()
    await begun.receive("x.tar", chunks_of(APP))
    other = JobService(bench.runtime())
    if is_cancelled:
        await other.cancel(begun.job.id)
    else:
        await recover_jobs(bench.runtime())
    for file in (bench.root / "spool").iterdir():
        file.unlink()
    with pytest.raises(Conflict if is_cancelled else Unavailable):
        await begun.submit(REQUEST)
    job = await other.get(begun.job.id)
    assert job.state is (JobState.CANCELLED if is_cancelled else JobState.FAILED)
    assert is_cancelled or (job.problem is not None and job.problem.code == "upload_incomplete")


class Beat:
    """The other replicas: one beat finds `dead`, the uploads of a replica that gave no sign of life."""

    def __init__(self, *dead: str) -> None:
        self._dead = dead
        self.beat_seconds = 3600.0

    async def heartbeat(self) -> tuple[str, ...]:
        dead, self._dead = self._dead, ()
        return dead

    async def leave(self) -> None:
        return


async def test_a_job_that_was_accepted_after_its_replica_was_taken_for_dead_goes_on(bench: Bench) -> None:
    """The look for uploads of dead replicas came before the end of the upload, and the change after it. A job that is
    gone meanwhile keeps no other from being looked at."""
    runtime = bench.runtime()
    accepted = await upload(JobService(runtime))
    assert accepted.state is JobState.QUEUED
    begun = await JobService(bench.runtime()).begin()
    beats = replace(runtime, replicas=Beat("gone", accepted.id, begun.job.id))
    alive = asyncio.create_task(_keep_alive(beats))
    async for seen in JobService(runtime).subscribe(begun.job.id):
        if seen.ended:
            break
    alive.cancel()
    assert seen.problem is not None
    assert seen.problem.code == "upload_incomplete"
    assert (await JobService(runtime).get(accepted.id)).state is JobState.QUEUED
