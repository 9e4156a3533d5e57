"""Blobs that a registry does not mount: the session that it opens is used, and nothing waits for cleaning up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from app.net.urls import parse_registry_url
from app.oci import Digest
from app.push import Event, ImageChanged, ImageState, execute
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.capability_file import CapabilityFile
from app.registry.uploads.mount import SKIPPED_MOUNTS
from app.registry.uploads.spare_session import SpareSession
from app.registry.wrappers.retry import RetryingRegistry
from tests.push.given import Memory, planned
from tests.support.archives import entry, image_of, oci_image, oci_layout
from tests.support.blob_content import BytesContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer, hang, served

LAYERS = 40
NODE = oci_image(image_of([b"layer %d" % number for number in range(LAYERS)]), compression="none")
TAR = oci_layout([entry(NODE, ref="team/one:1"), entry(NODE, ref="team/two:1")])


def is_mount(seen: Seen) -> bool:
    """From another repository."""
    return "mount=" in seen.target and "/team/two/" in seen.path and "from=team%2Fone" in seen.target


async def pushed(server: ScriptedRegistry, lapse: Lapse, profiles: CapabilityFile | None = None) -> ImageState:
    events: list[Event] = []
    settings = HttpRegistrySettings(parse_registry_url(server.url, "url"), profiles=profiles)
    async with HttpRegistry(settings, pause=lapse.pause) as http:
        registry = RetryingRegistry(http, pause=lapse.pause)
        await execute(planned(TAR), [Memory(TAR)], registry, events.append)
    return [event for event in events if isinstance(event, ImageChanged)][-1].state


async def test_the_session_that_is_opened_instead_is_used_and_mounting_is_given_up(tmp_path: Path) -> None:
    """ggcr's registry: 202 to every mount, 400 to every DELETE of a session."""
    memory, lapse = MemoryRegistry(Manners(mounts=False)), Lapse()
    profiles = CapabilityFile(tmp_path / "profiles.json")

    def route(seen: Seen) -> Step:
        return answer(400) if seen.method == "DELETE" else served(memory)

    async with ScriptedRegistry(route=route) as server:
        assert await pushed(server, lapse, profiles) is ImageState.PUSHED
        learnt = await profiles.lookup(server.address)
    assert lapse.waits == []
    assert [seen.target for seen in server.requests if seen.method == "DELETE"] == []
    assert 2 <= sum(map(is_mount, server.requests)) <= 6, "those that were asked for at once"
    starts = [seen for seen in server.requests if seen.method == "POST" and "/team/two/" in seen.path]
    assert len(starts) == LAYERS + 1
    assert memory.sessions == {}
    assert (learnt.mount, learnt.ask) == (False, False)


@pytest.mark.parametrize(("status", "most"), [(501, 6), (405, 7), (400, 7), (500, 8), (503, 8)])
async def test_a_registry_that_refuses_or_fails_to_mount_gets_the_blobs(status: int, most: int) -> None:
    memory, lapse = MemoryRegistry(), Lapse()

    def route(seen: Seen) -> Step:
        return answer(status) if is_mount(seen) else served(memory)

    async with ScriptedRegistry(route=route) as server:
        assert await pushed(server, lapse) is ImageState.PUSHED
    assert lapse.waits == []
    assert sum(map(is_mount, server.requests)) <= most
    assert set(memory.repository("team/two").blobs) == set(memory.repository("team/one").blobs)


async def test_a_registry_that_mounts_again_after_it_failed_is_asked_again() -> None:
    memory, lapse, failing = MemoryRegistry(), Lapse(), [True]

    def route(seen: Seen) -> Step:
        return answer(503) if is_mount(seen) and failing else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=lapse.pause) as registry:
            digest, _ = await registry.push_blob("team/one", BytesContent(b"layer"))
            for _ in range(3):
                assert not await registry.mount_blob("team/two", digest, "team/one")
            assert sum(map(is_mount, server.requests)) == 2
            failing.clear()
            mounted = [await registry.mount_blob("team/two", digest, "team/one") for _ in range(SKIPPED_MOUNTS + 1)]
    assert mounted[-1]


async def test_a_mount_that_is_not_possible_for_one_blob_says_nothing_of_others() -> None:
    """The holder may have lost it, or this account may not read there."""
    memory = MemoryRegistry()
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            for number in range(5):
                assert not await registry.mount_blob("team/two", Digest.of(b"%d" % number), "team/one")
            digest, _ = await registry.push_blob("team/one", BytesContent(b"layer"))
            assert await registry.mount_blob("team/two", digest, "team/one")
    assert memory.sessions == {}


async def test_a_session_that_nobody_took_is_cancelled_and_nobody_waits_for_that() -> None:
    memory, ended = MemoryRegistry(Manners(mounts=False)), asyncio.Event()

    def route(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            await ended.wait()
            await served(memory)(connection, seen)

        return step if seen.method == "DELETE" else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            with SpareSession() as spare:
                assert not await registry.mount_blob("team/two", Digest.of(b"x"), "team/one", 1, spare)
            assert not await registry.mount_blob("team/two", Digest.of(b"y"), "team/one", 1)
            assert len(memory.sessions) == 2
            ended.set()
    assert memory.sessions == {}


async def test_a_mount_that_is_cancelled_leaves_no_session() -> None:
    memory, arrived, go_on = MemoryRegistry(Manners(mounts=False)), asyncio.Event(), asyncio.Event()

    def route(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            arrived.set()
            await go_on.wait()
            await served(memory)(connection, seen)

        return step if is_mount(seen) else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            mounting = asyncio.create_task(registry.mount_blob("team/two", Digest.of(b"x"), "team/one", 1))
            await arrived.wait()
            mounting.cancel()
            await asyncio.wait((mounting,))
            go_on.set()
    assert mounting.cancelled()
    assert memory.sessions == {}


@pytest.mark.leaping
async def test_cleaning_up_does_not_hold_up_the_push() -> None:
    """A way that is refused leaves a session whose DELETE hangs; the blob goes another way meanwhile."""
    memory = MemoryRegistry(Manners(put=False))

    def route(seen: Seen) -> Step:
        return hang() if seen.method == "DELETE" else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            began = asyncio.get_running_loop().time()
            await registry.push_blob("a", BytesContent(b"layer"))
            assert asyncio.get_running_loop().time() - began < settings.timeouts.cleanup


async def test_profiles_of_the_first_release_are_read(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    entry_of_010 = {"ask": True, "put": False, "patch": True, "chunks": True, "stream": True, "most": None}
    file.write_text(json.dumps({"r": {**entry_of_010, "learnt": 9.0}}))
    assert await CapabilityFile(file, lambda: 10.0).lookup("r") == UploadCapabilities(put=False, mount=True)
    file.write_text(json.dumps({"r": {**entry_of_010, "mount": "no", "learnt": 9.0}}))
    assert await CapabilityFile(file, lambda: 10.0).lookup("r") == UploadCapabilities()
