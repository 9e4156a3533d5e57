"""When an image counts as there, and what becomes of tags that are taken."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.archive import Compression, DockerImage, DockerLayer, Extent
from app.errors import RegistryDenied
from app.oci import Descriptor, Digest, media_types
from app.push import ImageState, Outcome, dry_run
from app.push.plan.docker_manifest import make_manifest
from app.registry import StoredManifest
from tests.push.given import prepared, pushed, surveyed
from tests.support.archives import docker_save, entry, image, oci_artifact, oci_image, oci_index, oci_layout, tagged
from tests.support.fake_registry import FakeRegistry

APP = tagged(image({"bin/app": b"one"}, {"etc/app": b"two"}), "example.com/app:1")
OTHER = tagged(image({"bin/app": b"another"}), "example.com/app:1")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def types(registry: FakeRegistry, tag: str = "1") -> tuple[str, list[str]]:
    manifest = json.loads(registry.manifest("app", tag))
    return manifest["mediaType"], [layer["mediaType"] for layer in manifest["layers"]]


async def test_another_compression_is_another_push(registry: FakeRegistry) -> None:
    tar = docker_save([APP])
    await pushed(registry, tar)
    assert types(registry) == (media_types.DOCKER_MANIFEST, [media_types.DOCKER_LAYER_GZIP] * 2)
    for compression, expected in (
        ("zstd", (media_types.OCI_MANIFEST, [media_types.OCI_LAYER_ZSTD] * 2)),
        ("none", (media_types.DOCKER_MANIFEST, [media_types.DOCKER_LAYER] * 2)),
    ):
        assert (await pushed(registry, tar, layer_compression=compression)).states == [ImageState.PUSHED]
        assert types(registry) == expected
        assert (await pushed(registry, tar, layer_compression=compression)).states == [ImageState.ALREADY_PRESENT]


async def test_layers_are_described_as_they_are_stored(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([APP], compress="zstd"))
    assert types(registry) == (media_types.OCI_MANIFEST, [media_types.OCI_LAYER_ZSTD] * 2)
    assert (await pushed(registry, docker_save([APP], compress="zstd"))).states == [ImageState.ALREADY_PRESENT]


async def test_an_archive_of_both_kinds_keeps_the_media_types_of_its_own_manifest(registry: FakeRegistry) -> None:
    tar = oci_layout([entry(oci_image(APP, compression="none"), name="example.com/app:1")], hybrid=[APP])
    await pushed(registry, tar)
    assert types(registry) == (media_types.OCI_MANIFEST, [media_types.OCI_LAYER_GZIP] * 2)
    await pushed(registry, tar, layer_compression="none")
    assert types(registry) == (media_types.OCI_MANIFEST, [media_types.OCI_LAYER] * 2)


def test_the_manifest_that_is_made_is_the_same_each_time() -> None:
    config = Descriptor(media_types.DOCKER_CONFIG, Digest.of(b"{}"), 2)
    layer = DockerLayer(Digest.of(b"plain"), Extent(0, 5), Compression.NONE)
    made = make_manifest(DockerImage(config, (layer,)), [(Digest.of(b"gz"), 2)], Compression.GZIP)
    assert made.raw == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        b'"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":2,"digest":"%s"},'
        b'"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":2,"digest":"%s"}]}'
    ) % (str(config.digest).encode(), str(Digest.of(b"gz")).encode())


@pytest.mark.parametrize("kind", ["docker", "oci"])
async def test_a_tag_with_another_image_is_overwritten_unless_asked_otherwise(
    registry: FakeRegistry, kind: str
) -> None:
    def tar(sample: object) -> bytes:
        which = OTHER if sample is OTHER else APP
        return (
            docker_save([which]) if kind == "docker" else oci_layout([entry(oci_image(which), ref="example.com/app:1")])
        )

    await pushed(registry, tar(OTHER))
    before = registry.manifest("app", "1")
    registry.calls.clear()
    skipped = await pushed(registry, tar(APP), on_existing_tag="skip")
    refused = await pushed(registry, tar(APP), on_existing_tag="error")
    assert skipped.states == [ImageState.SKIPPED]
    assert refused.states == [ImageState.FAILED]
    assert refused.problem().code == "tag_exists"
    assert registry.count() == 2
    assert registry.manifest("app", "1") == before
    overwritten = await pushed(registry, tar(APP))
    assert overwritten.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") != before
    for mode in ("skip", "error"):
        assert (await pushed(registry, tar(APP), on_existing_tag=mode)).states == [ImageState.ALREADY_PRESENT]


async def test_skipping_leaves_free_names_to_be_given(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([OTHER]))
    before = registry.manifest("app", "1")
    both = docker_save([tagged(APP, "example.com/app:1", "example.com/app:2")])
    run = await pushed(registry, both, on_existing_tag="skip")
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") == before
    assert (await pushed(registry, both, on_existing_tag="skip")).states == [ImageState.SKIPPED]


@pytest.mark.parametrize(
    "there",
    [
        StoredManifest("application/vnd.docker.distribution.manifest.v1+json", Digest.of(b"{}"), b"{}"),
        StoredManifest(media_types.OCI_MANIFEST, Digest.of(b"{"), b"{"),
    ],
    ids=["schema 1", "no manifest"],
)
async def test_what_cannot_be_read_is_another_image(registry: FakeRegistry, there: StoredManifest) -> None:
    registry.tags["app", "1"] = there.digest
    registry.manifests["app", there.digest] = there
    assert (await pushed(registry, docker_save([APP]), on_existing_tag="skip")).states == [ImageState.SKIPPED]
    assert (await pushed(registry, docker_save([APP]))).states == [ImageState.PUSHED]


async def test_an_index_or_an_artifact_under_the_tag_is_another_image(registry: FakeRegistry) -> None:
    for node in (oci_index([oci_image(APP)]), oci_artifact(b"thing")):
        await pushed(registry, oci_layout([entry(node, ref="example.com/app:1")]))
        assert (await pushed(registry, docker_save([APP]), on_existing_tag="skip")).states == [ImageState.SKIPPED]


async def test_layers_of_an_unknown_kind_do_not_fit(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([APP]))
    raw = registry.manifest("app", "1").replace(b"diff.tar.gzip", b"diff.squashfs")
    there = StoredManifest(media_types.DOCKER_MANIFEST, Digest.of(raw), raw)
    registry.tags["app", "1"] = there.digest
    registry.manifests["app", there.digest] = there
    assert (await pushed(registry, docker_save([APP]))).states == [ImageState.PUSHED]


async def test_a_dry_run_asks_and_changes_nothing(registry: FakeRegistry) -> None:
    node = oci_image(image({"x": b"y"}))
    tar, oci = docker_save([APP]), oci_layout([entry(node, ref="example.com/oci:1")])
    run = await surveyed(registry, tar, oci)
    assert run.states == [ImageState.PLANNED] * 2
    assert registry.count("push_blob", "mount_blob", "push_manifest") == 0
    size = sum(step.extent.size for step in run.plan.blobs)
    assert run.notices == [f"a push would send {len(run.plan.blobs)} blobs of {size} bytes (before compression)"]
    assert run.last(1).digest == Digest.parse(node.digest)
    assert run.progress.percent == 100.0
    await pushed(registry, tar)
    again = await surveyed(registry, tar, oci)
    assert again.states == [ImageState.ALREADY_PRESENT, ImageState.PLANNED]


async def test_a_dry_run_knows_what_need_not_be_sent(registry: FakeRegistry) -> None:
    node = oci_image(APP)
    for digest, data in node.blobs.items():
        registry.blobs["oci", Digest.parse(digest)] = data
    run = await surveyed(registry, oci_layout([entry(node, ref="example.com/oci:1")]))
    assert run.notices == ["a push would send 0 blobs of 0 bytes (before compression)"]
    assert len(run.outcomes(Outcome.EXISTS)) == 3
    await pushed(registry, docker_save([APP]))
    both = await surveyed(registry, docker_save([tagged(APP, "example.com/app:1", "example.com/new:1")]))
    assert both.states == [ImageState.PLANNED]
    assert both.notices == ["a push would send 0 blobs of 0 bytes (before compression)"]


async def test_a_dry_run_tells_what_a_push_would_refuse(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([OTHER]))
    registry.fail("blob_exists", RegistryDenied("denied"), repository="closed")
    closed = docker_save([tagged(image({"z": b"z"}), "example.com/closed:1")])
    run = await surveyed(registry, docker_save([APP]), closed, on_existing_tag="error")
    assert run.states == [ImageState.FAILED, ImageState.PLANNED]
    assert any("denied" in notice for notice in run.notices)


async def test_a_dry_run_can_be_cancelled(registry: FakeRegistry) -> None:
    asked = asyncio.Event()

    class Slow(FakeRegistry):
        async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
            asked.set()
            await asyncio.Event().wait()
            return None

    run = prepared(docker_save([APP]))
    asking = asyncio.create_task(dry_run(run.plan, run.sources, Slow(), run.events.append))
    await asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert run.states == [ImageState.CANCELLED]
