"""What becomes of an upload session when a push is cancelled or its content fails in the middle of a blob."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import DigestMismatch, RegistryRejected
from app.net.cancellation import finish_or_cancel
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.docker_registry import DockerRegistry
from tests.support.lapse import Lapse
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, hang, reset_after, served


class HaltingContent(BytesContent):
    """Gives a megabyte, says so, and then fails or gives nothing more."""

    def __init__(self, *, known: bool = False, error: DigestMismatch | None = None) -> None:
        super().__init__(bytes(2 << 20), known=known)
        self.given, self.error = asyncio.Event(), error

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data[: 1 << 20]
        self.given.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


def opened(url: str) -> HttpRegistry:
    return HttpRegistry(HttpRegistrySettings(parse_registry_url(url, "url")), pause=Lapse().pause)


async def cancelled_in_the_middle(registry: HttpRegistry, content: HaltingContent) -> None:
    pushing = asyncio.create_task(registry.push_blob("team/app", content))
    await content.given.wait()
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing


async def test_a_real_registry_keeps_no_session_of_a_stream_that_was_cancelled_or_failed(tmp_path: Path) -> None:
    """distribution 2.8 cancels no session whose request broke off, so the request has to come to its end."""
    with DockerRegistry(tmp_path / "registry") as server:
        async with opened(server.url) as registry:
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(cancelled_in_the_middle(registry, HaltingContent()))
            with pytest.raises(DigestMismatch):
                await registry.push_blob("team/app", HaltingContent(error=DigestMismatch("not what it should be")))
        uploads = server.storage / "docker/registry/v2/repositories/team/app/_uploads"
        assert [*uploads.glob("*/startedat"), *uploads.glob("*/data")] == []


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_real_registry_keeps_no_session_however_often_its_stream_was_cancelled(
    times: int, tmp_path: Path
) -> None:
    """A late dry run cancels a blob, and then the task group of its early push cancels it again. At the second time the
    request was broken off. distribution 2.8 then holds more bytes than the state in the session's URL says; it closes
    the session before it cancels it, which fails ("already closed"), and keeps it."""
    with DockerRegistry(tmp_path / "registry") as server:
        async with opened(server.url) as registry:
            content = HaltingContent()
            pushing = asyncio.create_task(registry.push_blob("team/app", content))
            await content.given.wait()
            for _ in range(times):
                pushing.cancel()
                await asyncio.sleep(0)
            await asyncio.wait((pushing,))
            assert pushing.cancelled()
        uploads = server.storage / "docker/registry/v2/repositories/team/app/_uploads"
        assert [*uploads.glob("*/startedat"), *uploads.glob("*/data")] == []


@pytest.mark.parametrize("known", [True, False])
async def test_a_cancelled_blob_leaves_no_session_at_a_registry_in_memory(known: bool) -> None:
    memory = MemoryRegistry()
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server, opened(server.url) as registry:
        await cancelled_in_the_middle(registry, HaltingContent(known=known))
    assert memory.sessions == {}
    assert ("PUT", "/v2/team/app/blobs/uploads/session-1") not in memory.requests or known


async def test_content_that_fails_in_a_stream_has_its_own_error_also_where_the_registry_refuses_the_stream() -> None:
    memory = MemoryRegistry(Manners(streams=False))
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server, opened(server.url) as registry:
        with pytest.raises(DigestMismatch, match="torn"):
            await registry.push_blob("team/app", HaltingContent(error=DigestMismatch("torn")))
    assert memory.sessions == {}
    assert memory.repository("team/app").blobs == {}


async def test_a_blob_that_has_been_given_whole_is_not_broken_off() -> None:
    arrived, memory = asyncio.Event(), MemoryRegistry()

    def route(seen: Seen) -> Step:
        if seen.method == "PUT":
            arrived.set()
        return served(memory)

    async with ScriptedRegistry(route=route) as server, opened(server.url) as registry:
        pushing = asyncio.create_task(registry.push_blob("team/app", BytesContent(b"layer")))
        await arrived.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
    assert set(memory.repository("team/app").blobs) == {str(Digest.of(b"layer"))}
    assert memory.sessions == {}


@pytest.mark.leaping
async def test_a_registry_that_gives_no_answer_does_not_hold_up_cancelling() -> None:
    arrived = asyncio.Event()
    steps = [answer(202, {"Location": "/v2/team/app/blobs/uploads/1"}), hang(arrived), answer(204)]
    async with (
        ScriptedRegistry(steps) as server,
        opened(server.url) as registry,
    ):
        await cancelled_in_the_middle(registry, HaltingContent())
    assert [method for method, _ in server.asked] == ["POST", "PATCH", "DELETE"]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        *(([status], 1) for status in (204, 307, 400, 401, 403, 404, 405, 409, 410, 416, 501)),
        ([408, 204], 2),
        ([500, 204], 2),
        ([429, 503, 204], 3),
        ([500, 500, 500, 500, 500], 4),
    ],
)
async def test_cancelling_a_session_is_tried_again_while_the_registry_is_busy(answers: list[int], asked: int) -> None:
    start, refusal = answer(202, {"Location": "/v2/team/app/blobs/uploads/1"}), answer(400, body=b"no")
    steps = [start, refusal, *(answer(status) for status in answers)]
    async with ScriptedRegistry(steps) as server, opened(server.url) as registry:
        with pytest.raises(RegistryRejected):
            await registry.push_blob("team/app", BytesContent(b"layer"))
    assert [method for method, _ in server.asked].count("DELETE") == asked


@pytest.mark.leaping
async def test_a_request_that_does_not_come_to_its_end_is_broken_off_after_its_time() -> None:
    begun, ended = asyncio.Event(), []

    async def request() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(finish_or_cancel(request(), lambda: True, 5))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_cancelling_a_session_is_tried_again_when_its_connection_breaks_and_given_up_on_a_lie() -> None:
    start, refusal = answer(202, {"Location": "/v2/team/app/blobs/uploads/1"}), answer(400, body=b"no")
    inner = answer(307, {"Location": "http://10.0.0.1/"})
    for after, asked in (([reset_after(0), answer(204)], 2), ([inner, answer(204)], 1)):
        async with ScriptedRegistry([start, refusal, *after]) as server, opened(server.url) as registry:
            with pytest.raises(RegistryRejected):
                await registry.push_blob("team/app", BytesContent(b"layer"))
        assert [method for method, _ in server.asked].count("DELETE") == asked
