"""What a registry says of a blob, and what is made of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import RegistryFault, RegistryLost
from app.net.urls import parse_registry_url
from app.net.warnings import collect_warnings
from app.oci import Descriptor, Digest
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.docker_registry import DockerRegistry
from tests.support.lapse import Lapse
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer, raw

DATA = bytes(range(256)) * 40
BLOB = Descriptor("application/octet-stream", Digest.of(DATA), len(DATA))
SHA512 = Descriptor("application/octet-stream", Digest("sha512", hashlib.sha512(DATA).hexdigest()), len(DATA))
Storage = Callable[[Seen], Step]


@asynccontextmanager
async def at(route: Storage) -> AsyncIterator[tuple[ScriptedRegistry, HttpRegistry]]:
    async with (
        ScriptedRegistry(route=lambda seen: None if seen.path == "/v2/" else route(seen)) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url")), pause=Lapse().pause) as registry,
    ):
        yield server, registry


def holds(data: bytes, *, lengths: bool = True, ranges: bool = True, head: int = 200) -> Storage:
    """A registry that has `data` under the digest. `lengths`: states Content-Length. `head`: answers HEAD so."""

    def route(seen: Seen) -> Step:
        if seen.method == "HEAD":
            return answer(head, {"Content-Length": str(len(data))}) if lengths else raw(b"HTTP/1.1 %d X\r\n\r\n" % head)
        if ranges and seen.headers.get("range") == "bytes=0-0":
            return answer(206, {"Content-Range": f"bytes 0-0/{len(data)}"}, data[:1])
        if not lengths:
            return raw(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        return answer(200, {}, data)

    return route


@pytest.mark.parametrize(
    ("route", "there"),
    [
        (holds(DATA), True),
        (holds(DATA[:-1]), False),
        (holds(DATA + b"x"), False),
        (holds(DATA, lengths=False), True),
        (lambda seen: answer(404), False),
    ],
    ids=["whole", "cut", "longer", "unstated", "absent"],
)
async def test_a_blob_of_another_size_is_not_there_and_that_costs_one_request(route: Storage, there: bool) -> None:
    async with at(route) as (server, registry):
        assert await registry.blob_exists("a", BLOB.digest, BLOB.size) is there
    assert len(server.asked) == 1


async def test_a_server_that_states_no_bytes_for_every_head_is_asked_by_get() -> None:
    def route(seen: Seen) -> Step:
        return answer(200, {"Content-Length": "0"}) if seen.method == "HEAD" else holds(DATA)(seen)

    async with at(route) as (server, registry):
        assert await registry.blob_exists("a", BLOB.digest, BLOB.size)
    assert [method for method, _ in server.asked] == ["HEAD", "GET"]


async def test_a_blob_that_was_cut_off_at_its_first_byte_is_not_there() -> None:
    async with at(holds(b"", ranges=False)) as (_, registry):
        assert not await registry.blob_exists("a", BLOB.digest, BLOB.size)


async def test_an_empty_blob_is_there() -> None:
    empty = Descriptor("application/octet-stream", Digest.of(b""), 0)
    async with at(holds(b"")) as (_, registry):
        assert await registry.blob_exists("a", empty.digest, 0)
        await registry.verify_blob("a", empty, read=False)
        await registry.verify_blob("a", empty, read=True)


@pytest.mark.parametrize("blob", [BLOB, SHA512], ids=["sha256", "sha512"])
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_blob_that_is_as_it_should_be_is_verified(blob: Descriptor, lengths: bool, ranges: bool) -> None:
    async with at(holds(DATA, lengths=lengths, ranges=ranges)) as (_, registry):
        await registry.verify_blob("a", blob, read=False)
        await registry.verify_blob("a", blob, read=True)


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1])
async def test_a_part_of_a_blob_is_told_with_both_sizes(size: int, lengths: bool, read: bool) -> None:
    async with at(holds(DATA[:size], lengths=lengths)) as (_, registry):
        with pytest.raises(RegistryLost, match=f"has {size} of {len(DATA)} bytes under {BLOB.digest}") as lost:
            await registry.verify_blob("a", BLOB, read=read)
    assert lost.value.blobs == (str(BLOB.digest),)


async def test_other_bytes_of_the_same_number_are_found_by_reading_alone() -> None:
    async with at(holds(DATA[::-1])) as (_, registry):
        await registry.verify_blob("a", BLOB, read=False)
        with pytest.raises(RegistryLost, match=f"other content under {BLOB.digest}"):
            await registry.verify_blob("a", BLOB, read=True)


async def test_a_registry_that_never_stops_sending_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(connection: Connection, seen: Seen) -> None:
        nonlocal sent
        connection.writer.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        while not connection.writer.is_closing() and sent < 1 << 30:
            connection.writer.write(bytes(1 << 16))
            await connection.writer.drain()
            sent += 1 << 16

    async with at(lambda seen: endless) as (_, registry):
        with pytest.raises(RegistryLost, match=f"of {len(DATA)} bytes"):
            await registry.verify_blob("a", BLOB, read=True)
    assert sent < 1 << 28


# Storage that is asked for by redirects, and signs GET alone


def signed(data: bytes | None, *, refusal: int = 403) -> Storage:
    """A registry that redirects to a storage; that answers GET alone."""

    def route(seen: Seen) -> Step:
        if seen.path.startswith("/v2/"):
            return answer(307, {"Location": "/storage/blob?signature=of-get"})
        if seen.method != "GET":
            return answer(refusal, {}, b"<Error>SignatureDoesNotMatch</Error>")
        return answer(404) if data is None else holds(data)(seen)

    return route


@pytest.mark.parametrize("refusal", [400, 401, 403, 405, 501])
async def test_a_storage_that_signs_get_alone_has_what_it_has(refusal: int) -> None:
    async with at(signed(DATA, refusal=refusal)) as (server, registry):
        assert await registry.blob_exists("a", BLOB.digest, BLOB.size)
        await registry.verify_blob("a", BLOB, read=False)
        await registry.verify_blob("a", BLOB, read=True)
    assert max(len(seen.body) for seen in server.requests) == 0


@pytest.mark.parametrize("read", [True, False])
async def test_of_a_storage_that_signs_get_alone_404_is_lost_and_another_size_is(read: bool) -> None:
    for data in (None, DATA[:5]):
        async with at(signed(data)) as (_, registry):
            assert not await registry.blob_exists("a", BLOB.digest, BLOB.size)
            with pytest.raises(RegistryLost):
                await registry.verify_blob("a", BLOB, read=read)


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 405, 501])
async def test_an_account_that_may_not_read_is_told_by_a_notice_and_fails_no_push(status: int, read: bool) -> None:
    told: list[str] = []
    with collect_warnings(told.append):
        async with at(lambda seen: answer(307, {"Location": "/x"}) if seen.path != "/x" else answer(status)) as (_, it):
            await it.verify_blob("a", BLOB, read=read)
    assert len(told) == 1
    assert str(BLOB.digest) in told[0]


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_an_outage_proves_nothing(status: int) -> None:
    async with at(lambda seen: answer(status)) as (_, registry):
        with pytest.raises(RegistryFault):
            await registry.verify_blob("a", BLOB, read=False)
        with pytest.raises(RegistryFault):
            await registry.verify_blob("a", BLOB, read=True)


async def test_a_registry_that_answers_403_for_what_is_not_there_is_asked_by_get_for_a_proof() -> None:
    """Artifactory, RTFACT-13797."""
    async with at(lambda seen: answer(403 if seen.method == "HEAD" else 404)) as (_, registry):
        assert not await registry.blob_exists("a", BLOB.digest, BLOB.size)
        with pytest.raises(RegistryLost):
            await registry.verify_blob("a", BLOB, read=False)


# A real registry


async def test_a_file_that_is_damaged_at_a_real_registry_is_found(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry") as server:
        async with HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry:
            await registry.push_blob("a", BytesContent(DATA))
            await registry.verify_blob("a", BLOB, read=False)
            await registry.verify_blob("a", BLOB, read=True)
            (file,) = server.storage.glob(f"docker/registry/v2/blobs/sha256/*/{BLOB.digest.encoded}/data")
            file.write_bytes(DATA[::-1])
            await registry.verify_blob("a", BLOB, read=False)
            with pytest.raises(RegistryLost, match=f"other content under {BLOB.digest}"):
                await registry.verify_blob("a", BLOB, read=True)
            file.write_bytes(DATA[:100])
            for read in (True, False):
                with pytest.raises(RegistryLost, match=f"has 100 of {len(DATA)} bytes"):
                    await registry.verify_blob("a", BLOB, read=read)
            assert not await registry.blob_exists("a", BLOB.digest, BLOB.size)


async def test_blobs_that_are_read_back_hold_little_memory_however_many_they_are() -> None:
    data = bytes(9 << 20)
    blob = Descriptor("application/octet-stream", Digest.of(data), len(data))
    under_way = most = 0

    def route(seen: Seen) -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await connection.answer(200, {}, data)
            under_way -= 1

        return step

    async with at(route) as (_, registry), asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(registry.verify_blob("a", blob, read=True))
    assert most <= 4
