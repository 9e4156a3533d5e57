"""Pushed, present, skipped and failed images are told apart, wherever a job is told of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.display import summarize
from app.errors import RegistryDenied, RegistryUnreachable
from app.jobs import Job, JobRequest, JobRuntime, JobService, JobState
from app.jobs.outage import RetrySchedule
from app.jobs.runner import Runner
from app.jobs.store.memory import MemoryJobStore
from app.push import ImageState, PushOptions
from app.registry import StoredManifest
from app.telemetry.metrics import Metrics
from tests.jobs.bench import Bench, ended, upload
from tests.support.archives import docker_save, image, tagged
from tests.support.fake_registry import FakeRegistry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATES = {
    "images_pushed": ImageState.PUSHED,
    "images_present": ImageState.ALREADY_PRESENT,
    "images_skipped": ImageState.SKIPPED,
    "images_failed": ImageState.FAILED,
}
SKIP = JobRequest(PushOptions(on_existing_tag="skip"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, MemoryJobStore())


def of(*names: str, content: str = "") -> bytes:
    """An archive of images of these names."""
    samples = {name: image({"x": f"{name} {content}".encode()}, label=name) for name in names}
    return docker_save([tagged(sample, f"example.com/{name}:1") for name, sample in samples.items()])


def check(job: Job, **counts: int) -> None:
    """The document counts as the images say, and as is wanted."""
    progress = job.document()["progress"]
    states = [image.state for image in job.images]
    assert {name: progress[name] for name in STATES} == {name: states.count(state) for name, state in STATES.items()}
    wanted = dict.fromkeys(STATES, 0) | {f"images_{name}": count for name, count in counts.items()}
    assert {name: progress[name] for name in STATES} == wanted


async def test_each_kind_of_outcome_has_a_count_of_its_own(bench: Bench) -> None:
    metrics = Metrics()
    runtime = bench.runtime()
    runtime.tracker.on_job_ended(metrics.count_ended)
    async with bench.service() as service:
        await ended(service, await upload(service, of("present")))
        await ended(service, await upload(service, of("taken", content="other")))
    bench.registry.fail("push_blob", RegistryDenied("no"), repository="denied")
    job = await run(runtime, of("new", "newer", "present", "taken", "denied"), SKIP)
    check(job, pushed=2, present=1, skipped=1, failed=1)
    assert job.progress.images_done == job.progress.images_total == 5
    told = metrics.render({}).decode()
    for state, count in (("pushed", 2), ("already_present", 1), ("skipped", 1), ("failed", 1)):
        assert f'tarmac_ended_images_total{{state="{state}"}} {count}.0' in told
    summary = summarize(job, 1.0)
    assert all(words in summary for words in ("2 pushed", "1 already present", "1 skipped", "1 failed"))


async def run(runtime: JobRuntime, archives: bytes | Iterable[bytes], request: JobRequest) -> Job:
    service = JobService(runtime)
    job = await upload(service, archives, request)
    await Runner(runtime).run(job.id)
    return await service.get(job.id)


async def test_what_is_all_skipped_has_not_landed(bench: Bench) -> None:
    async with bench.service() as service:
        await ended(service, await upload(service, of("a", "b", content="newer")))
        job = await ended(service, await upload(service, of("a", "b"), SKIP))
    assert job.state is JobState.SUCCEEDED
    check(job, skipped=2)
    assert "pushed" not in summarize(job, 1.0)


async def test_a_dry_run_counts_what_it_found_and_nothing_as_pushed(bench: Bench) -> None:
    async with bench.service() as service:
        await ended(service, await upload(service, of("a")))
        asked = JobRequest(PushOptions(dry_run=True))
        check(await ended(service, await upload(service, of("a", "b"), asked)), present=1)


class Broken(FakeRegistry):
    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        raise RuntimeError("a bug")


async def test_images_that_go_down_with_their_job_count_as_failed(bench: Bench) -> None:
    bench.registry = Broken()
    async with bench.service() as service:
        job = await ended(service, await upload(service, of("a", "b")))
    assert job.state is JobState.FAILED
    check(job, failed=2)


async def test_what_is_tried_again_counts_as_failed_no_more(bench: Bench) -> None:
    runtime = replace(bench.runtime(), schedule=RetrySchedule(chance=lambda: 1.0))
    bench.registry.fail("push_blob", RegistryUnreachable("no route"), repository="b")
    service = JobService(runtime)
    job = await upload(service, of("a", "b"))
    await Runner(runtime).run(job.id)
    check(await service.get(job.id), pushed=1, failed=1)
    again = await service.retry(job.id)
    check(again, pushed=1)
    bench.registry._failures.clear()
    await Runner(runtime).run(job.id)
    check(await service.get(job.id), pushed=1, present=1)


async def test_a_cancelled_job_counts_no_image_as_failed(bench: Bench) -> None:
    async with bench.service() as service:
        job = await upload(service, of("a"))
        cancelled = await service.cancel(job.id)
    check(cancelled)
