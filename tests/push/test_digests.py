"""Images by sha512 at registries that know a tag by sha256 alone, as zot and olareg do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.push import Event, ImageChanged, ImageState, execute
from app.registry import Registry
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.push.given import Memory, planned
from tests.support.archives import entry, image, oci_artifact, oci_image, oci_index, oci_layout
from tests.support.lapse import Lapse
from tests.support.memory_registry import MemoryRegistry

ONE = oci_image(image({"a": b"1"}), algorithm="sha512")
TWO = oci_image(image({"a": b"2"}), platform="linux/arm64", algorithm="sha512")
AMD64 = oci_image(image({"a": b"1"}), platform="linux/amd64", algorithm="sha512")
INDEX = replace(oci_index([AMD64, TWO]), algorithm="sha512")
SIGNATURE = replace(oci_artifact(b"signature", subject=ONE), algorithm="sha512")
ARCHIVES = {
    "image": oci_layout([entry(ONE, ref="team/app:1")]),
    "index": oci_layout([entry(INDEX, ref="team/app:1")]),
    "referrer": oci_layout([entry(ONE, ref="team/app:1"), entry(SIGNATURE)]),
}


async def ended(registry: Registry, tar: bytes, on_existing_tag: str = "overwrite") -> ImageChanged:
    events: list[Event] = []
    await execute(planned(tar, on_existing_tag=on_existing_tag), [Memory(tar)], registry, events.append)
    return [event for event in events if isinstance(event, ImageChanged)][-1]


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("option", ["overwrite", "skip", "error", "merge-with-overwrite", "merge-with-retain"])
@pytest.mark.parametrize("verify", [Verification.TAG, Verification.BLOBS, Verification.CONTENT])
async def test_an_image_lands_and_is_there_the_next_time(kind: str, option: str, verify: Verification) -> None:
    memory, lapse = MemoryRegistry(), Lapse()
    async with memory.client() as http:
        registry = VerifyingRegistry(RetryingRegistry(http, pause=lapse.pause), verify, lapse.pause)
        first = await ended(registry, ARCHIVES[kind], on_existing_tag=option)
        assert first.state is ImageState.PUSHED, first.problem
        tags = dict(memory.repository("team/app").tags)
        again = await ended(registry, ARCHIVES[kind], on_existing_tag=option)
        assert again.state is ImageState.ALREADY_PRESENT, again.problem
    assert memory.repository("team/app").tags == tags
    assert tags["1"].startswith("sha256:")
    assert lapse.waits == []


async def test_a_tag_with_another_image_is_another() -> None:
    memory = MemoryRegistry()
    async with memory.client() as registry:
        await ended(registry, ARCHIVES["image"])
        other = oci_layout([entry(TWO, ref="team/app:1")])
        assert (await ended(registry, other, on_existing_tag="skip")).state is ImageState.SKIPPED
        assert (await ended(registry, other)).state is ImageState.PUSHED
