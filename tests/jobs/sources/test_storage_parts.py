"""The numbered files of oc-mirror in one request: pushed as the one storage that they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.jobs import JobState
from app.push import PushOptions
from tests.jobs.bench import APP, REQUEST, Bench, ended, upload
from tests.support.archives import image, oci_image, oci_index, wrap
from tests.support.storage_tree import oc_mirror_parts

AMD = oci_image(image({"app": b"amd" * 500}), platform="linux/amd64")
ARM = oci_image(image({"app": b"arm" * 500}, platform="linux/arm64"), platform="linux/arm64")
MULTI = oci_index([AMD, ARM])
PARTS = oc_mirror_parts({"team/multi": {"1": MULTI}, "alone": {"1": AMD}}, 3)
TAGS = {("team/multi", "1"): MULTI.digest, ("alone", "1"): AMD.digest}


def tags(bench: Bench) -> dict[tuple[str, str], str]:
    return {(repository, tag): str(digest) for (repository, tag), digest in bench.registry.tags.items()}


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_the_parts_are_pushed_from_an_upload(bench: Bench, compression: str) -> None:
    async with bench.service() as service:
        sent = [wrap(part, compression) for part in PARTS]  # type: ignore[arg-type]
        done = await ended(service, await upload(service, sent))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert tags(bench) == TAGS
    assert [archive.format for archive in done.archives] == ["oc-mirror"] * 3
    assert {image.archive for image in done.images} == {done.archives[0].name}
    assert any("part 2 of 3 of one storage" in notice for notice in done.notices)


async def test_the_parts_are_pushed_from_a_path_beside_another_archive(bench: Bench) -> None:
    bench.put("app.tar", APP)
    for number, part in enumerate(PARTS, 1):
        bench.put(f"mirror_{number:06}.tar", part)
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/*",))))
    assert done.state is JobState.SUCCEEDED, done.problem
    assert tags(bench).keys() == {*TAGS, ("team/app", "1")}
    assert [archive.format for archive in done.archives] == ["docker-archive", *["oc-mirror"] * 3]


async def test_a_set_without_its_first_part_asks_for_it(bench: Bench) -> None:
    for number, part in enumerate(PARTS[1:], 2):
        bench.put(f"mirror_{number:06}.tar", part)
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=(f"{bench.roots}/*",))))
    assert done.state is JobState.FAILED
    assert done.problem is not None
    assert done.problem.code == "missing_content"
    assert tags(bench) == {}


async def test_what_is_picked_of_a_set_is_all_that_is_pushed(bench: Bench) -> None:
    async with bench.service() as service:
        done = await ended(
            service, await upload(service, PARTS, replace(REQUEST, options=PushOptions(images=("al*",))))
        )
    assert done.state is JobState.SUCCEEDED, done.problem
    assert tags(bench) == {("alone", "1"): AMD.digest}
