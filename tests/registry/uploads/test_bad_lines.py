"""Blobs over lines that break and lines that are slow, to registries that resume and one that does not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.net.client import Timeouts
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry import Registry
from app.registry.distribution.rate_limit import RateLimits
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from tests.support.bad_line import BadLine
from tests.support.blob_content import BytesContent
from tests.support.docker_registry import DockerRegistry
from tests.support.lapse import Lapse
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.nginx import Nginx
from tests.support.scripted_registry import ScriptedRegistry, served

MIB = 1 << 20


@asynccontextmanager
async def open_at(url: str, **settings: object) -> AsyncIterator[Registry]:
    pause = Lapse().pause
    parsed = HttpRegistrySettings(parse_registry_url(url, "url"), **settings)  # type: ignore[arg-type]
    async with HttpRegistry(parsed, pause=pause) as registry:
        yield RetryingRegistry(registry, pause=pause)


def blobs(count: int, size: int) -> list[BytesContent]:
    source = random.Random(7)
    return [BytesContent(source.randbytes(size)) for _ in range(count)]


async def push_all(registry: Registry, contents: list[BytesContent]) -> None:
    async with asyncio.TaskGroup() as group:
        for content in contents:
            group.create_task(registry.push_blob("team/app", content))


@pytest.mark.parametrize("known", [True, False])
async def test_over_a_line_that_cuts_one_in_a_hundred_pieces_little_is_sent_again(known: bool) -> None:
    memory, chance = MemoryRegistry(), random.Random(3)
    contents = [BytesContent(blob.data, known=known) for blob in blobs(8, 4 * MIB)]
    async with (
        ScriptedRegistry(route=lambda seen: served(memory)) as server,
        BadLine(server.port, cuts=lambda: chance.random() < 0.01) as line,
        open_at(line.url) as registry,
    ):
        await push_all(registry, contents)
    total = sum(len(content.data) for content in contents)
    assert line.cut > 2
    assert line.received < total * 1.05
    stored = memory.repositories["team/app"].blobs
    assert {digest: len(data) for digest, data in stored.items()} == {
        str(Digest.of(content.data)): len(content.data) for content in contents
    }
    assert memory.sessions == {}


async def test_over_a_line_that_cuts_a_registry_that_cannot_resume_gets_everything_too() -> None:
    memory, chance = MemoryRegistry(Manners(resumes=False)), random.Random(5)
    contents = blobs(4, 2 * MIB)
    async with (
        ScriptedRegistry(route=lambda seen: served(memory)) as server,
        BadLine(server.port, cuts=lambda: chance.random() < 0.01) as line,
        open_at(line.url) as registry,
    ):
        await push_all(registry, contents)
    assert line.cut
    assert set(memory.repositories["team/app"].blobs) == {str(Digest.of(content.data)) for content in contents}
    assert memory.sessions == {}


async def test_a_slow_line_is_no_silence() -> None:
    """A second and more for what is on its way, with time-outs of 0.4 s: bytes flow all the time."""
    memory = MemoryRegistry()
    (content,) = blobs(1, MIB)
    patient = Timeouts(connect=5, write=0.4, read=0.4)
    async with (
        ScriptedRegistry(route=lambda seen: served(memory)) as server,
        BadLine(server.port, bytes_per_second=MIB) as line,
        open_at(line.url, timeouts=patient) as registry,
    ):
        await registry.push_blob("team/app", content)
    assert memory.requests.count(("PUT", "/v2/team/app/blobs/uploads/session-1")) == 1


async def test_a_limit_of_bytes_per_second_is_kept_for_all_blobs_together() -> None:
    memory, lapse = MemoryRegistry(), Lapse()
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        url = parse_registry_url(server.url, "url")
        settings = HttpRegistrySettings(url, limits=RateLimits(bytes_per_second=100_000))
        async with HttpRegistry(settings, pause=lapse.pause) as registry:
            await push_all(registry, blobs(3, 100_000))
    assert 2.5 < lapse.now < 3.5


async def test_docker_registry_at_the_end_of_a_line_of_five_megabytes_a_second(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry") as server:
        async with BadLine(server.port, bytes_per_second=5 * MIB) as line, open_at(line.url) as registry:
            contents = blobs(2, MIB)
            await push_all(registry, contents)
            for content in contents:
                assert await registry.blob_exists("team/app", Digest.of(content.data))


@pytest.mark.parametrize("known", [True, False])
async def test_docker_registry_behind_a_proxy_that_takes_no_large_body(tmp_path: Path, known: bool) -> None:
    """nginx refuses a body of more than 1 MB: chunks that are small enough are found, and remembered."""
    with DockerRegistry(tmp_path / "registry") as server, Nginx(tmp_path / "nginx", server.port, "1m") as proxy:
        async with open_at(proxy.url) as registry:
            first, second = (BytesContent(blob.data, known=known) for blob in blobs(2, 3 * MIB))
            await registry.push_blob("team/app", first)
            refused = proxy.answers().count(413)
            await registry.push_blob("team/app", second)
            for content in (first, second):
                assert await registry.blob_exists("team/app", Digest.of(content.data))
    assert refused > 0
    assert proxy.answers().count(413) == refused


async def test_docker_registry_over_a_line_that_cuts_gets_everything(tmp_path: Path) -> None:
    chance = random.Random(11)
    with DockerRegistry(tmp_path / "registry") as server:
        async with BadLine(server.port, cuts=lambda: chance.random() < 0.01) as line, open_at(line.url) as registry:
            contents = blobs(6, 2 * MIB)
            await push_all(registry, contents)
            for content in contents:
                assert await registry.blob_exists("team/app", Digest.of(content.data))
    assert line.cut


async def test_docker_registry_behind_a_proxy_that_takes_a_hundred_megabytes_gets_a_larger_blob(tmp_path: Path) -> None:
    """As many in one request as Cloudflare and many an nginx let through; the rest in another."""
    content = BytesContent(bytes(101 * MIB))
    with DockerRegistry(tmp_path / "registry") as server, Nginx(tmp_path / "nginx", server.port, "100m") as proxy:
        async with open_at(proxy.url) as registry:
            digest, _ = await registry.push_blob("team/app", content)
            assert await registry.blob_exists("team/app", digest)
    answers = proxy.answers()
    assert answers.count(413) == 1
    assert answers.count(202) == 4, "two sessions, and two chunks"
