"""The media types that a registry gets, and what is done where it takes only OCI's."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.errors import InvalidRequest, RegistryRejected
from app.oci import Descriptor, media_types
from app.push import ImageState
from tests.push.given import planned, pushed
from tests.support.archives import docker_save, entry, image, oci_image, oci_index, oci_layout, tagged
from tests.support.fake_registry import FakeRegistry

ONE = tagged(image({"a": b"1"}), "example.com/app:1")
TWO = tagged(image({"a": b"2"}), "example.com/other:1")
DOCKER = frozenset({media_types.DOCKER_MANIFEST, media_types.DOCKER_LIST})


class OnlyOCI(FakeRegistry):
    """zot as it comes: 415 for Docker's types."""

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        await asyncio.sleep(0)  # others come in between
        if manifest[0].media_type in DOCKER:
            raise RegistryRejected("415 MANIFEST_INVALID: media type", media_type_refused=True)
        return await super().push_manifest(repository, reference, manifest)


def media_type(registry: FakeRegistry, repository: str = "app") -> str:
    found: str = json.loads(registry.manifest(repository, "1"))["mediaType"]
    return found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("keep", media_types.DOCKER_MANIFEST),
        ("docker", media_types.DOCKER_MANIFEST),
        ("oci", media_types.OCI_MANIFEST),
    ],
)
async def test_a_docker_archive_gets_the_types_that_are_asked_for(wanted: str, found: str) -> None:
    registry = FakeRegistry()
    for state in (ImageState.PUSHED, ImageState.ALREADY_PRESENT):
        run = await pushed(registry, docker_save([ONE]), media_types=wanted)
        assert run.states == [state]
        assert media_type(registry) == found


async def test_an_image_of_the_other_family_is_another_image_where_a_family_is_asked_for() -> None:
    registry = FakeRegistry()
    await pushed(registry, docker_save([ONE]))
    assert (await pushed(registry, docker_save([ONE]), media_types="oci")).states == [ImageState.PUSHED]
    assert (await pushed(registry, docker_save([ONE]))).states == [ImageState.ALREADY_PRESENT]
    assert (await pushed(registry, docker_save([ONE]), media_types="docker")).states == [ImageState.PUSHED]


async def test_what_tarmac_makes_is_made_again_where_dockers_types_are_refused() -> None:
    registry = OnlyOCI()
    run = await pushed(registry, docker_save([ONE, TWO]))
    assert run.states == [ImageState.PUSHED, ImageState.PUSHED]
    assert media_type(registry) == media_type(registry, "other") == media_types.OCI_MANIFEST
    assert len(run.notices) == 1
    again = await pushed(registry, docker_save([ONE, TWO]))
    assert again.states == [ImageState.ALREADY_PRESENT] * 2


class OnlyOCITogether(OnlyOCI):
    """Refuses two images at the same moment."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = asyncio.Barrier(2)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        if manifest[0].media_type in DOCKER:
            await self.barrier.wait()
        return await super().push_manifest(repository, reference, manifest)


async def test_what_is_refused_for_two_images_at_once_is_told_once() -> None:
    registry = OnlyOCITogether()
    run = await pushed(registry, docker_save([ONE, TWO]))
    assert run.states == [ImageState.PUSHED, ImageState.PUSHED]
    assert len(run.notices) == 1


async def test_what_lies_in_the_archive_is_converted_only_on_request() -> None:
    registry = OnlyOCI()
    tar = oci_layout([entry(oci_index([oci_image(ONE, docker=True)], docker=True), ref="example.com/app:1")])
    run = await pushed(registry, tar)
    assert run.problem().code == "registry_rejected"
    assert "pass media_types=oci" in run.problem().detail
    assert (await pushed(registry, tar, media_types="oci")).states == [ImageState.PUSHED]
    assert media_type(registry) == media_types.OCI_INDEX


async def test_dockers_types_that_were_asked_for_are_not_replaced() -> None:
    run = await pushed(OnlyOCI(), docker_save([ONE]), media_types="docker")
    assert run.states == [ImageState.FAILED]


async def test_a_registry_that_refuses_both_is_not_asked_for_ever() -> None:
    registry = OnlyOCI()
    registry.fail("push_manifest", RegistryRejected("no", media_type_refused=True))
    run = await pushed(registry, docker_save([ONE]))
    assert run.problem().detail == "no"
    assert registry.count("push_manifest") == 1


def test_zstd_and_dockers_types_cannot_be_had_together() -> None:
    with pytest.raises(InvalidRequest, match="zstd"):
        planned(docker_save([ONE]), media_types="docker", layer_compression="zstd")
