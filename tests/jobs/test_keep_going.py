"""A job with images that cannot be pushed: every one has its own problem; `keep_going` pushes the others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest

from app.errors import ArchiveError, MissingContent, TruncatedArchive, UnknownFormat
from app.jobs import Job, JobRequest, JobService, JobState
from app.push import ImageState, PushOptions
from tests.jobs.bench import Bench, chunks_of, ended, upload
from tests.support.archives import (
    Compress,
    Member,
    docker_members,
    docker_save,
    entry,
    image,
    oci_image,
    oci_layout,
    tagged,
    tar,
    wrap,
)

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


# --- archives that are no tar, or break off --------------------------------------------------------------------------

WHOLE = docker_save(IMAGES[:1])
NOISE = [random.Random(number).randbytes(200_000) for number in range(3)]
LISTED = oci_layout(
    [entry(oci_image(image({"x": noise})), ref=f"example.com/b{number}:1") for number, noise in enumerate(NOISE)]
)
CUT = {outer: wrap(LISTED, outer)[:-60_000] for outer in get_args(Compress)}
BAD = {
    "no tar": (b"\x89PNG" + b"no tar at all" * 100, "unknown_format"),
    "cut tar": (docker_save(IMAGES[1:2])[:2000], "truncated_archive"),
    "cut gzip": (wrap(docker_save(IMAGES[1:2]), "gzip")[:-30], "truncated_archive"),
    "bent zstd": (wrap(docker_save(IMAGES[1:2]), "zstd")[:40] + b"?" * 400, "truncated_archive"),
    "nothing": (tar([Member("notes.txt", b"nothing to push")]), "unknown_format"),
}


async def sent(service: JobService, archives: Sequence[bytes], request: JobRequest, key: str | None = None) -> Job:
    """As a form sends them that has its options first."""
    async with await service.begin(idempotency_key=key) as begun:
        begun.set_expected_request(request)
        for archive in archives:
            try:
                await begun.receive("x.tar", chunks_of(archive), len(archive))
            except ArchiveError as error:
                begun.add_refused(error)
        return await begun.submit(request)


async def submitted(service: JobService, bench: Bench, way: str, archives: Sequence[bytes], request: JobRequest) -> Job:
    if way == "upload":
        return await sent(service, archives, request)
    paths = tuple(bench.put(f"{number}.tar", archive) for number, archive in enumerate(archives))
    return await service.submit_paths(replace(request, paths=paths))


@pytest.mark.parametrize("way", ["upload", "path"])
@pytest.mark.parametrize("bad", BAD)
async def test_an_archive_that_is_bad_has_its_problem_and_the_others_are_pushed(
    bench: Bench, way: str, bad: str
) -> None:
    content, code = BAD[bad]
    async with bench.service() as service:
        done = await ended(service, await submitted(service, bench, way, [content, WHOLE], KEEP))
        assert done.state is JobState.FAILED
        document = done.document()
    problems = [archive["problem"] and archive["problem"]["code"] for archive in document["archives"]]
    assert problems == [code, None]
    assert [image.problem and image.problem.code for image in done.images] == [code, None]
    assert done.problem is not None
    assert done.problem.detail.startswith("1 of 2 images failed")
    assert bench.registry.manifest("a0", "1")


@pytest.mark.parametrize("way", ["upload", "path"])
async def test_one_bad_archive_alone_refuses_the_request(bench: Bench, way: str) -> None:
    async with bench.service() as service:
        if way == "upload":
            with pytest.raises(UnknownFormat):
                await submitted(service, bench, way, [BAD["no tar"][0]], KEEP)
            return
        done = await ended(service, await submitted(service, bench, way, [BAD["no tar"][0]], KEEP))
    assert done.problem is not None
    assert done.problem.code == "unknown_format"


@pytest.mark.parametrize("way", ["upload", "path"])
@pytest.mark.parametrize("outer", ["none", "gzip", "zstd", "xz"])
async def test_whole_images_of_an_archive_that_breaks_off_land(bench: Bench, way: str, outer: Compress) -> None:
    async with bench.service() as service:
        done = await ended(service, await submitted(service, bench, way, [CUT[outer]], KEEP))
    assert done.state is JobState.FAILED
    (archive,) = done.archives
    assert archive.problem is not None
    assert archive.problem.code == "truncated_archive"
    assert [image.state for image in done.images] == [ImageState.PUSHED, ImageState.PUSHED, ImageState.FAILED]
    assert [image.problem and image.problem.code for image in done.images] == [None, None, "missing_content"]


async def test_without_keep_going_an_archive_that_breaks_off_is_refused(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(TruncatedArchive):
            await upload(service, CUT["none"])
    assert bench.registry.tags == {}


async def test_a_replay_of_a_request_with_a_bad_archive_is_the_same_job(bench: Bench) -> None:
    async with bench.service() as service:
        first = await sent(service, [BAD["no tar"][0], WHOLE], KEEP, "one")
        again = await sent(service, [BAD["no tar"][0], WHOLE], KEEP, "one")
        assert again.id == first.id
        done = await ended(service, first)
        retried = await ended(service, await service.retry(done.id))
    assert [archive.problem and archive.problem.code for archive in retried.archives] == ["unknown_format", None]
    assert retried.state is JobState.FAILED
