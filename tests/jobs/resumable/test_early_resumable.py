"""Blobs of an upload in pieces are at the registry before its last byte has come, whatever comes between the pieces."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.archive import DEFAULT_LIMITS
from app.errors import UploadIncomplete
from app.jobs import Job, JobRequest, JobRuntime, JobService, JobState, run_job_service
from app.jobs.resumable import (
    LIFETIME,
    AppendRequest,
    NewUpload,
    ResumableUploads,
    UploadChecksum,
    UploadChecksumMismatch,
    UploadTable,
)
from app.jobs.resumable import resumable_uploads as resumable_uploads_of
from app.jobs.store.memory import MemoryJobStore
from app.jobs.uploads.early_pushes import EarlyPushes
from app.push import PushOptions
from app.spool.upload_files import UploadFiles
from tests.jobs.bench import Bench, broken_after, chunks_of, ended
from tests.jobs.uploads.test_early_pushes import LAYOUT, REQUEST, is_empty
from tests.support.fake_registry import FakeRegistry

HALF = len(LAYOUT) // 2
WITHOUT = JobRequest(PushOptions(tag="team/app:1", dry_run=True))


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def bench(tmp_path: Path, registry: FakeRegistry) -> Bench:
    return Bench(tmp_path, MemoryJobStore(), registry)


def runtime_of(bench: Bench) -> JobRuntime:
    runtime = bench.runtime()
    return replace(runtime, early=EarlyPushes(runtime.resources, runtime.tracker))


@asynccontextmanager
async def at_work_early(
    bench: Bench, runtime: JobRuntime | None = None
) -> AsyncIterator[tuple[JobService, ResumableUploads]]:
    runtime = runtime or runtime_of(bench)
    files = UploadFiles(bench.root / "uploads", bench.root / "spool")
    uploads = await UploadTable.load(files, DEFAULT_LIMITS)
    async with (
        run_job_service(runtime, keep=timedelta(days=1), arriving=uploads.jobs) as service,
        resumable_uploads_of(runtime, service, uploads) as resumable,
    ):
        yield service, resumable


async def begun(resumable: ResumableUploads, request: JobRequest = REQUEST, *, hold: bool = False) -> str:
    return (await resumable.begin(NewUpload("x.tar", request, len(LAYOUT), hold=hold))).id


async def append(
    resumable: ResumableUploads, upload: str, start: int, end: int, proof: UploadChecksum | None = None
) -> Job:
    appended = await resumable.append(upload, AppendRequest(start, proof=proof), chunks_of(LAYOUT[start:end], 100_000))
    assert appended.shown.job is not None
    return appended.shown.job


async def held(registry: FakeRegistry) -> None:
    await asyncio.wait_for(registry.held.wait(), 20)


async def test_a_layer_is_there_after_the_first_piece_and_is_not_sent_again(
    bench: Bench, registry: FakeRegistry
) -> None:
    async with at_work_early(bench) as (service, resumable):
        upload = await begun(resumable)
        await append(resumable, upload, 0, HALF)
        await held(registry)
        job = await ended(service, await append(resumable, upload, HALF, len(LAYOUT)))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert job.progress.blobs_reused == 0
    assert job.progress.bytes_sent == registry.blob_bytes
    assert registry.count("push_blob") == 5


async def test_a_line_that_breaks_between_the_pieces_changes_nothing(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench) as (service, resumable):
        upload = await begun(resumable)
        broken = broken_after(LAYOUT[:HALF], UploadIncomplete("the line is cut"))
        with pytest.raises(UploadIncomplete):
            await resumable.append(upload, AppendRequest(0), broken)
        job = await append(resumable, upload, HALF, HALF + 1)
        await held(registry)
        job = await ended(service, await append(resumable, upload, HALF + 1, len(LAYOUT)))
    assert job.state is JobState.SUCCEEDED, job.problem
    assert registry.count("push_blob") == 5


async def test_bytes_that_are_taken_back_leave_nothing_at_the_registry(bench: Bench, registry: FakeRegistry) -> None:
    """Their checksum was wrong; what is sent in their place lands as ever."""
    async with at_work_early(bench) as (service, resumable):
        upload = await begun(resumable)
        with pytest.raises(UploadChecksumMismatch):
            await append(resumable, upload, 0, HALF, UploadChecksum("sha256", hashlib.sha256(b"another").digest()))
        assert is_empty(registry)
        job = await ended(service, await append(resumable, upload, 0, len(LAYOUT)))
    assert job.state is JobState.SUCCEEDED, job.problem


async def test_an_upload_that_is_given_up_leaves_nothing_at_the_registry(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench) as (service, resumable):
        upload = await begun(resumable)
        job = await append(resumable, upload, 0, HALF)
        await held(registry)
        await resumable.cancel(upload)
        assert is_empty(registry)
        assert (await service.get(job.id)).state is JobState.CANCELLED


async def test_an_upload_that_is_too_old_leaves_nothing_at_the_registry(bench: Bench, registry: FakeRegistry) -> None:
    runtime = replace(runtime_of(bench), elapsed=lambda: bench.passed)
    async with at_work_early(bench, runtime) as (_, resumable):
        await append(resumable, await begun(resumable), 0, HALF)
        await held(registry)
        assert await resumable.sweeper.expire_uploads(datetime.now(UTC)) == 0
        bench.let_pass(LIFETIME)
        assert await resumable.sweeper.expire_uploads(datetime.now(UTC) + LIFETIME + timedelta(hours=1)) == 1
        assert is_empty(registry)


async def test_the_service_stops_what_is_under_way_and_the_upload_goes_on(bench: Bench, registry: FakeRegistry) -> None:
    async with at_work_early(bench) as (_, resumable):
        upload = await begun(resumable)
        await append(resumable, upload, 0, HALF)
        await held(registry)
    assert is_empty(registry)
    async with at_work_early(bench) as (service, resumable):
        job = await ended(service, await append(resumable, upload, HALF, len(LAYOUT)))
    assert job.state is JobState.SUCCEEDED, job.problem


@pytest.mark.parametrize(("request_", "hold"), [(WITHOUT, False), (REQUEST, True)], ids=["a dry run", "held"])
async def test_nothing_is_sent_of_what_is_to_be_looked_at_first(
    bench: Bench, registry: FakeRegistry, request_: JobRequest, hold: bool
) -> None:
    async with at_work_early(bench) as (_, resumable):
        await append(resumable, await begun(resumable, request_, hold=hold), 0, len(LAYOUT) - 1)
        assert not registry.calls


async def test_an_upload_that_another_replica_has_cancelled_leaves_nothing_at_the_registry(
    bench: Bench, registry: FakeRegistry
) -> None:
    runtime = runtime_of(bench)
    other = JobService(replace(runtime, early=EarlyPushes()))
    async with at_work_early(bench, runtime) as (_, resumable):
        job = await append(resumable, await begun(resumable), 0, HALF)
        await held(registry)
        await other.cancel(job.id)
        assert await resumable.sweeper.expire_uploads(datetime.now(UTC)) == 1
        assert is_empty(registry)
