"""What is there is verified as asked, whether this push brought it or an earlier one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.errors import RegistryUnreachable
from app.oci import Digest
from app.push import ImageState, execute
from app.registry import BlobContent, Registry
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.push.given import Run, prepared, surveyed
from tests.support.archives import docker_save, entry, image, oci_artifact, oci_image, oci_index, oci_layout, tagged
from tests.support.fake_registry import FakeRegistry
from tests.support.lapse import Lapse

APP = tagged(image({"bin/app": b"one"}, {"etc/app": b"two"}), "example.com/app:1")
NODE = oci_image(APP)
INDEX = oci_index([NODE, oci_image(image({"x": b"arm"}), platform="linux/arm64")])
SIGNATURE = oci_artifact(b"signature", subject=NODE)
ARCHIVES = {
    "docker": docker_save([APP]),
    "oci": oci_layout([entry(NODE, ref="example.com/app:1")]),
    "index": oci_layout([entry(INDEX, ref="example.com/app:1")]),
    "referrer": oci_layout([entry(NODE, ref="example.com/app:1"), entry(SIGNATURE)]),
}
BLOBS, CONTENT = Verification.BLOBS, Verification.CONTENT
Damage = Callable[[bytes], bytes | None]
DAMAGES: dict[str, Damage] = {
    "gone": lambda data: None,
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
}


async def pushed(registry: Registry, how: Verification, tar: bytes, on_existing_tag: str = "overwrite") -> Run:
    run = prepared(tar, on_existing_tag=on_existing_tag)
    await execute(run.plan, run.sources, VerifyingRegistry(registry, how, Lapse().pause), run.events.append)
    return run


def damage(registry: FakeRegistry, how: Damage) -> dict[tuple[str, Digest], bytes]:
    """Of every blob; what they were."""
    whole = dict(registry.blobs)
    for place, data in whole.items():
        damaged = how(data)
        registry.blobs.pop(place)
        if damaged is not None:
            registry.blobs[place] = damaged
    return whole


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize(
    ("how", "what"),
    [(BLOBS, "gone"), (BLOBS, "cut"), (BLOBS, "longer"), *((CONTENT, name) for name in DAMAGES)],
)
async def test_what_an_image_that_is_there_has_lost_is_sent_again(kind: str, how: Verification, what: str) -> None:
    registry, tar = FakeRegistry(), ARCHIVES[kind]
    await pushed(registry, Verification.TAG, tar)
    whole = damage(registry, DAMAGES[what])
    run = await pushed(registry, how, tar)
    assert run.states == [ImageState.PUSHED]
    assert registry.blobs == whole


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("how", [BLOBS, CONTENT])
async def test_an_image_that_is_there_as_it_should_be_is_present_and_nothing_is_sent(
    kind: str, how: Verification
) -> None:
    registry, tar = FakeRegistry(), ARCHIVES[kind]
    await pushed(registry, Verification.TAG, tar)
    blobs = len(registry.blobs)
    registry.calls.clear()
    run = await pushed(registry, how, tar)
    # whether a referrer is listed by the registry itself, only its answer to the manifest tells
    assert run.states == [ImageState.ALREADY_PRESENT]
    assert registry.count("push_blob") == 0
    assert registry.count("verify_blob" if how is BLOBS else "read_blob") == blobs


@pytest.mark.parametrize("how", [Verification.TAG, Verification.NONE])
async def test_where_blobs_are_not_to_be_verified_nobody_asks_for_one(how: Verification) -> None:
    registry, tar = FakeRegistry(), ARCHIVES["oci"]
    await pushed(registry, how, tar)
    registry.calls.clear()
    assert (await pushed(registry, how, tar)).states == [ImageState.ALREADY_PRESENT]
    assert [call.verb for call in registry.calls] == ["find_manifest"]


class Keeping(FakeRegistry):
    """Answers 201 to blobs in `bad` and keeps what it has under their digests."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: dict[Digest, bytes] = {}

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        blob = await super().push_blob(repository, content)
        self.blobs[repository, blob[0]] = self.bad.get(blob[0], self.blobs[repository, blob[0]])
        return blob


@pytest.mark.parametrize(("how", "what"), [(BLOBS, "cut"), (CONTENT, "flipped")])
async def test_what_stays_lost_fails_every_attempt_and_every_job(how: Verification, what: str) -> None:
    registry = Keeping()
    registry.bad = {Digest.parse(digest): DAMAGES[what](data) or b"" for digest, data in NODE.blobs.items()}
    for _ in range(3):
        run = await pushed(registry, how, ARCHIVES["oci"])
        assert run.states == [ImageState.FAILED]
        assert run.problem().code == "registry_lost"


@pytest.mark.parametrize("option", ["skip", "error", "merge-with-overwrite", "merge-with-retain"])
async def test_a_tag_that_is_taken_by_the_same_image_is_mended_whatever_becomes_of_others(option: str) -> None:
    registry, tar = FakeRegistry(), ARCHIVES["index"]
    await pushed(registry, Verification.TAG, tar)
    whole = damage(registry, DAMAGES["gone"])
    run = await pushed(registry, BLOBS, tar, on_existing_tag=option)
    assert run.states == [ImageState.PUSHED]
    assert registry.blobs == whole


async def test_a_blob_that_images_share_is_read_back_once() -> None:
    several = [oci_image(image({"own": b"%d" % number}, {"base": b"base"})) for number in range(5)]
    tar = oci_layout([entry(node, ref=f"app:{number}") for number, node in enumerate(several)])
    registry = FakeRegistry()
    assert set((await pushed(registry, CONTENT, tar)).states) == {ImageState.PUSHED}
    read = [call.what for call in registry.calls if call.verb == "read_blob"]
    assert len(read) == len(set(read)) == len(registry.blobs)


@pytest.mark.parametrize("there", [False, True])
async def test_an_outage_while_blobs_are_verified_is_an_outage(there: bool) -> None:
    registry, tar = FakeRegistry(), ARCHIVES["oci"]
    if there:
        await pushed(registry, Verification.TAG, tar)
    registry.fail("verify_blob", RegistryUnreachable("the line is down"))
    run = await pushed(registry, BLOBS, tar)
    assert run.problem().code == "registry_unreachable"


async def test_a_dry_run_says_that_an_image_is_to_be_mended() -> None:
    registry, tar = FakeRegistry(), ARCHIVES["oci"]
    await pushed(registry, Verification.TAG, tar)
    damage(registry, DAMAGES["gone"])
    proved = VerifyingRegistry(registry, BLOBS, Lapse().pause)
    assert (await surveyed(proved, tar)).states == [ImageState.PLANNED]
