"""index.json that is the image itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.archive import Archive
from app.archive.formats.layout.index_as_image import NOTE
from app.oci import Descriptor, Digest, media_types
from tests.push.given import pushed
from tests.support.archives import (
    Entry,
    Member,
    attestation,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    oci_members,
    tar,
    to_json,
)
from tests.support.fake_registry import FakeRegistry
from tests.support.opening import opened

AMD = oci_image(image({"a": b"amd"}), platform="linux/amd64")
ARM = oci_image(image({"a": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
BOTH = [entry(AMD), entry(ARM)]


def index_of(data: list[Entry]) -> bytes:
    return next(member.data for member in oci_members(data) if member.name == "index.json")


def root(archive: Archive) -> Descriptor:
    (only,) = archive.images
    assert isinstance(only.root, Descriptor)
    return only.root


@pytest.mark.parametrize("listed", [BOTH, [entry(AMD), entry(attestation(AMD)), entry(ARM), entry(attestation(ARM))]])
def test_platforms_without_names_are_one_image(listed: list[Entry]) -> None:
    archive = opened(oci_layout(listed))
    assert root(archive).digest == Digest.of(index_of(listed))
    assert [str(platform) for platform in archive.images[0].platforms] == ["linux/amd64", "linux/arm64"]
    assert NOTE in archive.notes


async def test_it_is_pushed_under_the_given_name_byte_for_byte() -> None:
    registry = FakeRegistry()
    await pushed(registry, oci_layout(BOTH), tag="team/app:1")
    assert registry.manifest("team/app", "1") == index_of(BOTH)
    assert {str(digest) for _, digest in registry.manifests} >= {AMD.digest, ARM.digest}


async def test_it_can_be_cut_to_a_platform() -> None:
    registry = FakeRegistry()
    await pushed(registry, oci_layout(BOTH), tag="team/app:1", platforms="linux/arm64")
    assert [load["digest"] for load in json.loads(registry.manifest("team/app", "1"))["manifests"]] == [ARM.digest]


def test_a_list_that_holds_a_signature_too_is_no_image() -> None:
    tied = entry(oci_artifact(b"tied"), ref=AMD.digest.replace(":", "-") + ".sig")
    assert len(opened(oci_layout([*BOTH, tied])).images) == 2


@pytest.mark.parametrize(
    "listed",
    [
        [entry(AMD)],
        [entry(AMD, ref="v1"), entry(ARM)],
        [entry(AMD, ref="a/b:1"), entry(ARM, ref="a/c:1")],
        [*BOTH, entry(oci_index([AMD]))],
        [*BOTH, entry(oci_artifact(b"thing"))],
        [entry(AMD), entry(oci_image(image({"b": b"2"}), platform="linux/amd64"))],
        [*BOTH, entry(attestation(oci_artifact(b"elsewhere")))],
        [*BOTH, entry(AMD)],
        [*BOTH, entry(oci_artifact(b"sbom", subject=AMD))],
    ],
)
def test_anything_that_may_be_an_image_of_its_own_stays_one(listed: list[Entry]) -> None:
    archive = opened(oci_layout(listed))
    assert Digest.of(index_of(listed)) not in archive.manifests


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    members = json.loads(index_of(BOTH))
    change(members)
    index = Member("index.json", to_json(members))
    return tar(index if member.name == "index.json" else member for member in oci_members(BOTH))


def test_an_index_json_that_no_registry_would_take_is_a_list_of_images() -> None:
    assert len(opened(changed(lambda members: members["manifests"][0].pop("mediaType"))).images) == 2
    assert len(opened(changed(lambda members: members.update(mediaType=media_types.DOCKER_LIST))).images) == 2
    assert len(opened(changed(lambda members: members.update(more="x" * (4 << 20)))).images) == 2
    assert len(opened(changed(lambda members: members.pop("mediaType"))).images) == 1
