"""What a registry refuses ends its image, and is not waited for; the other images of the job go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.errors import Failure, RegistryFault, RegistryUnreachable
from app.jobs import Job, JobService, JobState
from app.jobs.outage import RetrySchedule
from app.jobs.runner import Runner
from app.jobs.runtime import JobRuntime
from app.jobs.serialization import dump_job, load_job
from app.push import ImageState
from tests.jobs.bench import TWO, Bench, upload

REFUSAL = RegistryFault("500 to PUT", failure=Failure.CONTENT_ERROR)
OUTAGE = RegistryUnreachable("no route")


def patient(bench: Bench) -> JobRuntime:
    return replace(bench.runtime(), schedule=RetrySchedule(timedelta(days=1), lambda: 1.0))


def states(job: Job) -> list[ImageState]:
    return [image.state for image in job.images]


async def half_refused(bench: Bench, runtime: JobRuntime) -> tuple[JobService, Job]:
    """A job that waits because of its second image; the first one is refused."""
    service = JobService(runtime)
    bench.registry.fail("push_manifest", REFUSAL, repository="team/a")
    bench.registry.fail("push_blob", OUTAGE, repository="team/b")
    job = await upload(service, TWO)
    await Runner(runtime).run(job.id)
    return service, await service.get(job.id)


async def test_a_refusal_fails_the_job_at_once_and_is_retryable(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_manifest", REFUSAL, repository="team/a")
    job = await upload(service, TWO)
    await Runner(runtime).run(job.id)
    failed = await service.get(job.id)
    assert (failed.state, states(failed)) == (JobState.FAILED, [ImageState.FAILED, ImageState.PUSHED])
    assert failed.problem is not None
    assert (failed.problem.code, failed.problem.retryable, failed.next_attempt_at) == ("registry_error", True, None)


async def test_a_refused_image_stays_failed_while_its_job_waits_for_another_one(bench: Bench) -> None:
    _, waits = await half_refused(bench, patient(bench))
    assert (waits.state, states(waits)) == (JobState.QUEUED, [ImageState.FAILED, ImageState.PENDING])
    assert waits.images[0].problem == REFUSAL.problem
    assert waits.problem is not None
    assert waits.problem.code == "registry_unreachable", "the outage is what it waits for"


async def test_a_refused_image_is_not_pushed_again_by_itself(bench: Bench) -> None:
    runtime = patient(bench)
    service, waits = await half_refused(bench, runtime)
    bench.registry._failures.clear()
    bench.registry.calls.clear()
    await Runner(runtime).run(waits.id)
    failed = await service.get(waits.id)
    assert (failed.state, states(failed)) == (JobState.FAILED, [ImageState.FAILED, ImageState.PUSHED])
    assert {call.repository for call in bench.registry.calls} == {"team/b"}
    assert failed.problem is not None
    assert failed.problem.code == "registry_error"


async def test_a_retry_by_hand_pushes_refused_images_too(bench: Bench) -> None:
    runtime = patient(bench)
    service, waits = await half_refused(bench, runtime)
    bench.registry._failures.clear()
    again = await service.retry(waits.id)
    assert states(again) == [ImageState.PENDING, ImageState.PENDING]
    await Runner(runtime).run(waits.id)
    assert (await service.get(waits.id)).state is JobState.SUCCEEDED


async def test_what_010_stored_of_an_outage_is_read_as_one(bench: Bench) -> None:
    """It wrote no `outage`."""
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", OUTAGE)
    job = await upload(service)
    await Runner(runtime).run(job.id)
    row = dump_job(await service.get(job.id))
    problem = dict(row["problem"])
    assert problem.pop("outage") is True
    read = load_job({**row, "problem": problem})
    assert read.problem == OUTAGE.problem
