"""What replicas that died left in the spool that all share."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.errors import DigestMismatch, RegistryDenied
from app.jobs import ArchiveSource, Job, JobArchive, JobRequest, JobRuntime, JobService, JobState
from app.jobs.heartbeat import SweepSchedule
from app.jobs.retention.sweeping import sweep_shared_spool
from app.jobs.runner import Runner
from app.jobs.store.memory import MemoryJobStore
from app.push import PushOptions
from app.spool import SpooledFile
from tests.jobs.bench import APP, Bench

AGE = timedelta(minutes=3)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, MemoryJobStore())


def runtime_of(bench: Bench) -> JobRuntime:
    return replace(bench.runtime(), sweeps=SweepSchedule(age=AGE))


async def stored(bench: Bench, state: JobState, *, file: str | None = None, **members: object) -> Job:
    """A job that ended now, if it has ended; `file`: the name behind its id of the file that it knows."""
    job = replace(Job.new(state, bench.clock()), finished_at=bench.clock.now, **members)  # type: ignore[arg-type]
    if file is not None:
        spooled = SpooledFile(str(bench.root / "spool" / f"{job.id}{file}"), 1, owned=True, identity=(0, 0, 1, 0))
        job = replace(job, archives=(JobArchive("x.tar", ArchiveSource.UPLOAD, file=spooled),))
    return await bench.store.add(job)


def left(bench: Bench, job: Job, *names: str) -> None:
    for name in names:
        (bench.root / "spool" / f"{job.id}{name}").write_bytes(b"x")


async def swept(bench: Bench, job: Job, *names: str) -> list[str]:
    """What is left of these files when the job has ended long enough ago; until then all of them are."""
    runtime = runtime_of(bench)
    left(bench, job, *names)
    assert await sweep_shared_spool(runtime) == 0
    bench.clock.now += AGE
    await sweep_shared_spool(runtime)
    return [name.removeprefix(job.id) for name in bench.spooled()]


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
async def test_files_that_an_ended_job_does_not_know_go(bench: Bench, state: JobState) -> None:
    job = await stored(bench, state)
    assert await swept(bench, job, "-0.part", "-0.tar", "-1.part", "-0-sent.tar", "-0-attempt2.part") == []


@pytest.mark.parametrize("state", [JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING])
async def test_files_of_a_job_that_has_not_ended_stay(bench: Bench, state: JobState) -> None:
    job = await stored(bench, state, file="-0.tar")
    assert await swept(bench, job, "-0.tar", "-1.part", "-0-sent.part") == ["-0-sent.part", "-0.tar", "-1.part"]


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_what_a_job_may_be_retried_with_stays(bench: Bench, state: JobState) -> None:
    job = await stored(bench, state, file="-0.tar", problem=RegistryDenied("no").problem)
    assert await swept(bench, job, "-0.tar", "-0-attempt2.tar", "-1.part") == ["-0.tar"]


@pytest.mark.parametrize(
    ("state", "problem"), [(JobState.SUCCEEDED, None), (JobState.FAILED, DigestMismatch("damaged").problem)]
)
async def test_what_a_dead_replica_did_not_come_to_delete_goes(bench: Bench, state: JobState, problem: object) -> None:
    job = await stored(bench, state, file="-0.tar", problem=problem)
    assert await swept(bench, job, "-0.tar") == []


async def test_files_of_no_job_go_at_once(bench: Bench) -> None:
    runtime = runtime_of(bench)
    left(bench, replace(await stored(bench, JobState.QUEUED), id="0" * 32), "-0.tar", "-0-sent.part")
    assert await sweep_shared_spool(runtime) == 2
    assert bench.spooled() == []


async def test_a_job_that_ended_by_a_clock_that_was_ahead_is_no_exception(bench: Bench) -> None:
    runtime = runtime_of(bench)
    job = await stored(bench, JobState.SUCCEEDED)
    left(bench, job, "-0.tar")
    bench.clock.now -= timedelta(days=365)
    assert await sweep_shared_spool(runtime) == 1


async def test_a_part_that_a_dead_replica_left_does_not_stop_the_one_that_takes_over(bench: Bench) -> None:
    runtime = runtime_of(bench)
    service = JobService(runtime)
    path = bench.put("x.tar.gz", gzip.compress(APP))
    job = await service.submit_paths(JobRequest(PushOptions(), paths=(path,)))
    await runtime.tracker.transition(job.id, lambda job: job.transition_to(JobState.RUNNING, starts=1))
    left(bench, job, "-0.part")  # as it was decompressed
    successor = runtime_of(bench)
    await Runner(successor).run(job.id)
    done = await JobService(successor).get(job.id)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2), done.problem
    bench.clock.now += AGE
    await sweep_shared_spool(successor)
    assert bench.spooled() == []
