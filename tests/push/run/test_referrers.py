"""What hangs on an image travels with it, and is listed where the registry keeps no list itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from app.errors import RegistryFault, RegistryRejected
from app.oci import Descriptor, Digest, media_types, new_manifest
from app.push import ImageState, PushResources, execute
from app.push.run.referrers_tag import ReferrersTags, referrers_tag
from app.push.run.tag_locks import TagLocks
from tests.push.given import prepared, pushed, surveyed
from tests.support.archives import (
    Entry,
    Node,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
)
from tests.support.fake_registry import FakeRegistry

NODE = oci_image(image({"a": b"app"}))
SBOM = oci_artifact(b"sbom", artifact_type="application/vnd.example.sbom", subject=NODE)
SIGNATURE = oci_artifact(b"signature", subject=NODE)
OF_SBOM = oci_artifact(b"signature of the sbom", subject=SBOM)
NAMED = entry(NODE, ref="example.com/app:1")


def hung(node: Node, suffix: str = "") -> str:
    return node.digest.replace(":", "-") + suffix


TAG = hung(NODE)


@pytest.fixture
def registry() -> FakeRegistry:
    """As distribution 2.8: it takes a manifest with a subject and keeps no list."""
    return FakeRegistry(lists_referrers=False)


def listed(registry: FakeRegistry, tag: str = TAG) -> list[dict[str, Any]]:
    members = json.loads(registry.manifest("app", tag))
    assert members["mediaType"] == media_types.OCI_INDEX
    entries: list[dict[str, Any]] = members["manifests"]
    return entries


def digests(registry: FakeRegistry, tag: str = TAG) -> list[str]:
    return [item["digest"] for item in listed(registry, tag)]


async def test_a_registry_without_a_list_gets_one_with_what_a_referrer_is(registry: FakeRegistry) -> None:
    annotated = replace(SBOM, raw=SBOM.raw[:-1] + b',"annotations":{"made":"today"}}')
    run = await pushed(registry, oci_layout([NAMED, entry(annotated), entry(SIGNATURE)]))
    assert run.states == [ImageState.PUSHED]
    assert listed(registry)[0] == {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": annotated.digest,
        "size": len(annotated.raw),
        "artifactType": "application/vnd.example.sbom",
        "annotations": {"made": "today"},
    }
    assert digests(registry) == [annotated.digest, SIGNATURE.digest]


async def test_a_registry_that_lists_referrers_itself_gets_no_tag() -> None:
    registry = FakeRegistry()
    await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    assert {tag for _, tag in registry.tags} == {"1"}


async def test_the_same_again_is_present_and_changes_no_list(registry: FakeRegistry) -> None:
    tar = oci_layout([NAMED, entry(SBOM)])
    await pushed(registry, tar)
    registry.calls.clear()
    assert (await pushed(registry, tar)).states == [ImageState.ALREADY_PRESENT]
    assert registry.count("push_manifest", "push_blob") == 0


async def test_a_list_that_could_not_be_written_is_written_the_next_time(registry: FakeRegistry) -> None:
    tar = oci_layout([NAMED, entry(SBOM)])
    broken = FakeRegistry(lists_referrers=False)
    broken.fail("push_manifest", RegistryFault("no"), what=TAG)
    assert (await pushed(broken, tar)).problem().code == "registry_error"
    registry.blobs, registry.manifests, registry.tags = broken.blobs, broken.manifests, broken.tags
    assert (await surveyed(registry, tar)).states == [ImageState.ALREADY_PRESENT]
    run = await pushed(registry, tar)
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert digests(registry) == [SBOM.digest]


async def test_what_others_put_into_the_list_stays(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    manifest = oci_index([SBOM], annotations={"theirs": "too"})
    descriptor = replace(an_index(), digest=Digest.parse(manifest.digest), size=len(manifest.raw))
    await registry.push_manifest("app", TAG, (descriptor, manifest.raw))
    await pushed(registry, oci_layout([NAMED, entry(SIGNATURE)]))
    assert digests(registry) == [SBOM.digest, SIGNATURE.digest]
    assert json.loads(registry.manifest("app", TAG))["annotations"] == {"theirs": "too"}


def an_index() -> Descriptor:
    return Descriptor(media_types.OCI_INDEX, Digest.of(b""), 0)


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"manifests":[1]}', b"not json"])
async def test_something_else_under_the_tag_of_the_list_is_told_of_and_left(registry: FakeRegistry, raw: bytes) -> None:
    await pushed(registry, oci_layout([NAMED]))
    other = oci_index([NODE])
    descriptor = replace(an_index(), digest=Digest.parse(other.digest), size=len(other.raw))
    await registry.push_manifest("app", TAG, (descriptor, other.raw))
    stored = registry.manifests["app", Digest.parse(other.digest)]
    registry.manifests["app", Digest.parse(other.digest)] = replace(stored, raw=raw)
    run = await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", TAG) == raw
    assert len([notice for notice in run.notices if TAG in notice]) == 1


async def test_an_image_under_the_tag_of_the_list_is_left(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, entry(NODE, ref=f"example.com/app:{TAG}")]))
    run = await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    assert registry.manifest("app", TAG) == NODE.raw
    assert [notice for notice in run.notices if TAG in notice]


async def test_referrers_of_referrers_go_along_and_are_listed_by_what_they_refer_to(registry: FakeRegistry) -> None:
    run = await pushed(registry, oci_layout([entry(OF_SBOM), NAMED, entry(SBOM)]))
    assert run.states == [ImageState.PUSHED]
    assert digests(registry) == [SBOM.digest]
    assert digests(registry, hung(SBOM)) == [OF_SBOM.digest]


async def test_a_subject_may_stand_in_an_index_and_in_an_image_that_has_a_name(registry: FakeRegistry) -> None:
    index = oci_index([oci_image(image({"b": b"more"}), platform="linux/amd64")], subject=NODE.descriptor)
    patch = oci_image(image({"c": b"patch"}), subject=NODE)
    tar = oci_layout([NAMED, entry(index), entry(patch, ref="example.com/app:patch")])
    run = await pushed(registry, tar)
    assert run.states == [ImageState.PUSHED, ImageState.PUSHED]
    assert set(digests(registry)) == {index.digest, patch.digest}
    config = next(item for item in listed(registry) if item["digest"] == patch.digest)
    assert config["artifactType"] == media_types.OCI_CONFIG
    assert "artifactType" not in next(item for item in listed(registry) if item["digest"] == index.digest)


async def test_pushes_at_once_lose_no_referrer(registry: FakeRegistry) -> None:
    resources = PushResources()
    artifacts = [oci_artifact(b"%d" % number, subject=NODE) for number in range(6)]
    runs = [prepared(oci_layout([NAMED, entry(artifact)])) for artifact in artifacts]
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(execute(run.plan, run.sources, registry, run.events.append, resources=resources))
    assert set(digests(registry)) == {artifact.digest for artifact in artifacts}


async def test_what_is_merged_with_a_subject_gets_no_list_where_the_registry_keeps_one() -> None:
    registry = FakeRegistry()
    patch = oci_image(image({"c": b"patch"}, platform="linux/arm64"), subject=NODE)
    await pushed(registry, oci_layout([NAMED]))
    await pushed(registry, oci_layout([entry(patch, ref="example.com/app:1")]), on_existing_tag="merge-with-retain")
    assert len(digests(registry, "1")) == 2
    assert {tag for _, tag in registry.tags} == {"1"}


async def test_a_tag_that_is_called_as_the_list_of_its_own_subject_can_be_merged(registry: FakeRegistry) -> None:
    patch = oci_image(image({"c": b"patch"}), subject=NODE, platform="linux/amd64")
    await pushed(registry, oci_layout([entry(oci_index([NODE]), ref=f"example.com/app:{TAG}")]))
    tar = oci_layout([entry(patch, ref=f"example.com/app:{TAG}")])
    async with asyncio.timeout(30):
        run = await pushed(registry, tar, on_existing_tag="merge-with-overwrite")
    assert run.states == [ImageState.PUSHED]
    assert digests(registry) == [NODE.digest, patch.digest]


def test_the_tag_of_a_list_is_cut_as_the_specification_says() -> None:
    assert referrers_tag(Digest("sha512", "a" * 128)) == "sha512-" + "a" * 64


async def test_a_referrer_is_listed_once_and_what_refers_to_nothing_never(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    lists = ReferrersTags(registry, TagLocks())
    for _ in range(2):
        await lists.add("app", [new_manifest(SBOM.raw, media_types.OCI_MANIFEST)])
    plain = new_manifest(NODE.raw, media_types.OCI_MANIFEST)
    assert await lists.add("app", [plain]) == []
    assert await lists.contains("app", plain)
    assert digests(registry) == [SBOM.digest]


# --- tied by the name of a tag -------------------------------------------------------------------------------------


def cosign(*suffixes: str) -> list[Entry]:
    return [entry(oci_artifact(suffix.encode()), ref=hung(NODE, suffix)) for suffix in suffixes]


@pytest.mark.parametrize(("named", "rename"), [("example.com/app:1", ()), ("1", ("1=app:1",))])
async def test_cosigns_tags_go_to_the_repository_of_their_image(
    registry: FakeRegistry, named: str, rename: tuple[str, ...]
) -> None:
    tar = oci_layout([*cosign(".sig", ".att", ".sbom"), entry(NODE, ref=named)])
    run = await pushed(registry, tar, rename=rename)
    assert run.states == [ImageState.PUSHED]
    assert {tag for _, tag in registry.tags} == {"1", *(hung(NODE, suffix) for suffix in (".sig", ".att", ".sbom"))}
    assert registry.manifest("app", hung(NODE, ".sig")) == oci_artifact(b".sig").raw
    registry.calls.clear()
    again = await pushed(registry, tar, rename=rename)
    assert again.states == [ImageState.ALREADY_PRESENT]
    assert {call.verb for call in registry.calls} == {"find_manifest"}


async def test_what_is_there_of_the_tied_tags_is_not_pushed_again(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, *cosign(".sig")]))
    registry.calls.clear()
    run = await pushed(registry, oci_layout([NAMED, *cosign(".sig", ".att")]))
    assert run.states == [ImageState.PUSHED]
    assert [call.what for call in registry.calls if call.verb == "push_manifest"] == [hung(NODE, ".att")]


async def test_a_signature_of_a_child_goes_where_its_index_goes(registry: FakeRegistry) -> None:
    child = replace(NODE, platform="linux/amd64")
    tar = oci_layout([entry(oci_index([child]), ref="example.com/app:1"), *cosign(".sig")])
    await pushed(registry, tar, rename=["example.com/app:1=app:renamed"])
    assert {tag for _, tag in registry.tags} == {"renamed", hung(NODE, ".sig")}


async def test_a_list_of_referrers_in_the_layout_arrives_as_it_is(registry: FakeRegistry) -> None:
    fallback = oci_index([SBOM, SIGNATURE], annotations={"by": "regctl"})
    tar = oci_layout([NAMED, entry(fallback, ref=TAG), entry(SBOM)])
    run = await pushed(registry, tar)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", TAG) == fallback.raw
    assert (await pushed(registry, tar)).states == [ImageState.ALREADY_PRESENT]


async def test_a_list_of_referrers_in_the_layout_never_replaces_one_that_is_there(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, entry(SIGNATURE)]))
    await pushed(registry, oci_layout([NAMED, entry(oci_index([SBOM]), ref=TAG)]))
    assert digests(registry) == [SIGNATURE.digest, SBOM.digest]


async def test_a_signature_that_is_there_counts_as_any_tag(registry: FakeRegistry) -> None:
    await pushed(registry, oci_layout([NAMED, *cosign(".sig")]))
    before = registry.manifest("app", hung(NODE, ".sig"))
    other = oci_layout([NAMED, entry(oci_artifact(b"another"), ref=hung(NODE, ".sig"))])
    for how in ("skip", "merge-with-retain"):
        await pushed(registry, other, on_existing_tag=how)
        assert registry.manifest("app", hung(NODE, ".sig")) == before
    run = await pushed(registry, other, on_existing_tag="error")
    assert run.problem().code == "tag_exists"
    await pushed(registry, other)
    assert registry.manifest("app", hung(NODE, ".sig")) == oci_artifact(b"another").raw


async def test_a_refused_referrer_is_told_and_the_image_has_its_tag(registry: FakeRegistry) -> None:
    registry.fail("push_manifest", RegistryRejected("MANIFEST_INVALID"), what=SBOM.digest)
    run = await pushed(registry, oci_layout([NAMED, entry(SBOM)]))
    assert run.problem().code == "registry_rejected"
    assert registry.manifest("app", "1") == NODE.raw
