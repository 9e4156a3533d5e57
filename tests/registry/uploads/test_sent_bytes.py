"""Bytes that content is told to have been sent, held against what the registry read of blob requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.transfer import WORTH_ASKING
from app.registry.wrappers.retry import RetryingRegistry
from tests.support.blob_content import BytesContent, UndecidedContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import PASSWORD, USER, Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, served

KIB = 1 << 10
CHUNK = 100 * KIB
CREDENTIALS = FixedCredentials(Credentials(USER, PASSWORD))


async def pushed(memory: MemoryRegistry, content: BytesContent, cuts: Sequence[int] = ()) -> None:
    """Push `content` through a line that resets the first requests with a body after `cuts` bytes."""
    steps = [served(memory, cut=cut) for cut in cuts]

    def route(seen: Seen) -> Step:
        return steps.pop(0) if steps and seen.method in {"PUT", "PATCH"} else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(
            parse_registry_url(server.url, "url"), credentials=CREDENTIALS, chunk_bytes=CHUNK
        )
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            await RetryingRegistry(registry, pause=Lapse().pause).push_blob("a", content)
    assert memory.repositories["a"].blobs[str(Digest.of(content.data))] == content.data


def blob(size: int = 300 * KIB, *, known: bool = True) -> BytesContent:
    return BytesContent(bytes(number % 251 for number in range(size)), known=known, cut=70_001)


WAYS = {
    "whole": Manners(),
    "patch": Manners(put=False),
    "chunks": Manners(put=False, patch=False),
    "limited": Manners(most=160 * KIB),
    "measured": Manners(streams=False, chunks=False),
    "rights": Manners(auth="bearer", token_seconds=0),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_sent_once_counts_once_whichever_way_it_goes(way: str, known: bool) -> None:
    memory, content = MemoryRegistry(WAYS[way]), blob(known=known)
    await pushed(memory, content)
    assert memory.blob_bytes >= len(content.data)
    if way == "limited" and not known:  # which is found out while a stream is read
        assert 0 <= content.sent - memory.blob_bytes < len(content.data)
    else:
        assert content.sent == memory.blob_bytes == len(content.data)


@pytest.mark.parametrize("known", [True, False])
async def test_what_was_damaged_on_the_way_counts_twice(known: bool) -> None:
    memory, content = MemoryRegistry(), blob(known=known)
    memory.damages = 1
    await pushed(memory, content)
    assert content.sent == memory.blob_bytes == 2 * len(content.data)


CUTS = [(150 * KIB,), (290 * KIB,), (200 * KIB, 60 * KIB), (0, 150 * KIB, 0)]


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("way", ["whole", "patch", "chunks"])
async def test_what_a_cut_has_lost_counts_as_far_as_the_registry_has_it(
    way: str, known: bool, cuts: tuple[int, ...]
) -> None:
    memory, content = MemoryRegistry(WAYS[way]), blob(known=known)
    await pushed(memory, content, cuts)
    assert memory.blob_bytes >= len(content.data)
    # a registry is not asked what it has of the first bytes of a blob
    unasked = WORTH_ASKING if 0 in cuts else 0
    assert 0 <= content.sent - memory.blob_bytes <= unasked


@pytest.mark.parametrize("cuts", CUTS, ids=str)
async def test_where_the_registry_forgets_what_it_had_as_much_counts_as_was_written(cuts: tuple[int, ...]) -> None:
    memory, content = MemoryRegistry(Manners(resumes=False)), blob()
    await pushed(memory, content, cuts)
    assert memory.blob_bytes <= content.sent <= (len(cuts) + 1) * len(content.data)


async def test_what_goes_before_it_is_wanted_counts_also_where_it_is_never_wanted() -> None:
    memory, content = MemoryRegistry(), UndecidedContent(b"0123456789")
    async with memory.client() as registry:
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await asyncio.wait_for(content.asked.wait(), 20)
        pushing.cancel()
        await asyncio.wait([pushing])
    assert content.sent == memory.blob_bytes == 10
