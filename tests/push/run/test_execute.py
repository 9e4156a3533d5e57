"""What is done at the destination, in what order, with how many requests."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from app.errors import RegistryDenied, RegistryFault, RegistryUnreachable
from app.oci import Digest, media_types
from app.push import ImageState, Outcome, PushResources, execute
from app.push.decoder_memory import DecoderMemory
from tests.push.blob_cache.test_cache import DictMemory
from tests.push.given import Memory, prepared, pushed
from tests.support.archives import (
    Compress,
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

NOISE = random.Random(3).randbytes(20_000)
APP = tagged(image({"bin/app": b"one"}, {"etc/app": b"two"}), "example.com/team/app:1")


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def described(raw: bytes) -> dict[str, object]:
    members: dict[str, object] = json.loads(raw)
    return members


async def test_a_docker_archive_lands_under_its_name_with_its_config(registry: FakeRegistry) -> None:
    run = await pushed(registry, docker_save([APP]))
    manifest = described(registry.manifest("team/app", "1"))
    assert run.states == [ImageState.PUSHED]
    assert manifest["mediaType"] == media_types.DOCKER_MANIFEST
    assert manifest["config"] == {
        "mediaType": media_types.DOCKER_CONFIG,
        "size": len(APP.config),
        "digest": APP.config_digest,
    }
    assert run.last().digest == Digest.of(registry.manifest("team/app", "1"))
    assert run.last().media_type == media_types.DOCKER_MANIFEST


async def test_a_new_docker_image_costs_three_calls_at_most_for_a_blob(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([APP]))
    assert registry.count("read_manifest", "push_manifest") == 2
    assert registry.count("blob_exists") == registry.count("push_blob") == 3  # HEAD; POST and PUT
    assert registry.count() == 8


async def test_the_same_docker_image_again_costs_one_call_and_reads_its_config(registry: FakeRegistry) -> None:
    first = await pushed(registry, docker_save([APP]))
    registry.calls.clear()
    run = await pushed(registry, docker_save([APP], style="podman"))
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert run.last().digest == first.last().digest
    assert [call.verb for call in registry.calls] == ["read_manifest"]
    (config,) = (step for step in run.plan.blobs if step.layer is None)
    assert run.sources[0].bytes_read == config.extent.size
    assert run.progress.percent == 100.0
    assert run.progress.bytes_done == run.progress.bytes_total
    assert run.progress.blobs_reused == run.progress.blobs_total == 3


async def test_the_same_oci_image_again_costs_one_call(registry: FakeRegistry) -> None:
    tar = oci_layout([entry(oci_image(APP), ref="example.com/team/app:1")])
    await pushed(registry, tar)
    registry.calls.clear()
    run = await pushed(registry, tar)
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert [call.verb for call in registry.calls] == ["find_manifest"]
    assert run.last().digest == Digest.of(registry.manifest("team/app", "1"))


async def test_an_index_is_pushed_whole_children_first_and_its_tag_last(registry: FakeRegistry) -> None:
    one, two = oci_image(APP, platform="linux/amd64"), oci_image(image({"x": b"arm"}), platform="linux/arm64")
    nested = oci_index([one])
    index = oci_index([nested, two, attestation(two)])
    run = await pushed(registry, oci_layout([entry(index, ref="example.com/app:multi")]))
    order = [call.what for call in registry.calls if call.verb == "push_manifest"]
    assert order == [one.digest, nested.digest, two.digest, attestation(two).digest, "multi"]
    verbs = [call.verb for call in registry.calls]
    assert verbs.index("push_manifest") > max(place for place, verb in enumerate(verbs) if verb == "push_blob")
    assert registry.manifest("app", "multi") == index.raw
    assert run.states == [ImageState.PUSHED]


async def test_referrers_are_pushed_by_digest_after_the_image(registry: FakeRegistry) -> None:
    node = oci_image(APP)
    signature = oci_artifact(b"signature", subject=node)
    tar = oci_layout([entry(node, ref="example.com/app:1"), entry(signature)])
    run = await pushed(registry, tar)
    assert [call.what for call in registry.calls if call.verb == "push_manifest"] == ["1", signature.digest]
    assert run.states == [ImageState.PUSHED]
    registry.calls.clear()
    again = await pushed(registry, tar)
    assert again.states == [ImageState.ALREADY_PRESENT]
    # whether the referrer is listed by the registry itself, only its answer to the manifest tells
    assert [call.verb for call in registry.calls] == ["find_manifest"] * 2 + ["read_manifest", "push_manifest"]


async def test_a_missing_referrer_is_pushed_to_an_image_that_is_there(registry: FakeRegistry) -> None:
    node = oci_image(APP)
    signature = oci_artifact(b"signature", subject=node)
    await pushed(registry, oci_layout([entry(node, ref="example.com/app:1")]))
    registry.calls.clear()
    run = await pushed(registry, oci_layout([entry(node, ref="example.com/app:1"), entry(signature)]))
    assert [call.what for call in registry.calls if call.verb == "push_manifest"] == [signature.digest]
    assert run.states == [ImageState.PUSHED]
    assert run.last().digest == Digest.parse(node.digest)


async def test_several_names_of_an_image_cost_one_more_call_each(registry: FakeRegistry) -> None:
    both = tagged(APP, "example.com/team/app:1", "example.com/team/app:latest")
    await pushed(registry, docker_save([both]))
    assert registry.manifest("team/app", "1") == registry.manifest("team/app", "latest")
    assert registry.count("push_manifest") == registry.count("read_manifest") == 2
    assert registry.count("push_blob") == 3


@pytest.mark.parametrize("kind", ["docker", "oci"])
async def test_a_name_that_is_missing_is_given_from_what_is_there(registry: FakeRegistry, kind: str) -> None:
    def tar(*names: str) -> bytes:
        if kind == "docker":
            return docker_save([tagged(APP, *names)])
        return oci_layout([entry(oci_image(APP), ref=name) for name in names])

    await pushed(registry, tar("example.com/app:1"))
    registry.calls.clear()
    run = await pushed(registry, tar("example.com/app:1", "example.com/app:2"))
    assert run.states == [ImageState.PUSHED]
    assert registry.count("blob_exists", "push_blob", "mount_blob") == 0
    assert registry.count() == 3
    assert run.sources[0].bytes_read == 0
    assert registry.manifest("app", "1") == registry.manifest("app", "2")


@pytest.mark.parametrize("mounts", [True, False])
async def test_what_one_repository_holds_is_mounted_into_another(mounts: bool) -> None:
    registry, resources = FakeRegistry(mounts=mounts), PushResources(blob_cache=DictMemory())
    first = prepared(docker_save([tagged(APP, "example.com/app:1")]))
    await execute(first.plan, first.sources, registry, first.events.append, resources=resources)
    registry.calls.clear()
    run = prepared(docker_save([tagged(APP, "example.com/app:1", "example.com/other:1")]))
    await execute(run.plan, run.sources, registry, run.events.append, resources=resources)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") == registry.manifest("other", "1")
    assert registry.count("mount_blob") == 3
    assert registry.count("push_blob") == (0 if mounts else 3)
    assert (run.sources[0].bytes_read == len(APP.config)) is mounts
    assert len(run.outcomes(Outcome.MOUNTED if mounts else Outcome.PUSHED)) == 3
    assert run.progress.bytes_done == run.progress.bytes_total


async def test_a_layer_that_images_share_is_sent_once_and_mounted(registry: FakeRegistry) -> None:
    base = {"base": b"b" * 50_000}
    images = [tagged(image(base, {"own": b"%d" % n}, label=str(n)), f"example.com/app{n}:1") for n in range(6)]
    run = await pushed(registry, docker_save(images))
    assert run.states == [ImageState.PUSHED] * 6
    assert registry.count("push_blob") == 1 + 6 + 6
    assert registry.count("mount_blob") == 5
    assert run.progress.bytes_total == sum(step.extent.size for step in run.plan.blobs)
    assert run.sources[0].bytes_read == run.progress.bytes_total


async def test_a_refused_mount_is_sent_and_a_blob_that_is_there_is_not(registry: FakeRegistry) -> None:
    registry.mounts = False
    two = tagged(APP, "example.com/one:1", "example.com/two:1")
    config = Digest.parse(APP.config_digest)
    registry.blobs["two", config] = APP.config
    run = await pushed(registry, docker_save([two]))
    assert run.states == [ImageState.PUSHED]
    assert registry.count("push_blob") == 3 + 2
    assert [done.key for done in run.outcomes(Outcome.EXISTS)] == [config]


async def test_a_blob_that_is_there_is_not_sent(registry: FakeRegistry) -> None:
    node = oci_image(APP)
    for digest, data in node.blobs.items():
        registry.blobs["app", Digest.parse(digest)] = data
    run = await pushed(registry, oci_layout([entry(node, ref="example.com/app:1")]))
    assert run.states == [ImageState.PUSHED]
    assert registry.count("push_blob") == 0
    assert run.progress.blobs_reused == 3


async def test_images_in_one_repository_share_what_one_of_them_brought(registry: FakeRegistry) -> None:
    await pushed(registry, docker_save([APP]))
    registry.calls.clear()
    newer = tagged(image({"bin/app": b"one"}, {"etc/app": b"two"}, label="newer"), "example.com/team/app:2")
    run = await pushed(registry, docker_save([APP, newer]))
    assert run.states == [ImageState.ALREADY_PRESENT, ImageState.PUSHED]
    assert registry.count("push_blob") == 1  # the new config
    assert registry.count("mount_blob") == 0


async def test_one_failing_image_leaves_the_others(registry: FakeRegistry) -> None:
    registry.fail("push_blob", RegistryDenied("team/bad: denied"), repository="team/bad")
    images = [
        tagged(image({"f": b"%d" % n}, label=str(n)), f"example.com/team/{name}:1")
        for n, name in enumerate(("good", "bad", "fine"))
    ]
    run = await pushed(registry, docker_save(images))
    assert run.states == [ImageState.PUSHED, ImageState.FAILED, ImageState.PUSHED]
    assert run.problem(1).code == "registry_denied"
    assert ("team/bad", "1") not in registry.tags
    assert run.progress.percent < 100.0
    assert run.progress.images_done == 3


async def test_a_repository_that_refuses_does_not_keep_shared_layers_from_the_next(registry: FakeRegistry) -> None:
    registry.fail("push_blob", RegistryDenied("denied"), repository="bad")
    base = {"base": b"shared"}
    images = [tagged(image(base, label=name), f"example.com/{name}:1") for name in ("bad", "good", "fine")]
    run = await pushed(registry, docker_save(images))
    assert run.states == [ImageState.FAILED, ImageState.PUSHED, ImageState.PUSHED]


class Counting(DecoderMemory):
    """Keeps what was held at the most."""

    most = 0

    def _take(self, share: str, size: int) -> None:
        super()._take(share, size)
        self.most = max(self.most, self.used)


@pytest.mark.parametrize(("wrapping", "memory"), [("gzip", 0), ("zstd", 8 << 20)])
async def test_layers_that_are_decompressed_count_in_the_memory_of_all(
    registry: FakeRegistry, wrapping: Compress, memory: int
) -> None:
    images = [tagged(image({str(n): NOISE}, label=str(n)), f"example.com/app{n}:1") for n in range(8)]
    run = prepared(docker_save(images, style="classic", compress=wrapping))
    decoders = Counting(memory)
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(decoders=decoders))
    assert run.states == [ImageState.PUSHED] * 8
    assert (decoders.most, decoders.used) == (memory, 0)


async def test_a_failed_question_fails_its_image_alone(registry: FakeRegistry) -> None:
    registry.fail("read_manifest", RegistryFault("broken"), repository="bad")
    images = [tagged(image({"f": b"1"}, label=name), f"example.com/{name}:1") for name in ("bad", "good")]
    run = await pushed(registry, docker_save(images))
    assert run.states == [ImageState.FAILED, ImageState.PUSHED]
    assert run.problem().retryable


async def test_a_registry_that_cannot_be_reached_is_not_waited_for_again(registry: FakeRegistry) -> None:
    registry.fail("read_manifest", RegistryUnreachable("gone"))
    images = [tagged(image({"f": b"1"}, label=str(n)), f"example.com/app{n}:1") for n in range(20)]
    run = prepared(docker_save(images))
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(workers=1))
    assert run.states == [ImageState.FAILED] * 20
    assert registry.count() == 1


async def test_a_failed_manifest_fails_its_image_and_leaves_no_later_name(registry: FakeRegistry) -> None:
    registry.fail("push_manifest", RegistryDenied("immutable tag"), what="1")
    both = tagged(APP, "example.com/app:1", "example.com/app:2")
    run = await pushed(registry, docker_save([both]))
    assert run.states == [ImageState.FAILED]
    assert registry.tags == {}


async def test_several_failures_of_an_image_are_told_once(registry: FakeRegistry) -> None:
    registry.fail("push_blob", RegistryDenied("denied"))
    run = await pushed(registry, docker_save([APP]))
    assert [event for event in run.events if event == run.last()] == [run.last()]
    assert run.states == [ImageState.FAILED]


async def test_a_failed_image_costs_nothing_more(registry: FakeRegistry) -> None:
    registry.fail("push_blob", RegistryDenied("denied"))
    run = prepared(docker_save([APP]))
    await execute(run.plan, run.sources, registry, run.events.append, resources=PushResources(workers=1))
    assert run.states == [ImageState.FAILED]
    assert registry.count("push_blob") == 1


async def test_an_image_that_another_tool_pushed_is_made_anew_in_other_repositories(registry: FakeRegistry) -> None:
    """Nothing but its manifest says which blobs its layers are."""
    both = docker_save([tagged(APP, "example.com/app:1", "example.com/other:1")])
    await pushed(registry, docker_save([tagged(APP, "example.com/app:1")], compress="gzip"))
    run = await pushed(registry, both)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("app", "1") != registry.manifest("other", "1")


async def test_children_that_images_share_go_to_a_repository_once(registry: FakeRegistry) -> None:
    shared = oci_image(APP, platform="linux/amd64")
    one, two = oci_index([shared]), oci_index([shared, oci_image(image({"x": b"y"}), platform="linux/arm64")])
    run = await pushed(registry, oci_layout([entry(one, ref="example.com/app:1"), entry(two, ref="example.com/app:2")]))
    assert run.states == [ImageState.PUSHED, ImageState.PUSHED]
    assert [call.what for call in registry.calls if call.verb == "push_manifest"].count(shared.digest) == 1


async def test_cancelling_ends_every_open_image_and_leaves_nothing_running(registry: FakeRegistry) -> None:
    registry.gate = asyncio.Event()
    first = tagged(image({"f": b"1"}), "example.com/there:1")
    await_free = FakeRegistry()
    await pushed(await_free, docker_save([first]))
    registry.blobs, registry.manifests, registry.tags = await_free.blobs, await_free.manifests, await_free.tags
    run = prepared(docker_save([first, APP]))
    before = asyncio.all_tasks()
    pushing = asyncio.create_task(execute(run.plan, run.sources, registry, run.events.append))
    await registry.waiting.wait()
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert run.states == [ImageState.ALREADY_PRESENT, ImageState.CANCELLED]
    assert asyncio.all_tasks() == before
    assert ("team/app", "1") not in registry.tags


async def test_a_bug_comes_out_as_it_is(registry: FakeRegistry) -> None:
    class Broken(Memory):
        def read_at(self, offset: int, size: int) -> bytes:
            raise ZeroDivisionError

    run = prepared(docker_save([APP]))
    with pytest.raises(ZeroDivisionError):
        await execute(run.plan, [Broken(b"")], registry, run.events.append)


async def test_an_empty_plan_does_nothing(registry: FakeRegistry) -> None:
    run = await pushed(registry, docker_save([]))
    assert registry.count() == 0
    assert run.events == []
    assert run.plan.notes == ("no images found",)
    assert run.progress.percent == 100.0
