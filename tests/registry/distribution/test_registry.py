"""HttpRegistry: what it asks for, how often, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app import __version__
from app.errors import (
    DigestMismatch,
    Failure,
    Internal,
    RegistryDenied,
    RegistryFault,
    RegistryRateLimited,
    RegistryRejected,
    RegistryUnreachable,
    SizeMismatch,
)
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest, media_types
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution import hints
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent, EndlessContent, FailingContent, LyingContent
from tests.support.memory_registry import Manners, MemoryRegistry, Receive, Send, basic
from tests.support.scripted_registry import (
    Connection,
    ScriptedRegistry,
    Seen,
    Step,
    answer,
    answer_and_stall,
    answer_early,
    answer_rudely,
    close,
    hang,
    raw,
    reset_after,
)

DIGEST = Digest.of(b"layer")
UPLOAD = {"Location": "/v2/a/blobs/uploads/1?_state=x%3D"}
RAW = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}).encode()
INDEX = Descriptor(media_types.OCI_INDEX, Digest.of(RAW), len(RAW))

pytestmark = pytest.mark.leaping


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[tuple[ScriptedRegistry, HttpRegistry]]:
    async with (
        ScriptedRegistry(steps) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry,
    ):
        yield server, registry


# What is asked, and how often


async def test_a_new_blob_costs_three_requests_with_its_head() -> None:
    memory = MemoryRegistry()
    async with memory.client() as registry:
        await registry.check()
        memory.requests.clear()
        assert not await registry.blob_exists("team/app", DIGEST)
        await registry.push_blob("team/app", BytesContent(b"layer"))
    assert [method for method, _ in memory.requests] == ["HEAD", "POST", "PUT"]


async def test_an_image_that_is_there_costs_two_requests_with_the_ping() -> None:
    memory = MemoryRegistry()
    async with memory.client() as registry:
        await registry.push_manifest("team/app", "1", (INDEX, RAW))
    memory.requests.clear()
    async with memory.client() as registry:
        assert await registry.find_manifest("team/app", "1") == INDEX.digest
    assert memory.requests == [("GET", "/v2/"), ("HEAD", "/v2/team/app/manifests/1")]


async def test_many_calls_at_once_ping_once() -> None:
    memory = MemoryRegistry()
    async with memory.client() as registry, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(registry.blob_exists("team/app", DIGEST))
    assert memory.requests.count(("GET", "/v2/")) == 1


async def test_requests_say_who_asks_and_take_nothing_compressed() -> None:
    async with scripted(answer(404)) as (server, registry):
        await registry.find_manifest("team/app", "1")
    headers = server.requests[-1].headers
    assert headers["user-agent"] == f"tarmac/{__version__}"
    assert headers["accept-encoding"] == "identity"
    for media_type in (media_types.OCI_MANIFEST, media_types.OCI_INDEX, media_types.DOCKER_MANIFEST):
        assert media_type in headers["accept"]


async def test_a_blob_goes_in_one_put_with_its_length_to_the_sessions_own_url() -> None:
    async with scripted(answer(202, UPLOAD), answer(201)) as (server, registry):
        await registry.push_blob("a", BytesContent(b"layer", cut=2))
    post, put = server.requests[1:]
    assert post.headers["content-length"] == "0"
    assert put.target == f"/v2/a/blobs/uploads/1?_state=x%3D&digest=sha256%3A{DIGEST.encoded}"
    assert (put.headers["content-length"], put.headers["content-type"]) == ("5", "application/octet-stream")
    assert (bytes(put.body), put.complete) == (b"layer", True)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_blob_of_unknown_size_is_patched_and_then_closed_where_the_answer_says(status: int) -> None:
    moved = {"Location": "/v2/a/blobs/uploads/2"}
    async with scripted(answer(202, UPLOAD), answer(status, moved), answer(201)) as (server, registry):
        assert await registry.push_blob("a", BytesContent(b"layer", known=False, cut=2)) == (DIGEST, 5)
    _, patch, put = server.requests[1:]
    assert (patch.method, patch.headers["transfer-encoding"], bytes(patch.body)) == ("PATCH", "chunked", b"layer")
    assert "content-length" not in patch.headers
    assert "content-range" not in patch.headers
    assert put.target == f"/v2/a/blobs/uploads/2?digest=sha256%3A{DIGEST.encoded}"
    assert put.headers["content-length"] == "0"


async def test_a_patch_without_a_location_leaves_the_session_where_it_was() -> None:
    async with scripted(answer(202, UPLOAD), answer(202), answer(201)) as (server, registry):
        await registry.push_blob("a", BytesContent(b"layer", known=False))
    assert server.asked[-1] == ("PUT", "/v2/a/blobs/uploads/1")


@pytest.mark.parametrize("absolute", [True, False])
async def test_absolute_and_relative_locations_are_followed(absolute: bool) -> None:
    memory = MemoryRegistry(Manners(absolute_locations=absolute))
    async with memory.client() as registry:
        await registry.push_blob("team/app", BytesContent(b"layer"))
        await registry.push_blob("team/app", BytesContent(b"other", known=False))
    assert memory.sessions == {}


async def test_the_name_is_the_one_references_show() -> None:
    assert (
        HttpRegistry(HttpRegistrySettings(parse_registry_url("https://r.local:5000/team", "url"))).name
        == "r.local:5000"
    )


# Redirects and other hosts


async def test_a_redirect_is_followed_with_the_body_from_its_start() -> None:
    content = BytesContent(b"layer", cut=2)
    steps = answer(202, UPLOAD), answer(307, {"Location": "/elsewhere?x=1"}), answer(201)
    async with scripted(*steps) as (server, registry):
        await registry.push_blob("a", content)
    assert server.requests[-1].target == "/elsewhere?x=1"
    assert (bytes(server.requests[-1].body), content.reads) == (b"layer", 2)


async def test_redirects_end_after_five() -> None:
    steps = [answer(307, {"Location": "/v2/again"}) for _ in range(9)]
    async with scripted(*steps) as (server, registry):
        with pytest.raises(RegistryRejected, match="more than 5"):
            await registry.blob_exists("a", DIGEST)
    assert len(server.asked) == 6


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_would_turn_a_put_into_a_get_is_an_error(status: int) -> None:
    async with scripted(answer(status, {"Location": "/elsewhere"})) as (server, registry):
        with pytest.raises(RegistryRejected, match=str(status)):
            await registry.push_manifest("a", "1", (INDEX, RAW))
    assert len(server.asked) == 1


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "http://169.254.169.254/latest", "http://localhost:1/"])
async def test_an_inner_address_is_not_called_on_a_registrys_word(location: str) -> None:
    async with scripted(answer(307, {"Location": location})) as (_, registry):
        with pytest.raises(RegistryRejected, match="not followed"):
            await registry.blob_exists("a", DIGEST)
    async with scripted(answer(202, {"Location": location})) as (_, registry):
        with pytest.raises(RegistryRejected, match="not followed"):
            await registry.push_blob("a", BytesContent(b"layer"))


@pytest.mark.parametrize("by", ["redirect", "location"])
async def test_credentials_stay_with_the_origin_they_belong_to(by: str) -> None:
    """GHSA-vh4v-2xq2-g5cg, GHSA-jxpm-75mh-9fp7. A registry and its storage, told apart by the Host header."""
    seen: list[tuple[str, str | None]] = []

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        host, path = headers["host"], scope["path"]
        seen.append((host, headers.get("authorization")))
        status, answers = 200, list[tuple[bytes, bytes]]()
        if host == "registry.test" and headers.get("authorization") != basic("u", "p"):
            status, answers = 401, [(b"www-authenticate", b'Basic realm="x"')]
        elif host == "registry.test" and path != "/v2/":
            status, answers = (307 if by == "redirect" else 202), [(b"location", b"http://storage.test/up")]
        elif host == "storage.test":
            status = 201
        await send({"type": "http.response.start", "status": status, "headers": answers})
        await send({"type": "http.response.body"})

    settings = HttpRegistrySettings(
        parse_registry_url("http://registry.test", "url"), credentials=FixedCredentials(Credentials("u", "p"))
    )
    async with HttpRegistry(settings, httpx.ASGITransport(app=app)) as registry:
        if by == "redirect":
            with pytest.raises(RegistryRejected):
                await registry.push_blob("a", BytesContent(b"layer"))
        else:
            await registry.push_blob("a", BytesContent(b"layer"))
    assert ("registry.test", basic("u", "p")) in seen
    assert {value for host, value in seen if host == "storage.test"} == {None}


# Manifests


async def test_a_manifest_is_put_with_exactly_its_bytes_and_its_media_type() -> None:
    async with scripted(answer(201)) as (server, registry):
        await registry.push_manifest("a", "1", (INDEX, RAW))
    put = server.requests[-1]
    assert (put.headers["content-type"], bytes(put.body)) == (media_types.OCI_INDEX, RAW)


async def test_a_digest_that_differs_from_the_one_sent_is_an_error() -> None:
    other = {"Docker-Content-Digest": str(DIGEST)}
    async with scripted(answer(201, other)) as (_, registry):
        with pytest.raises(RegistryFault, match="damaged"):
            await registry.push_manifest("a", "1", (INDEX, RAW))
    async with scripted(answer(202, UPLOAD), answer(201, other), answer(204)) as (_, registry):
        with pytest.raises(RegistryFault, match="damaged"):
            await registry.push_blob("a", BytesContent(b"other"))


@pytest.mark.parametrize("stated", [f"sha512:{hashlib.sha512(RAW).hexdigest()}", "nonsense", "blake3:" + "0" * 64])
async def test_a_digest_by_another_algorithm_is_compared_where_it_is_known(stated: str) -> None:
    async with scripted(answer(201, {"Docker-Content-Digest": stated})) as (_, registry):
        await registry.push_manifest("a", "1", (INDEX, RAW))


async def test_a_wrong_digest_by_another_algorithm_is_an_error() -> None:
    async with scripted(answer(201, {"Docker-Content-Digest": "sha512:" + "0" * 128})) as (_, registry):
        with pytest.raises(RegistryFault, match="damaged"):
            await registry.push_manifest("a", "1", (INDEX, RAW))


@pytest.mark.parametrize("status", [403, 405])
async def test_a_head_that_is_not_answered_counts_as_not_there(status: int) -> None:
    memory = MemoryRegistry(Manners(refused_heads=status))
    async with memory.client() as registry:
        await registry.push_manifest("a", "1", (INDEX, RAW))
        assert await registry.find_manifest("a", "1") is None
    async with scripted(answer(status)) as (_, scripted_registry):
        assert not await scripted_registry.blob_exists("a", DIGEST)


async def test_without_a_stated_digest_the_manifest_is_read_and_hashed() -> None:
    memory = MemoryRegistry(Manners(states_digests=False))
    async with memory.client() as registry:
        await registry.push_manifest("a", "1", (INDEX, RAW))
        assert await registry.find_manifest("a", "1") == INDEX.digest
    async with scripted(answer(200), answer(404)) as (_, vanishing):
        assert await vanishing.find_manifest("a", "1") is None


async def test_a_manifest_by_sha512_is_checked_by_sha512() -> None:
    hasher = Digest("sha512", "0" * 128).hasher()
    hasher.update(RAW)
    digest = Digest("sha512", hasher.hexdigest())
    async with scripted(answer(200, {"Content-Type": media_types.OCI_INDEX + "; charset=utf-8"}, RAW)) as (_, registry):
        stored = await registry.read_manifest("a", str(digest))
    assert stored is not None
    assert (stored.digest, stored.media_type) == (digest, media_types.OCI_INDEX)


@pytest.mark.parametrize("reference", [str(INDEX.digest), "1"])
async def test_a_manifest_that_is_not_what_its_digest_says_is_refused(reference: str) -> None:
    async with scripted(answer(200, {"Docker-Content-Digest": str(INDEX.digest)}, RAW + b" ")) as (_, registry):
        with pytest.raises(RegistryFault, match="damaged"):
            await registry.read_manifest("a", reference)


async def test_an_endless_manifest_is_not_read_to_its_end() -> None:
    async with scripted(answer(200, body=bytes((4 << 20) + 1))) as (_, registry):
        with pytest.raises(RegistryRejected, match="4194304 bytes"):
            await registry.read_manifest("a", "1")


# Refusals


async def test_a_project_that_does_not_exist_is_told_so() -> None:
    memory = MemoryRegistry(Manners(created=frozenset({"team/app"})))
    async with memory.client() as registry:
        with pytest.raises(RegistryDenied, match=hints.MISSING_REPOSITORY):
            await registry.push_blob("team/other", BytesContent(b"layer"))


async def test_a_rate_limit_tells_how_long_to_wait() -> None:
    async with scripted(answer(429, {"Retry-After": "17"})) as (_, registry):
        with pytest.raises(RegistryRateLimited) as limited:
            await registry.blob_exists("a", DIGEST)
    assert limited.value.retry_after == 17


async def test_no_refusal_of_a_mount_is_fatal() -> None:
    for status in (400, 401, 403, 404, 405, 429, 500):
        async with scripted(answer(status)) as (_, registry):
            assert not await registry.mount_blob("a", DIGEST, "b")


async def test_a_mount_that_breaks_off_is_not_fatal_either() -> None:
    async with scripted(close()) as (_, registry):
        assert not await registry.mount_blob("a", DIGEST, "b")


async def test_a_ping_that_fails_is_told_and_tried_anew_by_the_next_call() -> None:
    steps = [answer(500), answer(200), answer(200)]
    async with ScriptedRegistry(steps, ping=True) as server:
        registry = HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url")))
        async with registry:
            with pytest.raises(RegistryFault, match="500"):
                await registry.check()
            await registry.check()


async def test_a_mount_that_opens_a_session_instead_cancels_it() -> None:
    memory = MemoryRegistry(Manners(mounts=False))
    async with memory.client() as registry:
        assert not await registry.mount_blob("a", DIGEST, "b")
    assert memory.sessions == {}


async def test_an_upload_without_a_location_is_a_fault_of_the_registry() -> None:
    async with scripted(answer(202)) as (_, registry):
        with pytest.raises(RegistryFault, match="Location"):
            await registry.push_blob("a", BytesContent(b"layer"))


async def test_a_large_error_page_is_read_in_part() -> None:
    async with scripted(answer(403, body=b"x" * 1_000_000)) as (_, registry):
        with pytest.raises(RegistryDenied) as denied:
            await registry.push_manifest("a", "1", (INDEX, RAW))
    assert len(str(denied.value)) < 3000


@pytest.mark.parametrize("step", [answer(503), answer(400), answer_early(413), reset_after(2), close()])
@pytest.mark.parametrize("known", [True, False])
async def test_a_blob_that_fails_has_its_session_cancelled(step: Step, known: bool) -> None:
    async with scripted(answer(202, UPLOAD), step, answer(204)) as (server, registry):
        with pytest.raises((RegistryFault, RegistryRejected, RegistryUnreachable)):
            await registry.push_blob("a", BytesContent(b"layer", known=known))
    assert server.asked[-1] == ("DELETE", "/v2/a/blobs/uploads/1")


@pytest.mark.parametrize(
    "step",
    [
        answer_early(400, b"not by this proxy", 1000),
        answer_rudely(400, b"not by this proxy", 1000),
        answer_and_stall(400, b"not by this proxy", 1000),
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_an_early_answer_is_read_while_the_body_is_being_sent(step: Step, known: bool) -> None:
    content = BytesContent(bytes(16 << 20), known=known)
    async with scripted(answer(202, UPLOAD), step, answer(204)) as (server, registry):
        with pytest.raises(RegistryRejected, match="not by this proxy"):
            await registry.push_blob("a", content)
    assert not server.requests[2].complete


async def test_an_informational_answer_does_not_end_the_body() -> None:
    async def step(connection: Connection, seen: Seen) -> None:
        connection.writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await connection.read_body(seen)
        await connection.answer(201, {}, b"")

    content = BytesContent(bytes(4 << 20))
    async with scripted(answer(202, UPLOAD), step) as (server, registry):
        await registry.push_blob("a", content)
    assert server.requests[2].complete


async def test_a_far_end_that_takes_no_bytes_is_given_up() -> None:
    async def step(connection: Connection, seen: Seen) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    content = BytesContent(bytes(64 << 20))
    async with scripted(answer(202, UPLOAD), step, answer(204)) as (_, registry):
        with pytest.raises(RegistryUnreachable, match=r"timed out \(sending\)"):
            await registry.push_blob("a", content)


@pytest.mark.parametrize("error", [DigestMismatch("bad"), OSError("disk gone")])
async def test_an_error_of_the_content_passes_unchanged_and_the_blob_never_is_complete(error: Exception) -> None:
    for known in (True, False):
        content = FailingContent(b"0123456789", error)  # type: ignore[arg-type]
        if not known:
            content._digest = None
        async with scripted(answer(202, UPLOAD), answer(201), answer(204)) as (server, registry):
            with pytest.raises(type(error)) as raised:
                await registry.push_blob("a", content)
        assert raised.value is error
        assert known != server.requests[2].complete  # a stream ends well, and its session is not closed but cancelled
        assert [method for method, _ in server.asked] == ["POST", "PUT" if known else "PATCH", "DELETE"]


@pytest.mark.parametrize("stated", [7, 12])
async def test_a_body_of_another_length_than_stated_never_is_complete(stated: int) -> None:
    async with scripted(answer(202, UPLOAD), answer(201), answer(204)) as (server, registry):
        with pytest.raises(SizeMismatch):
            await registry.push_blob("a", LyingContent(b"0123456789", stated))
    assert not server.requests[2].complete


async def test_a_cancelled_push_cancels_its_session() -> None:
    content = EndlessContent(b"0123456789")
    async with scripted(answer(202, UPLOAD), answer(201), answer(204)) as (server, registry):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await content.begun.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        assert server.asked[-1] == ("DELETE", "/v2/a/blobs/uploads/1")


class EarlyContent(EndlessContent):
    """Knows its size, as a layer that is compressed does, before the last of its bytes is taken."""

    size = None

    async def chunks(self) -> AsyncIterator[bytes]:
        self.size = len(self.data)
        async for chunk in super().chunks():
            yield chunk


async def test_a_stream_is_ended_well_when_it_is_cancelled_though_its_size_is_known_by_then() -> None:
    """Distribution 2 cancels no session whose request broke off."""
    content = EarlyContent(b"0123456789")
    async with scripted(answer(202, UPLOAD), answer(202, UPLOAD), answer(204)) as (server, registry):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await content.begun.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
    assert [method for method, _ in server.asked] == ["POST", "PATCH", "DELETE"]
    assert server.requests[1].complete


async def test_a_session_that_was_asked_for_is_cancelled_when_it_is_known() -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def late(connection: Connection, seen: Seen) -> None:
        asked.set()
        await told.wait()
        await answer(202, UPLOAD)(connection, seen)

    async with scripted(late, answer(204)) as (server, registry):
        pushing = asyncio.create_task(registry.push_blob("a", BytesContent(b"0123456789")))
        await asked.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        told.set()
    assert server.asked == [("POST", "/v2/a/blobs/uploads/"), ("DELETE", "/v2/a/blobs/uploads/1")]


async def test_a_session_that_nobody_hears_of_is_given_up() -> None:
    asked = asyncio.Event()
    async with scripted(hang(asked)) as (server, registry):
        pushing = asyncio.create_task(registry.push_blob("a", BytesContent(b"0123456789")))
        await asked.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
    assert server.asked == [("POST", "/v2/a/blobs/uploads/")]


async def test_a_manifest_that_is_on_its_way_is_there_when_its_push_is_cancelled() -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def late(connection: Connection, seen: Seen) -> None:
        asked.set()
        await told.wait()
        await answer(201)(connection, seen)

    raw = b"{}"
    manifest = (Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(raw), len(raw)), raw)
    async with scripted(late) as (server, registry):
        pushing = asyncio.create_task(registry.push_manifest("a", "1", manifest))
        await asked.wait()
        pushing.cancel()
        told.set()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        assert server.requests[0].complete


async def test_a_session_is_cancelled_even_when_the_push_is_cancelled_twice() -> None:
    content, deleting = EndlessContent(b"0123456789"), asyncio.Event()
    async with scripted(answer(202, UPLOAD), answer(201), hang(deleting)) as (server, registry):
        pushing = asyncio.create_task(registry.push_blob("a", content))
        await content.begun.wait()
        pushing.cancel()
        await deleting.wait()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
    assert server.asked[-1] == ("DELETE", "/v2/a/blobs/uploads/1")


async def test_content_that_never_learns_its_digest_is_a_fault_of_ours() -> None:
    class Nameless(BytesContent):
        @property
        def digest(self) -> None:
            return None

    async with scripted(answer(202, UPLOAD), answer(202, UPLOAD), answer(204)) as (server, registry):
        with pytest.raises(Internal):
            await registry.push_blob("a", Nameless(b"layer", known=False))
    assert server.asked[-1][0] == "DELETE"


# Silence and nonsense


async def test_a_registry_that_does_not_answer_is_given_up() -> None:
    async with scripted(hang()) as (_, registry):
        with pytest.raises(RegistryUnreachable, match="timed out"):
            await registry.blob_exists("a", DIGEST)
    async with scripted(hang()) as (_, registry):
        with pytest.raises(RegistryUnreachable, match="timed out"):
            await registry.push_manifest("a", "1", (INDEX, RAW))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"220 smtp ready\r\n",
    ],
)
async def test_an_answer_that_ends_early_is_unreachable(nonsense: bytes) -> None:
    async with scripted(raw(nonsense), raw(nonsense)) as (_, registry):
        with pytest.raises(RegistryUnreachable) as caught:
            await registry.read_manifest("a", "1")
    assert caught.value.failure is (Failure.CUT_RESPONSE if nonsense else Failure.UNANSWERED)


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000, b"220 smtp ready\r\n\r\n"])
async def test_an_answer_that_is_no_http_breaks_the_protocol(nonsense: bytes) -> None:
    async with scripted(raw(nonsense), raw(nonsense)) as (_, registry):
        with pytest.raises(RegistryFault, match=r"HTTP/1\.1") as caught:
            await registry.read_manifest("a", "1")
    assert caught.value.failure is Failure.BROKEN_RESPONSE


async def test_a_body_that_stops_in_its_middle_has_an_end() -> None:
    async def stop(connection: Connection, seen: Seen) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n.")
        await connection.reader.read()

    async with scripted(stop) as (_, registry):
        with pytest.raises(RegistryUnreachable, match="sent 1 bytes") as caught:
            await registry.read_manifest("a", "1")
    assert caught.value.failure is Failure.CUT_RESPONSE


async def test_a_body_that_only_explains_is_not_waited_for() -> None:
    """What counts is the head: a wrong length behind it makes no stored manifest a failure."""

    async def stop(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen)
        connection.writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n.")
        await connection.reader.read()

    async with scripted(stop) as (_, registry):
        await registry.push_manifest("a", "1", (INDEX, RAW))


@pytest.mark.parametrize("target", ["https://{host}/v2/", "https://127.0.0.1:1/v2/"])
async def test_a_registry_that_redirects_to_https_is_named_so(target: str) -> None:
    def route(seen: Seen) -> Step:
        return answer(308, {"Location": target.format(host=seen.headers["host"])})

    async with (
        ScriptedRegistry(route=route) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry,
    ):
        for verb in (registry.check(), registry.push_manifest("a", "1", (INDEX, RAW))):
            with pytest.raises(RegistryRejected, match=r"write https://127\.0\.0\.1") as caught:
                await verb
            assert not caught.value.retryable


async def test_a_manifest_that_is_refused_because_of_its_urls_says_which_setting_allows_them() -> None:
    layer = {"mediaType": media_types.DOCKER_FOREIGN_LAYER, "digest": str(DIGEST), "size": 1, "urls": ["https://x/y"]}
    config = {"mediaType": media_types.DOCKER_CONFIG, "digest": str(DIGEST), "size": 1}
    document = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": config, "layers": [layer]}
    foreign = json.dumps(document).encode()
    old = Descriptor("application/vnd.docker.distribution.manifest.v1+prettyjws", Digest.of(b"{}"), 2)
    new = Descriptor(media_types.DOCKER_MANIFEST, Digest.of(foreign), len(foreign))
    for manifest, words in (((new, foreign), "validation.manifests.urls"), ((old, b"{}"), "schema 1")):
        async with scripted(answer(500)) as (_, registry):
            with pytest.raises(RegistryFault, match=words) as caught:
                await registry.push_manifest("a", "1", manifest)
        assert caught.value.failure is Failure.CONTENT_ERROR


async def test_an_answer_that_drips_has_an_end() -> None:
    async def drip(connection: Connection, seen: Seen) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        left = asyncio.create_task(connection.reader.read())
        while not left.done():
            connection.writer.write(b".")
            await asyncio.wait((left,), timeout=10)

    async with scripted(drip) as (_, registry):
        with pytest.raises(RegistryUnreachable, match="300 s"):
            await registry.read_manifest("a", "1")


@pytest.mark.parametrize("host", ["xn--a", "a..b", "a" * 70 + ".local"])
async def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    async with HttpRegistry(HttpRegistrySettings(parse_registry_url(f"http://{host}", "url"))) as registry:
        with pytest.raises((RegistryRejected, RegistryUnreachable)):
            await registry.check()


async def test_content_may_be_any_iterator() -> None:
    class Plain(BytesContent):
        def chunks(self) -> AsyncIterator[bytes]:
            return Chunks([b"lay", b"er"])

    class Chunks:
        def __init__(self, chunks: list[bytes]) -> None:
            self.left = chunks

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    memory = MemoryRegistry()
    async with memory.client() as registry:
        assert await registry.push_blob("a", Plain(b"layer")) == (DIGEST, 5)


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await HttpRegistry(HttpRegistrySettings(parse_registry_url("r.local", "url"))).check()


async def test_closing_twice_is_no_error() -> None:
    async with scripted() as (_, registry):
        await registry.close()


# Connections that were closed while idle


@pytest.mark.parametrize("step", [close(), reset_after(0)])
async def test_a_connection_closed_under_us_is_replaced_without_a_word(step: Step) -> None:
    async with scripted(step, answer(404)) as (server, registry):
        assert not await registry.blob_exists("a", DIGEST)
    assert len(server.asked) == 2


async def test_a_new_connection_that_is_closed_is_an_error() -> None:
    async with (
        ScriptedRegistry([close(), answer(200)], ping=True) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry,
    ):
        with pytest.raises(RegistryUnreachable):
            await registry.blob_exists("a", DIGEST)
    assert len(server.requests) == 1


@pytest.mark.parametrize("step", [raw(b"HTTP/1.1 2"), raw(b"HTTP/1.1 200 OK\r\nContent-Le")])
async def test_an_answer_that_has_begun_is_not_asked_for_again(step: Step) -> None:
    async with scripted(step, answer(200)) as (server, registry):
        with pytest.raises(RegistryUnreachable):
            await registry.blob_exists("a", DIGEST)
    assert len(server.asked) == 1


async def test_a_body_that_is_read_anew_each_time_is_not_sent_twice_unasked() -> None:
    async with scripted(answer(202, UPLOAD), close(), answer(204)) as (server, registry):
        with pytest.raises(RegistryUnreachable):
            await registry.push_blob("a", BytesContent(b"layer"))
    assert [method for method, _ in server.asked] == ["POST", "PUT", "DELETE"]


async def test_a_malformed_429_is_a_rate_limit_all_the_same() -> None:
    """docker/hub-feedback#1907: Docker Hub ends its lines with bare LF."""
    hub = b"HTTP/1.1 429 Too Many Requests\nRetry-After: 60\nContent-Length: 5\n\nslow!"
    async with scripted(raw(hub)) as (_, registry):
        with pytest.raises(RegistryRateLimited) as limited:
            await registry.find_manifest("a", "1")
    assert limited.value.retry_after == 60
