"""The ladder of ways to send a blob, as registries make us climb down it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from app.errors import RegistryFault, RegistryRejected
from app.net.response import Response
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.capabilities import (
    GHCR_CHUNK,
    MAX_CHUNK_BYTES,
    MIN_CHUNK_BYTES,
    UploadAttempt,
    UploadCapabilities,
    UploadMethod,
    chunk_min_length,
    is_session_lost,
    next_capabilities,
)
from tests.support.blob_content import BytesContent, UndecidedContent
from tests.support.lapse import Lapse
from tests.support.memory_registry import Manners, MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, served

KIB = 1 << 10
CHUNK = 100 * KIB


@asynccontextmanager
async def faithful(
    manners: Manners,
) -> AsyncIterator[tuple[ScriptedRegistry, HttpRegistry, MemoryRegistry]]:
    memory = MemoryRegistry(manners)
    async with ScriptedRegistry(route=lambda seen: served(memory)) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"), chunk_bytes=CHUNK)
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            yield server, registry, memory


async def methods(manners: Manners, *contents: BytesContent) -> list[list[str]]:
    """What each blob costs. It is stored, and no session is left."""
    costs = []
    async with faithful(manners) as (server, registry, memory):
        for content in contents:
            before = len(server.requests)
            assert await registry.push_blob("a", content) == (Digest.of(content.data), len(content.data))
            sent = (seen.method for seen in server.requests[before:] if seen.path != "/v2/")
            costs.append([method for method in sent if method != "DELETE"])  # which may come at any time
            assert memory.repositories["a"].blobs[str(Digest.of(content.data))] == content.data
    assert memory.sessions == {}
    return costs


def blob(size: int = 300 * KIB, *, known: bool = True, start: int = 0) -> BytesContent:
    return BytesContent(bytes((start + number) % 251 for number in range(size)), known=known, cut=70_001)


REFUSED = ["POST", "PUT"]
WHOLE_PATCH = ["POST", "PATCH", "PUT"]


@pytest.mark.parametrize("refusal", [(405, "UNSUPPORTED"), (404, ""), (400, "UNSUPPORTED"), (411, ""), (501, "")])
async def test_a_put_that_is_refused_becomes_a_patch_and_the_next_blob_knows(refusal: tuple[int, str]) -> None:
    costs = await methods(Manners(put=False, refusal=refusal), blob(), blob(start=1))
    assert costs == [[*REFUSED, *WHOLE_PATCH], WHOLE_PATCH]


async def test_a_patch_that_is_refused_too_becomes_chunks_with_their_ranges() -> None:
    costs = await methods(Manners(put=False, patch=False), blob(), blob(start=1))
    in_chunks = ["POST", "PATCH", "PATCH", "PATCH", "PUT"]
    assert costs == [[*REFUSED, "POST", "PATCH", *in_chunks], in_chunks]


@pytest.mark.parametrize("status", [413, 416])
async def test_a_size_limit_leads_to_chunks_that_are_let_through(status: int) -> None:
    costs = await methods(Manners(most=160 * KIB, too_large=status), blob(), blob(start=1), blob(100 * KIB))
    assert costs == [[*REFUSED, "POST", "PATCH", "PATCH", "PUT"], ["POST", "PATCH", "PATCH", "PUT"], ["POST", "PUT"]]


async def test_chunks_have_the_length_that_is_asked_for_at_least() -> None:
    async with faithful(Manners(most=200 * KIB, least=180 * KIB)) as (server, registry, _):
        await registry.push_blob("a", blob())
    ranges = [seen.headers["content-range"] for seen in server.requests if seen.method == "PATCH"]
    assert ranges == ["0-184319", "184320-307199"]


async def test_a_limit_no_chunk_fits_is_told_with_the_proxys_words() -> None:
    async with faithful(Manners(most=KIB)) as (_, registry, memory):
        with pytest.raises(RegistryRejected, match="limit of the proxy"):
            await registry.push_blob("a", blob())
    assert memory.sessions == {}


async def test_where_nothing_is_left_a_later_blob_is_told_the_limit() -> None:
    async with faithful(Manners(most=160 * KIB, chunks=False)) as (_, registry, _):
        with pytest.raises(RegistryRejected):
            await registry.push_blob("a", blob())
        registry._uploader.learnt.known = UploadCapabilities(chunks=False, most=160 * KIB)
        with pytest.raises(RegistryRejected, match="requests of more than 163840 bytes"):
            await registry.push_blob("a", blob())
        await registry.push_blob("a", blob(100 * KIB))


@pytest.mark.parametrize("refusal", [(400, "CONTENT_LENGTH_INVALID"), (411, "")])
async def test_content_of_unknown_size_goes_in_chunks_where_no_stream_is_taken(refusal: tuple[int, str]) -> None:
    async with faithful(Manners(streams=False, refusal=refusal)) as (server, registry, memory):
        for start in (0, 1):
            await registry.push_blob("a", blob(known=False, start=start))
    lengths = [seen.headers.get("content-length") for seen in server.requests if seen.method == "PATCH"]
    assert lengths == [None, *[str(CHUNK)] * 6]
    assert memory.sessions == {}


async def test_content_of_unknown_size_is_measured_first_where_only_a_put_is_taken() -> None:
    first, second = blob(known=False), blob(known=False, start=1)
    costs = await methods(Manners(streams=False, chunks=False), first, second)
    assert costs[1] == ["POST", "PUT"]
    assert second.reads == 2


async def test_a_registry_that_loses_chunks_is_given_no_more_of_them() -> None:
    """aws/containers-roadmap#2831: what comes after the first PATCH is dropped."""

    profile = UploadCapabilities(put=False, most=160 * KIB)
    reply = Response("PUT", "https://r/v2/a", 400, {}, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
    assert next_capabilities(profile, UploadAttempt(UploadMethod.CHUNKS, 0), reply) == replace(profile, chunks=False)
    assert next_capabilities(profile, UploadAttempt(UploadMethod.PATCH, 0), reply) is None


async def test_a_blob_that_was_damaged_on_the_way_is_sent_once_more_and_not_for_ever() -> None:
    content = blob()
    async with faithful(Manners(put=False, refusal=(400, "DIGEST_INVALID"))) as (_, registry, memory):
        with pytest.raises(RegistryRejected, match="DIGEST_INVALID"):
            await registry.push_blob("a", content)
    assert content.reads == 2
    assert memory.sessions == {}


@pytest.mark.parametrize("known", [True, False])
async def test_a_blob_goes_on_where_the_connection_broke(known: bool) -> None:
    memory = MemoryRegistry()
    cuts = [served(memory, cut=200 * KIB), served(memory, cut=70 * KIB)] if known else []

    def route(seen: Seen) -> Step:
        return cuts.pop(0) if cuts and seen.method in {"PUT", "PATCH"} else served(memory)

    content = blob(600 * KIB, known=known)
    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            await registry.push_blob("a", content)
    if known:
        assert [seen.headers.get("content-range") for seen in server.requests if seen.method == "PATCH"] == [
            "204800-614399",
            "276480-614399",
        ]
        assert content.reads == 3
    assert memory.sessions == {}


async def test_what_was_stored_before_its_answer_was_lost_is_not_sent_again() -> None:
    memory = MemoryRegistry()
    deaf = [served(memory, deaf=True)]

    def route(seen: Seen) -> Step:
        return deaf.pop() if deaf and seen.method == "PUT" else served(memory)

    async with ScriptedRegistry(route=route) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"))
        async with HttpRegistry(settings, pause=Lapse().pause) as registry:
            await registry.push_blob("a", blob())
    assert [seen.method for seen in server.requests][1:] == ["POST", "PUT", "GET", "HEAD"]


async def test_a_session_that_is_lost_is_a_fault_that_may_pass() -> None:
    async with faithful(Manners(put=False, refusal=(400, "BLOB_UPLOAD_INVALID"))) as (_, registry, _):
        with pytest.raises(RegistryFault, match="lost the upload session"):
            await registry.push_blob("a", blob())


# What is learnt; pure


@pytest.mark.parametrize(
    ("size", "status", "most"),
    [
        (1 << 30, 413, MAX_CHUNK_BYTES),
        (MAX_CHUNK_BYTES, 413, MAX_CHUNK_BYTES // 2),
        (5 << 20, 416, GHCR_CHUNK),
        (GHCR_CHUNK, 416, GHCR_CHUNK // 2),
        (2 * MIN_CHUNK_BYTES, 413, MIN_CHUNK_BYTES),
        (2 * MIN_CHUNK_BYTES - 2, 413, None),
    ],
)
def test_a_limit_is_found_from_above(size: int, status: int, most: int | None) -> None:
    reply = Response("PATCH", "https://r/v2/a", status, {}, b"request body is too large")
    learnt = next_capabilities(UploadCapabilities(), UploadAttempt(UploadMethod.CHUNKS, size), reply)
    assert (learnt.most if learnt else None) == most


def test_a_range_that_does_not_fit_is_no_matter_of_size() -> None:
    reply = Response("PATCH", "https://r/v2/a", 416, {}, b'{"errors":[{"code":"RANGE_INVALID"}]}')
    assert next_capabilities(UploadCapabilities(), UploadAttempt(UploadMethod.CHUNKS, 1 << 30), reply) is None


@pytest.mark.parametrize(("way", "lost"), [(way, way is not UploadMethod.PUT) for way in UploadMethod])
def test_a_404_to_the_request_that_ends_a_session_is_about_the_session_that_has_the_bytes(
    way: UploadMethod, lost: bool
) -> None:
    reply = Response("PUT", "https://r/v2/a", 404, {}, b"<h1>Not Found</h1>")
    assert is_session_lost(reply, UploadAttempt(way, 0)) is lost


@pytest.mark.parametrize("code", ["NAME_UNKNOWN", "BLOB_UPLOAD_UNKNOWN"])
def test_a_404_that_is_about_something_else_teaches_nothing(code: str) -> None:
    reply = Response("PUT", "https://r/v2/a", 404, {}, b'{"errors":[{"code":"%s"}]}' % code.encode())
    assert next_capabilities(UploadCapabilities(), UploadAttempt(UploadMethod.PUT, 9), reply) is None


def test_profiles_join_what_each_has_learnt() -> None:
    one, two = UploadCapabilities(put=False, most=10), UploadCapabilities(stream=False, most=20)
    assert one.merge(two) == two.merge(one) == UploadCapabilities(put=False, stream=False, most=10)
    assert UploadCapabilities().merge(UploadCapabilities()) == UploadCapabilities()


@pytest.mark.parametrize(
    ("profile", "size", "offset", "way"),
    [
        (UploadCapabilities(), 100, 40, UploadMethod.PATCH),
        (UploadCapabilities(most=50), 100, 40, UploadMethod.CHUNKS),
        (UploadCapabilities(most=60), 100, 40, UploadMethod.PATCH),
        (UploadCapabilities(), None, 40, UploadMethod.CHUNKS),
        (UploadCapabilities(chunks=False), None, 40, UploadMethod.STREAM),
    ],
)
def test_the_rest_of_a_blob_states_where_it_belongs(
    profile: UploadCapabilities, size: int | None, offset: int, way: UploadMethod
) -> None:
    assert profile.resume_method(size, offset) is way


@pytest.mark.parametrize(
    ("value", "least"),
    [(None, 0), ("", 0), ("5242880", 5 << 20), ("-1", 0), ("9" * 12, 1 << 30), ("9" * 13, 0), ("٣", 0)],
)
def test_a_smallest_chunk_is_believed_when_it_makes_sense(value: str | None, least: int) -> None:
    assert chunk_min_length(value) == least


@pytest.mark.parametrize(
    ("manners", "known", "before"),
    [
        (Manners(), True, ["POST", "PATCH"]),
        (Manners(), False, ["POST", "PATCH"]),
        (Manners(patch=False), True, ["POST", "PATCH", "POST", "PATCH"]),  # and a DELETE at any time
    ],
    ids=["patch", "stream", "chunks"],
)
async def test_the_bytes_go_before_it_is_known_whether_they_are_wanted(
    manners: Manners, known: bool, before: list[str]
) -> None:
    content = UndecidedContent(b"0123456789", known=known)
    async with faithful(manners) as (server, registry, memory):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await asyncio.wait_for(content.asked.wait(), 20)
        await registry.finish()
        assert [seen.method for seen in server.requests if seen.method in before] == before
        assert [len(session) for session in memory.sessions.values()] == [10]
        content.word.set()
        await pushing
        assert [seen.method for seen in server.requests if seen.method in {*before, "PUT"}] == [*before, "PUT"]


async def test_where_a_blob_goes_with_its_last_request_alone_that_one_waits() -> None:
    content = UndecidedContent(b"0123456789")
    async with faithful(Manners(patch=False, chunks=False)) as (_, registry, memory):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await asyncio.wait_for(content.asked.wait(), 20)
        assert not memory.repository("a").blobs
        content.word.set()
        await pushing
        assert memory.repository("a").blobs


async def test_a_session_whose_bytes_are_not_wanted_is_cancelled() -> None:
    content = UndecidedContent(b"0123456789")
    async with faithful(Manners()) as (_, registry, memory):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await asyncio.wait_for(content.asked.wait(), 20)
        assert memory.sessions
        pushing.cancel()
        await asyncio.wait([pushing])
        assert not memory.sessions
        assert not memory.repository("a").blobs
