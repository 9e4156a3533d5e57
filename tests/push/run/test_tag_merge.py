"""on_existing_tag=merge-with-…: one index of what stands under the tag and of what comes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from app.errors import LimitExceeded
from app.oci import MAX_MANIFEST_BYTES, Digest, Manifest, Platform, media_types, new_manifest
from app.push import ImageState, PushResources, execute
from app.push.run.tag_locks import TagLocks
from app.push.run.tag_merge import MergeSide, merge_sides, side_of
from tests.push.given import Run, prepared, pushed, surveyed
from tests.support.archives import (
    Member,
    Node,
    attestation,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    oci_members,
    tagged,
    tar,
    to_json,
)
from tests.support.fake_registry import FakeRegistry

OVERWRITE, RETAIN = "merge-with-overwrite", "merge-with-retain"
NAME = "example.com/app:1"
AMD = oci_image(image({"a": b"amd"}), platform="linux/amd64")
AMD2 = oci_image(image({"a": b"amd, newer"}), platform="linux/amd64")
ARM = oci_image(image({"a": b"arm"}, platform="linux/arm64/v8"), platform="linux/arm64/v8")
S390 = oci_image(image({"a": b"s390"}, platform="linux/s390x"), platform="linux/s390x")
DOCKER_AMD = tagged(image({"a": b"plain amd"}), NAME)
DOCKER_ARM = tagged(image({"a": b"plain arm"}, platform="linux/arm64"), NAME)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def archive(node: Node) -> bytes:
    return oci_layout([entry(node, ref=NAME)])


async def push(registry: FakeRegistry, tar: bytes, how: str = "overwrite") -> Run:
    return await pushed(registry, tar, on_existing_tag=how)


def document(registry: FakeRegistry, tag: str = "1") -> dict[str, Any]:
    members: dict[str, Any] = json.loads(registry.manifest("app", tag))
    return members


def listed(registry: FakeRegistry) -> list[str]:
    return [item["digest"] for item in document(registry)["manifests"]]


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_where_there_is_no_tag_the_image_is_pushed_as_it_is(registry: FakeRegistry, how: str) -> None:
    docker = oci_index([AMD, ARM], docker=True)
    run = await push(registry, archive(docker), how)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") == docker.raw
    again = await push(registry, archive(docker), how)
    assert again.states == [ImageState.ALREADY_PRESENT]


async def test_overwriting_replaces_the_platforms_of_the_archive_and_keeps_the_others(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD, ARM], annotations={"kept": "yes"})))
    ours = oci_index([AMD2, S390])
    run = await push(registry, archive(ours), OVERWRITE)
    assert run.states == [ImageState.PUSHED]
    assert listed(registry) == [ARM.digest, AMD2.digest, S390.digest]
    assert document(registry)["annotations"] == {"kept": "yes"}
    merged = Digest.of(registry.manifest("app", "1"))
    assert run.last().digest == merged
    assert [notice for notice in run.notices if str(merged) in notice and ours.digest in notice]


async def test_retaining_adds_only_the_platforms_that_are_not_there(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD, ARM])))
    run = await push(registry, archive(oci_index([AMD2, S390])), RETAIN)
    assert run.states == [ImageState.PUSHED]
    assert listed(registry) == [AMD.digest, ARM.digest, S390.digest]


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_the_same_merge_again_changes_nothing_and_sends_nothing(registry: FakeRegistry, how: str) -> None:
    await push(registry, archive(oci_index([AMD, ARM])))
    ours = archive(oci_index([S390, attestation(S390)]))
    await push(registry, ours, how)
    before = registry.manifest("app", "1")
    registry.calls.clear()
    run = await push(registry, ours, how)
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert registry.manifest("app", "1") == before
    assert [call.verb for call in registry.calls] == ["read_manifest"]


async def test_where_all_platforms_are_there_retaining_skips_the_image(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD, ARM])))
    before = registry.manifest("app", "1")
    run = await push(registry, archive(oci_index([AMD2])), RETAIN)
    assert run.states == [ImageState.SKIPPED]
    assert registry.manifest("app", "1") == before


async def test_an_index_that_replaces_all_of_the_other_arrives_byte_for_byte(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD], docker=True)))
    ours = oci_index([AMD2, ARM])
    run = await push(registry, archive(ours), OVERWRITE)
    assert registry.manifest("app", "1") == ours.raw
    assert run.last().digest == Digest.parse(ours.digest)
    assert run.notices == []


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
@pytest.mark.parametrize("docker", [True, False])
async def test_the_media_type_of_the_index_that_stands_there_stays(
    registry: FakeRegistry, how: str, docker: bool
) -> None:
    await push(registry, archive(oci_index([AMD], docker=docker)))
    await push(registry, archive(oci_index([ARM], docker=not docker)), how)
    assert document(registry)["mediaType"] == (media_types.DOCKER_LIST if docker else media_types.OCI_INDEX)
    assert listed(registry) == [AMD.digest, ARM.digest]


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_a_plain_image_that_stands_there_is_wrapped_with_the_platform_of_its_config(
    registry: FakeRegistry, how: str
) -> None:
    await push(registry, archive(replace(ARM, platform=None)))
    ours = oci_index([AMD, S390], docker=True, annotations={"ours": "yes"})
    await push(registry, archive(ours), how)
    members = document(registry)
    assert members["mediaType"] == media_types.DOCKER_LIST
    assert members["annotations"] == {"ours": "yes"}
    assert members["manifests"][0] == {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": ARM.digest,
        "size": len(ARM.raw),
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }
    assert listed(registry) == [ARM.digest, AMD.digest, S390.digest]


async def test_docker_archives_of_two_platforms_become_one_index(registry: FakeRegistry) -> None:
    await push(registry, docker_save([DOCKER_AMD]))
    run = await push(registry, docker_save([DOCKER_ARM]), OVERWRITE)
    assert run.states == [ImageState.PUSHED]
    members = document(registry)
    assert members["mediaType"] == media_types.DOCKER_LIST
    assert [member["platform"]["architecture"] for member in members["manifests"]] == ["amd64", "arm64"]
    for how in (OVERWRITE, RETAIN):
        registry.calls.clear()
        again = await push(registry, docker_save([DOCKER_ARM]), how)
        assert again.states == [ImageState.ALREADY_PRESENT]
        assert registry.count("push_blob", "push_manifest") == 0


async def test_a_docker_archive_replaces_its_platform_or_is_skipped(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD, ARM])))
    assert (await push(registry, docker_save([DOCKER_AMD]), RETAIN)).states == [ImageState.SKIPPED]
    assert listed(registry) == [AMD.digest, ARM.digest]
    assert (await push(registry, docker_save([DOCKER_AMD]), OVERWRITE)).states == [ImageState.PUSHED]
    assert len(listed(registry)) == 2
    assert listed(registry)[0] == ARM.digest


async def test_a_plain_image_takes_the_place_of_one_for_the_same_platform_without_an_index(
    registry: FakeRegistry,
) -> None:
    await push(registry, archive(AMD))
    assert (await push(registry, archive(AMD2), RETAIN)).states == [ImageState.SKIPPED]
    run = await push(registry, archive(AMD2), OVERWRITE)
    assert registry.manifest("app", "1") == AMD2.raw
    assert run.notices == []


@pytest.mark.parametrize(("how", "state"), [(OVERWRITE, ImageState.PUSHED), (RETAIN, ImageState.SKIPPED)])
async def test_what_tells_no_platform_is_replaced_or_retained(
    registry: FakeRegistry, how: str, state: ImageState
) -> None:
    artifact = oci_artifact(b"thing")
    await push(registry, archive(artifact))
    run = await push(registry, archive(AMD), how)
    assert run.states == [state]
    assert registry.manifest("app", "1") == (AMD.raw if how == OVERWRITE else artifact.raw)


@pytest.mark.parametrize(("how", "state"), [(OVERWRITE, ImageState.PUSHED), (RETAIN, ImageState.SKIPPED)])
async def test_an_artifact_of_the_archive_is_never_put_into_an_index(
    registry: FakeRegistry, how: str, state: ImageState
) -> None:
    await push(registry, archive(oci_index([AMD])))
    artifact = oci_artifact(b"thing")
    run = await push(registry, archive(artifact), how)
    assert run.states == [state]
    assert (registry.manifest("app", "1") == artifact.raw) == (how == OVERWRITE)


@pytest.mark.parametrize(("how", "state"), [(OVERWRITE, ImageState.PUSHED), (RETAIN, ImageState.SKIPPED)])
async def test_a_docker_archive_over_something_that_cannot_be_merged(
    registry: FakeRegistry, how: str, state: ImageState
) -> None:
    await push(registry, archive(oci_artifact(b"thing")))
    assert (await push(registry, docker_save([DOCKER_AMD]), how)).states == [state]


async def test_something_unreadable_under_the_tag_is_replaced(registry: FakeRegistry) -> None:
    await push(registry, archive(AMD))
    stored = registry.manifests["app", Digest.parse(AMD.digest)]
    registry.manifests["app", Digest.parse(AMD.digest)] = replace(stored, raw=b"[]")
    assert (await push(registry, archive(ARM), RETAIN)).states == [ImageState.SKIPPED]
    assert (await push(registry, archive(ARM), OVERWRITE)).states == [ImageState.PUSHED]


@pytest.mark.parametrize("config", [b"{", b"[]", b"{}"])
async def test_a_plain_image_whose_config_tells_nothing_is_replaced(registry: FakeRegistry, config: bytes) -> None:
    await push(registry, archive(oci_image(replace(image({"a": b"odd"}), config=config))))
    await push(registry, archive(ARM), OVERWRITE)
    assert registry.manifest("app", "1") == ARM.raw


async def test_a_plain_image_whose_config_is_gone_is_replaced_and_one_with_another_config_fails(
    registry: FakeRegistry,
) -> None:
    await push(registry, archive(AMD))
    key = "app", Digest.parse(next(iter(AMD.blobs)))
    registry.blobs[key] = b"damaged"
    assert (await push(registry, archive(ARM), OVERWRITE)).problem().code == "registry_error"
    del registry.blobs[key]
    assert (await push(registry, archive(ARM), OVERWRITE)).states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") == ARM.raw


async def test_attestations_follow_their_image_and_are_never_there_twice(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD, attestation(AMD), ARM, attestation(ARM)])))
    ours = archive(oci_index([AMD2, attestation(AMD2)]))
    for _ in range(2):
        await push(registry, ours, OVERWRITE)
        assert listed(registry) == [ARM.digest, attestation(ARM).digest, AMD2.digest, attestation(AMD2).digest]
    await push(registry, archive(oci_index([AMD, attestation(AMD), S390, attestation(S390)])), RETAIN)
    assert listed(registry)[4:] == [S390.digest, attestation(S390).digest]


async def test_referrers_of_a_merged_image_find_their_subject(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([ARM])))
    ours = oci_index([AMD])
    signature = oci_artifact(b"signature", subject=ours)
    tar = oci_layout([entry(ours, ref=NAME), entry(signature)])
    await push(registry, tar, OVERWRITE)
    assert registry.manifest("app", ours.digest) == ours.raw
    assert registry.manifest("app", signature.digest) == signature.raw


async def test_two_pushes_at_once_lose_nothing_of_each_other(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD])))
    resources = PushResources()
    runs = [prepared(archive(oci_index([node])), on_existing_tag=OVERWRITE) for node in (ARM, S390)]
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(execute(run.plan, run.sources, registry, run.events.append, resources=resources))
    assert set(listed(registry)) == {AMD.digest, ARM.digest, S390.digest}


async def test_what_comes_to_the_tag_between_looking_and_pushing_is_retained(registry: FakeRegistry) -> None:
    """Also where the tag is there by then, and holds the platform already."""
    run = prepared(archive(AMD2), on_existing_tag=RETAIN)
    registry.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(execute(run.plan, run.sources, registry, run.events.append))
        await registry.waiting.wait()
        gate, registry.gate = registry.gate, None
        await push(registry, archive(oci_index([AMD])))
        gate.set()
    assert listed(registry) == [AMD.digest]
    assert run.states == [ImageState.PUSHED]


async def test_a_dry_run_tells_what_merging_would_do(registry: FakeRegistry) -> None:
    await push(registry, archive(oci_index([AMD])))
    assert (await surveyed(registry, archive(ARM), on_existing_tag=RETAIN)).states == [ImageState.PLANNED]
    assert (await surveyed(registry, archive(AMD2), on_existing_tag=RETAIN)).states == [ImageState.SKIPPED]
    assert registry.count("push_manifest") == 2


def test_there_is_one_lock_for_a_tag_as_long_as_somebody_has_it() -> None:
    turns = TagLocks()
    lock = turns.lock("app", "1")
    assert turns.lock("app", "1") is lock
    assert turns.lock("app", "2") is not lock


def manifest(members: dict[str, Any]) -> Manifest:
    return new_manifest(to_json({"schemaVersion": 2, **members}), media_types.OCI_INDEX)


def windows(number: int, version: str | None) -> dict[str, Any]:
    platform = {"os": "windows", "architecture": "amd64", **({"os.version": version} if version else {})}
    digest = str(Digest.of(str(number).encode()))
    return {"mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": 1, "platform": platform}


def index_side(*entries: dict[str, Any]) -> MergeSide:
    side = side_of(manifest({"manifests": list(entries)}), None)
    assert side is not None
    return side


@pytest.mark.parametrize(("version", "count"), [("10.0.20348.1", 1), (None, 1), ("10.0.17763.1", 2)])
def test_versions_of_windows_are_told_apart_where_both_tell_them(version: str | None, count: int) -> None:
    there, ours = index_side(windows(1, "10.0.20348.1")), index_side(windows(2, version))
    merged = merge_sides(there, ours, retain=False)
    assert len(merged.manifests) == count


@pytest.mark.parametrize("retain", [True, False])
def test_entries_without_a_platform_stay_once(retain: bool) -> None:
    thing = {"mediaType": "application/vnd.example", "digest": str(Digest.of(b"x")), "size": 1}
    unknown = {**windows(3, None), "platform": {"os": "unknown", "architecture": "unknown"}}
    there, ours = index_side(thing, unknown), index_side(thing, unknown, windows(1, None))
    merged = merge_sides(there, ours, retain=retain)
    assert [str(manifest.digest) for manifest in merged.manifests] == [
        thing["digest"],
        unknown["digest"],
        windows(1, None)["digest"],
    ]


def test_an_empty_index_is_merged_too() -> None:
    there = index_side()
    there = MergeSide(manifest({"manifests": None}), there.entries)
    ours = index_side(windows(1, None))
    assert merge_sides(there, ours, retain=True) is ours.manifest
    assert side_of(there.manifest, None) == there


def test_a_platform_that_is_not_known_cannot_be_merged() -> None:
    plain = new_manifest(AMD.raw, media_types.OCI_MANIFEST)
    assert side_of(plain, Platform("unknown", "unknown")) is None


def test_an_index_that_grows_too_large_is_refused() -> None:
    large = "x" * (MAX_MANIFEST_BYTES // 2)
    there = index_side({**windows(1, None), "annotations": {"large": large}})
    ours = index_side(
        {**windows(2, "1"), "platform": {"os": "linux", "architecture": "s"}, "annotations": {"l": large}}
    )
    with pytest.raises(LimitExceeded):
        merge_sides(there, ours, retain=False)


# --- platforms that are not where one looks for them, and merges that cannot be made ----------------------------------


def without_platform(node: Node, platform: object) -> bytes:
    """A layout whose index.json says `platform` of its image, as archives of the .NET SDK."""
    members = oci_members([entry(replace(node, platform=None), ref=NAME)])
    index = json.loads(next(member.data for member in members if member.name == "index.json"))
    index["manifests"][0]["platform"] = platform
    return tar(Member(one.name, to_json(index)) if one.name == "index.json" else one for one in members)


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
@pytest.mark.parametrize(
    "platform", [{}, None, {"os": "linux"}, {"architecture": ""}, {"os": "unknown", "architecture": "unknown"}]
)
async def test_two_archives_that_say_no_platform_become_one_index(
    registry: FakeRegistry, platform: object, how: str
) -> None:
    for node in (AMD, ARM):
        run = await push(registry, without_platform(node, platform), how)
        assert run.states == [ImageState.PUSHED]
    assert listed(registry) == [AMD.digest, ARM.digest]
    told = [item["platform"] for item in document(registry)["manifests"]]
    assert told == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    again = await push(registry, without_platform(ARM, platform), how)
    assert again.states == [ImageState.ALREADY_PRESENT]


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_an_index_that_is_made_says_the_platforms_that_the_one_of_the_archive_does_not(
    registry: FakeRegistry, how: str
) -> None:
    await push(registry, archive(S390))
    members = json.loads(oci_index([AMD, ARM]).raw)
    for child in members["manifests"]:
        child["platform"] = {}
    ours = replace(oci_index([AMD, ARM]), raw=to_json(members))
    await push(registry, archive(ours), how)
    told = [item["platform"]["architecture"] for item in document(registry)["manifests"]]
    assert told == ["s390x", "amd64", "arm64"]
    again = await push(registry, archive(ours), how)
    assert again.states == [ImageState.ALREADY_PRESENT]


async def test_the_platform_of_the_config_counts_before_that_of_index_json(registry: FakeRegistry) -> None:
    await push(registry, archive(AMD))
    await push(registry, archive(replace(ARM, platform="linux/amd64")), OVERWRITE)
    assert listed(registry) == [AMD.digest, ARM.digest]


UNKNOWN = oci_image(image({"a": b"1"}, platform="unknown/unknown"))
ARTIFACT = oci_artifact(b"thing")
PLACES = {
    "our artifact": (archive(AMD), archive(ARTIFACT), "the image has no platform"),
    "our config": (archive(AMD), archive(UNKNOWN), "the image has no platform"),
    "their artifact": (archive(ARTIFACT), archive(AMD), "the content of the tag is not an index and has no platform"),
    "their config": (archive(UNKNOWN), archive(AMD), "the content of the tag is not an index and has no platform"),
    "their artifact, our docker archive": (
        archive(ARTIFACT),
        docker_save([DOCKER_AMD]),
        "the content of the tag is not an index and has no platform",
    ),
    "our docker archive": (
        archive(AMD),
        docker_save([tagged(image({"a": b"1"}, platform="unknown/unknown"), NAME)]),
        "the image has no platform",
    ),
}


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
@pytest.mark.parametrize("kind", PLACES)
async def test_a_merge_that_cannot_be_made_is_told_with_the_reason(registry: FakeRegistry, kind: str, how: str) -> None:
    there, ours, reason = PLACES[kind]
    await push(registry, there)
    before = registry.manifest("app", "1")
    dry = await surveyed(registry, ours, on_existing_tag=how)
    run = await push(registry, ours, how)
    stays = how == RETAIN
    assert run.states == [ImageState.SKIPPED if stays else ImageState.PUSHED]
    assert (registry.manifest("app", "1") == before) is stays
    for notices in (run.notices, dry.notices):
        (notice,) = [text for text in notices if text.startswith("registry.local:5000/app:1: ")]
        assert notice.endswith(f"{'unchanged' if stays else 'replaced'}: {reason}")


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_what_is_there_already_is_no_merge_that_could_not_be_made(registry: FakeRegistry, how: str) -> None:
    for _ in range(2):
        run = await push(registry, archive(ARTIFACT), how)
        assert not [text for text in run.notices if text.startswith("registry.local:5000/app:1: ")]


@pytest.mark.parametrize("how", [OVERWRITE, RETAIN])
async def test_a_signature_s_tag_is_never_merged_and_that_is_told(registry: FakeRegistry, how: str) -> None:
    def signed(content: bytes) -> bytes:
        tag = f"sha256-{AMD.digest[7:]}.sig"
        return oci_layout([entry(AMD, ref=NAME), entry(oci_artifact(content), ref=tag)])

    await push(registry, signed(b"first"))
    run = await push(registry, signed(b"second"), how)
    (notice,) = [text for text in run.notices if text.startswith(f"app:sha256-{AMD.digest[7:]}.sig: ")]
    assert notice.endswith("unchanged" if how == RETAIN else "replaced")
