"""A job with images that cannot be pushed: every one has its own problem; `keep_going` pushes the others."""

from __future__ import annotations

import pytest

from app.errors import MissingContent, UnknownFormat
from app.jobs import JobRequest, JobState
from app.push import ImageState, PushOptions
from tests.jobs.bench import Bench, ended, upload
from tests.support.archives import Member, docker_members, docker_save, image, tagged, tar

IMAGES = [tagged(image({"x": b"%d" % number}), f"example.com/a{number}:1") for number in range(3)]
LAYERS = [sample.diff_ids[0].removeprefix("sha256:") + ".tar" for sample in IMAGES]
BROKEN = tar(member for member in docker_members(IMAGES, style="podman") if member.name not in LAYERS[1:])
KEEP = JobRequest(PushOptions(keep_going=True))
CODES = [None, "missing_content", "missing_content"]


async def test_a_refused_upload_has_the_problem_of_every_image_in_its_document(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(MissingContent, match="2 of 3 images cannot be pushed"):
            await upload(service, BROKEN)
        (brief,), _ = await service.page()
        job = await service.get(brief.id)
    assert job.state is JobState.FAILED
    assert {image.state for image in job.images} == {ImageState.FAILED}
    details = [image.problem.detail for image in job.images if image.problem is not None]
    assert "2 of the 3 images" in details[0]
    assert ["a1:1" in details[1], "a2:1" in details[2]] == [True, True]
    assert bench.registry.tags == {}


async def test_the_good_images_of_an_upload_are_pushed_and_the_job_is_failed(bench: Bench) -> None:
    async with bench.service() as service:
        job = await upload(service, BROKEN, KEEP)
        assert [image.problem and image.problem.code for image in job.images] == CODES
        done = await ended(service, job)
    assert done.state is JobState.FAILED
    assert [image.state for image in done.images] == [ImageState.PUSHED, ImageState.FAILED, ImageState.FAILED]
    assert [image.problem and image.problem.code for image in done.images] == CODES
    assert done.problem is not None
    assert done.problem.detail.startswith("2 of 3 images failed; the first: ")
    assert bench.registry.manifest("a0", "1")


async def test_the_same_from_a_path_and_again(bench: Bench) -> None:
    path = bench.put("x.tar", BROKEN)
    async with bench.service() as service:
        request = JobRequest(PushOptions(keep_going=True), paths=(path,))
        done = await ended(service, await service.submit_paths(request))
        again = await ended(service, await service.retry(done.id))
    for job in (done, again):
        assert job.state is JobState.FAILED
        assert [image.problem and image.problem.code for image in job.images] == CODES
    assert again.images[0].state is ImageState.ALREADY_PRESENT


@pytest.mark.parametrize("dry_run", [False, True])
async def test_an_archive_that_cannot_be_read_does_not_stop_the_others(bench: Bench, dry_run: bool) -> None:
    whole, unreadable = docker_save(IMAGES[:1]), tar([Member("notes.txt", b"nothing to push")])
    async with bench.service() as service:
        with pytest.raises(UnknownFormat):
            await upload(service, [unreadable, whole])
        request = JobRequest(PushOptions(keep_going=True, dry_run=dry_run))
        done = await ended(service, await upload(service, [unreadable, whole], request))
    assert done.state is JobState.FAILED
    assert [archive.format for archive in done.archives] == [None, "docker-archive"]
    assert [image.problem and image.problem.code for image in done.images] == ["unknown_format", None]
    assert done.images[0].digest is None
    assert bool(bench.registry.tags) is not dry_run
