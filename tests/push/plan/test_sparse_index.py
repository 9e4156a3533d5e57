"""Indexes of which the archive does not hold everything."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from app.errors import MissingContent, RegistryError, RegistryLost, RegistryRejected
from app.push import ImageState
from tests.push.given import planned, pushed
from tests.support.archives import (
    Node,
    attestation,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
)
from tests.support.fake_registry import FakeRegistry

AMD = oci_image(image({"a": b"amd"}), platform="linux/amd64")
ARM = oci_image(image({"a": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
S390 = oci_image(image({"a": b"s390"}, platform="linux/s390x"), platform="linux/s390x")
INDEX = oci_index([AMD, ARM, attestation(AMD), S390])
ARM_LAYER = list(ARM.blobs)[1]
WITHOUT = (ARM_LAYER, S390.digest)


def sparse(*without: str, index: Node = INDEX) -> bytes:
    return oci_layout([entry(index, ref="example.com/app:1")], without=without or WITHOUT)


def test_everything_that_is_missing_is_told_with_what_is_there() -> None:
    with pytest.raises(MissingContent) as refused:
        planned(sparse())
    told = str(refused.value)
    assert f"blob {ARM_LAYER} of manifest {ARM.digest}" in told
    assert f"manifest {S390.digest} (linux/s390x)" in told
    assert re.search(r"; [^;]* linux/amd64;", told)
    assert "allow_missing=true" in told
    assert "`platforms`" in told


def test_an_archive_of_which_no_platform_is_whole_says_so() -> None:
    with pytest.raises(MissingContent, match="no complete platform"):
        planned(sparse(AMD.digest, index=oci_index([AMD])))


def test_content_of_an_unknown_type_may_be_missing_too() -> None:
    odd = Node(b"odd", "application/vnd.example.odd")
    with pytest.raises(MissingContent, match=f"content {odd.digest}"):
        planned(sparse(odd.digest, index=oci_index([AMD, odd])))


def test_a_long_list_is_cut() -> None:
    children = [replace(AMD, raw=AMD.raw + b" " * n, platform=None) for n in range(1, 13)]
    with pytest.raises(MissingContent, match="and 2 more"):
        planned(sparse(*(child.digest for child in children), index=oci_index(children)))


def test_images_that_lack_nothing_are_not_told_of() -> None:
    tar = oci_layout(
        [entry(INDEX, ref="example.com/app:1"), entry(oci_index([AMD]), ref="example.com/whole:1")], without=WITHOUT
    )
    with pytest.raises(MissingContent) as refused:
        planned(tar)
    assert "example.com/whole" not in str(refused.value)
    assert planned(tar, images=["*/whole:*"]).images


def test_docker_archives_lack_nothing() -> None:
    assert planned(docker_save([tagged(image({"a": b"1"}), "a:1")]), allow_missing="true").images


async def test_the_platforms_that_are_there_can_be_picked() -> None:
    registry = FakeRegistry()
    run = await pushed(registry, sparse(), platforms="linux/amd64")
    assert run.states == [ImageState.PUSHED]
    listed = [load["digest"] for load in json.loads(registry.manifest("app", "1"))["manifests"]]
    assert listed == [AMD.digest, attestation(AMD).digest]


def test_a_platform_that_is_missing_cannot_be_picked() -> None:
    for platform in ("linux/arm64", "linux/s390x", "linux/amd64,linux/s390x"):
        with pytest.raises(MissingContent):
            planned(sparse(), platforms=platform)


class Lax(FakeRegistry):
    """A registry that takes sparse indexes, as image-spec lets it."""

    def _admit(self, repository: str, descriptor: object, raw: bytes) -> None:
        return


async def test_a_sparse_index_is_pushed_as_it_stands_where_that_is_allowed() -> None:
    registry = Lax()
    run = await pushed(registry, sparse(), allow_missing="true")
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") == INDEX.raw
    digests = {str(digest) for _, digest in registry.manifests}
    assert digests == {INDEX.digest, AMD.digest, attestation(AMD).digest}
    (note,) = [note for note in run.plan.notes if ARM_LAYER in note]
    assert S390.digest in note


async def test_a_whole_index_is_pushed_with_no_note_where_it_might_be_sparse() -> None:
    registry = FakeRegistry()
    run = await pushed(registry, oci_layout([entry(INDEX, ref="example.com/app:1")]), allow_missing="true")
    assert run.states == [ImageState.PUSHED]
    assert run.plan.notes == ()


@pytest.mark.parametrize("error", [RegistryRejected, RegistryLost])
async def test_a_registry_that_refuses_a_sparse_index_is_explained(error: type[RegistryError]) -> None:
    registry = FakeRegistry()
    registry.fail("push_manifest", error("MANIFEST_BLOB_UNKNOWN"), what="1")
    run = await pushed(registry, sparse(), allow_missing="true")
    problem = run.problem()
    assert problem.code == "registry_rejected"
    assert "MANIFEST_BLOB_UNKNOWN" in problem.detail
    assert "pass `platforms`" in problem.detail


def test_what_an_unnamed_child_listed_beside_its_index_lacks_is_the_affair_of_the_index() -> None:
    tar = oci_layout([entry(INDEX, ref="example.com/app:1"), entry(ARM), entry(S390)], without=WITHOUT)
    with pytest.raises(MissingContent, match=S390.digest):
        planned(tar)
    assert len(planned(tar, platforms="linux/amd64").images) == 1


def test_a_child_with_a_name_of_its_own_has_to_be_whole() -> None:
    tar = oci_layout([entry(oci_index([AMD, ARM])), entry(ARM, ref="a/b:arm")], without=[ARM_LAYER])
    with pytest.raises(MissingContent, match="a/b:arm"):
        planned(tar, tag="x:1", images=["a/b:arm"], allow_missing="true")


def test_a_sparse_referrer_of_an_image_is_refused_when_it_is_read() -> None:
    referrer = oci_artifact(b"thing", subject=AMD)
    with pytest.raises(MissingContent):
        planned(oci_layout([entry(AMD, ref="a/b:1"), entry(referrer)], without=[list(referrer.blobs)[1]]))
