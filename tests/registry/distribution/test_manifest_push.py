"""Manifests of one repository are stored one after the other, whoever pushes them; other repositories do not wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from app.errors import RegistryRejected
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest, media_types
from app.push import Event, ImageChanged, ImageState, execute
from app.registry import Registry
from app.registry.distribution.manifest_push import MAX_FAILED_REPEATS, SETTLING_SECONDS
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.push.given import Memory, planned
from tests.support.archives import entry, image_of, oci_image, oci_layout
from tests.support.lapse import Lapse
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer, served

MANY = 12
ROUNDS = 30  # of the event loop, in which whatever else is to be sent is sent
RAW = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % media_types.OCI_INDEX.encode()
INDEX = (Descriptor(media_types.OCI_INDEX, Digest.of(RAW), len(RAW)), RAW)


def complaint(code: str, words: str = "manifest invalid") -> bytes:
    return f'{{"errors":[{{"code":"{code}","message":"{words}"}}]}}'.encode()


def images(repositories: int) -> bytes:
    nodes = [oci_image(image_of((b"common", b"own %d" % number)), compression="none") for number in range(MANY)]
    return oci_layout(
        [entry(node, ref=f"team/app{number % repositories}:{number}") for number, node in enumerate(nodes)]
    )


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT" and "/manifests/" in seen.path


class Moving:
    """A registry that takes a while for a manifest, and refuses another one of the repository meanwhile, as Pulp does.
    `most`: manifests that were stored at once in one repository, and in all."""

    def __init__(self) -> None:
        self.memory = MemoryRegistry()
        self.under_way: Counter[str] = Counter()
        self.most = [0, 0]

    def route(self, seen: Seen) -> Step:
        return self._store if is_put(seen) else served(self.memory)

    async def _store(self, connection: Connection, seen: Seen) -> None:
        repository = seen.path.partition("/manifests/")[0]
        self.under_way[repository] += 1
        self.most = [max(self.most[0], *self.under_way.values()), max(self.most[1], self.under_way.total())]
        try:
            if self.under_way[repository] > 1:
                await answer(400, {}, complaint("MANIFEST_INVALID"))(connection, seen)
                return
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            await served(self.memory)(connection, seen)
        finally:
            self.under_way[repository] -= 1


@asynccontextmanager
async def opened(
    route: Callable[[Seen], Step], *, names: int = 1
) -> AsyncIterator[tuple[ScriptedRegistry, list[Registry], Lapse]]:
    """The registry as `names` names have it that are configured for one host."""
    lapse = Lapse()
    throttle = RequestThrottle(pause=lapse.pause)
    async with ScriptedRegistry(route=route) as server, AsyncExitStack() as stack:
        registries: list[Registry] = []
        for _ in range(names):
            settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
            http = await stack.enter_async_context(HttpRegistry(settings, throttle=throttle, pause=lapse.pause))
            registries.append(VerifyingRegistry(RetryingRegistry(http, pause=lapse.pause), Verification.TAG))
        yield server, registries, lapse


async def pushed(tar: bytes, registry: Registry) -> list[ImageChanged]:
    events: list[Event] = []
    await execute(planned(tar), [Memory(tar)], registry, events.append)
    changes = [event for event in events if isinstance(event, ImageChanged)]
    return [change for change in changes if change.state is not ImageState.PUSHING]


@pytest.mark.parametrize("jobs", [1, 2])
async def test_manifests_of_one_repository_are_stored_one_after_the_other_over_all_jobs(jobs: int) -> None:
    moving = Moving()
    async with opened(moving.route, names=jobs) as (_, registries, _), asyncio.TaskGroup() as group:
        tasks = [group.create_task(pushed(images(1), registry)) for registry in registries]
    ended = [change.state for task in tasks for change in task.result()]
    assert set(ended) <= {ImageState.PUSHED, ImageState.ALREADY_PRESENT}
    assert moving.most[0] == 1


async def test_manifests_of_several_repositories_are_stored_at_once() -> None:
    moving = Moving()
    async with opened(moving.route) as (_, (registry,), _):
        assert {change.state for change in await pushed(images(6), registry)} == {ImageState.PUSHED}
    assert moving.most[0] == 1
    assert moving.most[1] > 1


async def test_a_repository_whose_manifests_hang_does_not_hold_up_the_images_of_another() -> None:
    memory, other_is_done = MemoryRegistry(), asyncio.Event()
    last = f"/v2/team/other/manifests/{MANY - 1}"

    def route(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            if seen.path.startswith("/v2/team/hung"):
                await other_is_done.wait()
            await served(memory)(connection, seen)
            if seen.path == last:
                other_is_done.set()

        return step if is_put(seen) else served(memory)

    entries = [
        entry(oci_image(image_of((b"%s %d" % (name.encode(), number),))), ref=f"team/{name}:{number}")
        for name in ("hung", "other")
        for number in range(MANY)
    ]
    async with opened(route) as (_, (registry,), _), asyncio.timeout(20):
        assert {change.state for change in await pushed(oci_layout(entries), registry)} == {ImageState.PUSHED}


# What others do in the same repository


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("code", ["MANIFEST_INVALID", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"])
async def test_a_manifest_that_is_refused_for_its_blobs_is_sent_again_once_after_a_pause(
    status: int, code: str
) -> None:
    memory, refusals = MemoryRegistry(), [answer(status, {}, complaint(code))]

    def route(seen: Seen) -> Step:
        return refusals.pop() if is_put(seen) and refusals else served(memory)

    async with opened(route) as (server, (registry,), lapse):
        await registry.push_manifest("a", "1", INDEX)
    assert sum(map(is_put, server.requests)) == 2
    (wait,) = lapse.waits
    assert SETTLING_SECONDS <= wait <= 2 * SETTLING_SECONDS
    assert memory.repository("a").tags == {"1": str(INDEX[0].digest)}


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "MANIFEST_INVALID", "mediaType is not supported"),
        (400, "UNSUPPORTED", ""),
        (403, "DENIED", ""),
        (412, "PRECONDITION", "immutable"),
        (409, "MANIFEST_INVALID", ""),
        (413, "", ""),
    ],
)
async def test_a_manifest_that_is_refused_for_itself_is_sent_once(status: int, code: str, words: str) -> None:
    def route(seen: Seen) -> Step | None:
        return answer(status, {}, complaint(code, words)) if is_put(seen) else None

    async with (
        ScriptedRegistry(route=route) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url")), pause=Lapse().pause) as registry,
    ):
        with pytest.raises(Exception, match=str(status)):
            await registry.push_manifest("a", "1", INDEX)
    assert sum(map(is_put, server.requests)) == 1


async def test_a_repository_that_refuses_every_manifest_is_not_waited_for_at_each() -> None:
    memory = MemoryRegistry()

    def route(seen: Seen) -> Step:
        return answer(400, {}, complaint("MANIFEST_INVALID")) if is_put(seen) else served(memory)

    async with opened(route) as (server, (registry,), lapse):
        ended = await pushed(images(1), registry)
    assert {change.problem.code for change in ended if change.problem} == {"registry_rejected"}
    assert len(ended) == MANY
    assert sum(map(is_put, server.requests)) == MANY + MAX_FAILED_REPEATS
    assert len(lapse.waits) == MAX_FAILED_REPEATS


@pytest.mark.parametrize("code", ["MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"])
async def test_a_registry_that_lacks_blobs_and_does_not_name_them_is_asked_for_them(code: str) -> None:
    memory = MemoryRegistry()
    tar = images(1)
    layer = str(Digest.of(b"common"))
    left = [lambda: memory.repository("team/app0").blobs.pop(layer)]

    def route(seen: Seen) -> Step:
        if not is_put(seen):
            return served(memory)
        if left:
            left.pop()()
        lacks = layer not in memory.repository("team/app0").blobs
        return answer(400, {}, complaint(code)) if lacks else served(memory)

    async with opened(route) as (_, (registry,), _):
        assert {change.state for change in await pushed(tar, registry)} == {ImageState.PUSHED}


async def test_a_manifest_that_no_blob_explains_keeps_the_registrys_words() -> None:
    memory = MemoryRegistry()

    def route(seen: Seen) -> Step:
        return answer(400, {}, complaint("MANIFEST_INVALID", "odd")) if is_put(seen) else served(memory)

    async with opened(route) as (_, (registry,), _):
        with pytest.raises(RegistryRejected, match="odd") as refused:
            await registry.push_manifest("a", "1", INDEX)
    assert refused.value.missing == ()
