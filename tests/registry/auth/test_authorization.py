"""What a registry asks for may differ from one repository to the next, be missing, or be of no use."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import RegistryAuth, RegistryDenied, RegistryRejected
from app.net.urls import parse_registry_url
from app.oci import Digest
from app.registry.auth import ANONYMOUS, Credentials, CredentialSource, FixedCredentials
from app.registry.auth.authorization import scopes_in
from app.registry.auth.challenge import Challenge
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer

RIGHT = FixedCredentials(Credentials("user", "password"))
BASIC = "Basic " + base64.b64encode(b"user:password").decode()
DIGEST = Digest.of(b"layer")
Route = Callable[[Seen], Step]


@asynccontextmanager
async def serving(
    route: Route, credentials: CredentialSource = RIGHT
) -> AsyncIterator[tuple[ScriptedRegistry, HttpRegistry]]:
    async with ScriptedRegistry(route=route, ping=True) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.url, "url"), credentials=credentials)
        async with HttpRegistry(settings) as registry:
            yield server, registry


def taking(seen: Seen) -> Step:
    """A registry that takes every blob and has none."""
    if seen.method == "POST":
        return answer(202, {"Location": f"{seen.path}1"})
    return answer({"PUT": 201, "HEAD": 404}.get(seen.method, 200), body=b"{}")


def asking(*challenges: str, status: int = 401) -> Step:
    return answer(status, {"WWW-Authenticate": ", ".join(challenges)} if challenges else {})


def repository_of(seen: Seen) -> str:
    return seen.path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]


async def test_each_repository_may_have_a_token_service_of_its_own() -> None:
    def route(seen: Seen) -> Step:
        host, given = seen.headers["host"], seen.headers.get("authorization")
        if seen.path.startswith("/token/"):
            return answer(200, body=b'{"token": "for-%s"}' % seen.path.removeprefix("/token/").encode())
        key = repository_of(seen).partition("/")[0] or "null"
        if given != f"Bearer for-{key}":
            return asking(f'Bearer realm="http://{host}/token/{key}",service="s"')
        return taking(seen)

    names = [f"{key}/app-{number}" for number in range(4) for key in ("one", "two", "three")]
    async with serving(route) as (server, registry):
        for _ in range(2):
            for name in names:
                assert await registry.push_blob(name, BytesContent(b"layer"))
    asked = [seen for seen in server.requests if seen.path != "/v2/" and not seen.path.startswith("/token/")]
    wrong = [
        seen for seen in asked if seen.headers["authorization"] != f"Bearer for-{repository_of(seen).partition('/')[0]}"
    ]
    assert len(wrong) == 3, "one for each key"


@pytest.mark.parametrize("useless", ["Bearer", 'Bearer service="s"', 'Bearer realm="",service="s"', 'Bearer realm="x"'])
async def test_a_bearer_challenge_without_a_realm_beside_basic_is_ignored(useless: str) -> None:
    def route(seen: Seen) -> Step:
        if seen.headers.get("authorization") != BASIC:
            return asking(useless, 'Basic realm="registry"')
        return taking(seen)

    async with serving(route) as (_, registry):
        assert (await registry.check()).authentication == "basic"
        await registry.push_blob("team/app", BytesContent(b"layer"))


async def test_what_a_challenge_asks_for_besides_is_asked_for_after_a_refusal_and_kept() -> None:
    """A registry behind a proxy that puts a path before its repositories knows them under another name."""
    ours, theirs = "repository:team/app:pull,push", "repository:inner/team/app:pull,push"
    asked: list[list[str]] = []

    def route(seen: Seen) -> Step:
        if seen.path == "/token":
            scopes = parse_qs(urlsplit(seen.target).query).get("scope", [])
            asked.append(scopes)
            return answer(200, body=b'{"token": "%s"}' % (b"good" if theirs in scopes else b"bad"))
        if seen.headers.get("authorization") != "Bearer good":
            scope = ',scope="repository:inner/team/app:push,pull"' if seen.path != "/v2/" else ""
            return asking(f'Bearer realm="http://{seen.headers["host"]}/token",service="s"{scope}')
        return taking(seen)

    async with serving(route) as (_, registry):
        for _ in range(3):
            await registry.push_blob("team/app", BytesContent(b"layer"))
    assert asked == [[ours], [ours], [ours, theirs]], "a token, a fresh one, and one for what the challenge names"


async def test_scopes_are_compared_whatever_the_order_of_their_actions() -> None:
    text = "repository:a:push,pull repository:b:5000/c:pull registry:catalog:* odd"
    assert scopes_in(Challenge("bearer", {"scope": text})) == (
        "repository:a:pull,push",
        "repository:b:5000/c:pull",
        "registry:catalog:*",
        "odd",
    )
    assert scopes_in(Challenge("bearer", {})) == ()


@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_nobody_asks_for_are_tried_once_and_kept_if_they_help(status: int) -> None:
    def route(seen: Seen) -> Step:
        if seen.path == "/v2/" or seen.headers.get("authorization") == BASIC:
            return taking(seen)
        return asking(status=status)

    async with serving(route) as (server, registry):
        for _ in range(3):
            await registry.push_blob("team/app", BytesContent(b"layer"))
    assert len([seen for seen in server.requests if seen.path != "/v2/" and "authorization" not in seen.headers]) == 1


async def test_credentials_that_help_are_kept_though_one_request_is_forbidden() -> None:
    def route(seen: Seen) -> Step:
        if seen.headers.get("authorization") != BASIC and seen.path != "/v2/":
            return asking()
        return asking(status=403) if seen.method == "PUT" and "manifests" in seen.path else taking(seen)

    async with serving(route) as (server, registry):
        await registry.push_blob("team/app", BytesContent(b"layer"))
        assert await registry.find_manifest("team/app", "1") is None
        await registry.push_blob("team/app", BytesContent(b"layer"))
    assert len([seen for seen in server.requests if seen.path != "/v2/" and "authorization" not in seen.headers]) == 1


@pytest.mark.parametrize(("status", "kind"), [(401, RegistryAuth), (403, RegistryDenied)])
async def test_credentials_that_nobody_asks_for_and_that_do_not_help_are_named(
    status: int, kind: type[Exception]
) -> None:
    def route(seen: Seen) -> Step:
        return taking(seen) if seen.path == "/v2/" else asking(status=status)

    async with serving(route) as (server, registry):
        for _ in range(2):
            with pytest.raises(kind, match="did not ask for the configured credentials"):
                await registry.push_blob("team/app", BytesContent(b"layer"))
    sent = [seen for seen in server.requests if seen.headers.get("authorization") == BASIC]
    assert len(sent) == 1, "they are tried once"


async def test_a_check_names_credentials_that_nobody_asks_for() -> None:
    async with serving(lambda seen: asking()) as (_, registry):
        with pytest.raises(RegistryAuth, match="did not ask for the configured credentials"):
            await registry.check()


async def test_who_has_no_credentials_sends_none() -> None:
    async with serving(lambda seen: taking(seen) if seen.path == "/v2/" else asking(), ANONYMOUS) as (server, registry):
        with pytest.raises(RegistryAuth, match="Check the user name and password"):
            await registry.push_blob("team/app", BytesContent(b"layer"))
    assert [seen for seen in server.requests if "authorization" in seen.headers] == []


async def test_a_rate_limit_is_no_reason_to_show_credentials() -> None:
    def route(seen: Seen) -> Step:
        return taking(seen) if seen.path == "/v2/" else answer(403, {"Retry-After": "1"}, b"slow down")

    async with serving(route) as (server, registry):
        with pytest.raises(Exception, match="slow down"):
            await registry.push_blob("team/app", BytesContent(b"layer"))
    assert [seen for seen in server.requests if "authorization" in seen.headers] == []


async def test_a_wrong_password_is_no_missing_right_where_the_ping_asks_for_none() -> None:
    """`/v2/` of such a registry accepts everybody, so it says nothing of the password."""

    def route(seen: Seen) -> Step:
        return taking(seen) if seen.path == "/v2/" else asking('Basic realm="registry"')

    async with serving(route) as (_, registry):
        with pytest.raises(RegistryAuth):
            await registry.push_blob("team/app", BytesContent(b"layer"))


async def test_a_realm_that_is_no_address_is_named() -> None:
    async with serving(lambda seen: asking('Bearer realm="token",service="s"')) as (_, registry):
        with pytest.raises(RegistryRejected, match="realm"):
            await registry.check()


async def test_a_challenge_that_one_request_tries_is_not_answered_by_the_others_meanwhile() -> None:
    """Harbor asks for Basic when a session is to be ended without the right to, and then refuses it."""
    tried, others_are_done = asyncio.Event(), asyncio.Event()

    async def refuse_when_others_are_done(connection: Connection, seen: Seen) -> None:
        tried.set()
        await others_are_done.wait()
        await asking('Basic realm="r"')(connection, seen)

    def route(seen: Seen) -> Step:
        given = seen.headers.get("authorization")
        if seen.path == "/token":
            return answer(200, body=b'{"token": "abc"}')
        if seen.method == "DELETE":
            return refuse_when_others_are_done if given == BASIC else asking('Basic realm="r"')
        if given != "Bearer abc":
            return asking(f'Bearer realm="http://{seen.headers["host"]}/token",service="s"')
        return taking(seen)

    async with serving(route) as (server, registry):
        endpoint = registry._endpoint
        endpoint.abandon_later("team/app", f"{server.url}/v2/team/app/blobs/uploads/1")
        await tried.wait()
        assert not await registry.blob_exists("team/app", DIGEST)
        assert not await registry.blob_exists("team/other", DIGEST)
        others_are_done.set()
        await endpoint.wait_for_cleanup()
        assert not await registry.blob_exists("team/app", DIGEST)
    given = [seen.headers.get("authorization") for seen in server.requests if seen.method == "HEAD"]
    assert given == ["Bearer abc"] * 3
