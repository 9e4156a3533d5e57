"""Anonymous, Basic and Bearer against the registry in memory, and Basic against a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from app.errors import RegistryAuth, RegistryFault, RegistryRejected
from app.net.urls import Origin, RegistryUrl, parse_registry_url
from app.oci import Digest
from app.registry.auth import ANONYMOUS, Credentials, FixedCredentials, bearer
from app.registry.auth.bearer import BearerAuthenticator, TokenRequest, read_token
from app.registry.auth.challenge import Challenge
from app.registry.auth.password_file import PasswordFile
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent, UndecidedContent
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry, Options
from tests.support.memory_registry import IDENTITY_TOKEN, Manners, MemoryRegistry, basic
from tests.support.scripted_registry import Connection, ScriptedRegistry, Seen, Step, answer

RIGHT = FixedCredentials(Credentials(USER, PASSWORD))
WRONG = FixedCredentials(Credentials(USER, "wrong"))
TOKEN = FixedCredentials(Credentials(identity_token=IDENTITY_TOKEN))


def server_client(url: str) -> HttpRegistry:
    return HttpRegistry(HttpRegistrySettings(parse_registry_url(url, "url"), credentials=RIGHT))


def test_credentials_show_no_secret() -> None:
    assert "geheim" not in repr(Credentials("user", "geheim", "geheim"))


@pytest.mark.parametrize("credentials", [RIGHT, WRONG, ANONYMOUS])
async def test_basic_against_a_real_registry(tmp_path: Path, credentials: FixedCredentials) -> None:
    with DockerRegistry(tmp_path / "registry", Options(basic=True)) as server:
        settings = HttpRegistrySettings(parse_registry_url(server.address, "url"), credentials=credentials)
        async with HttpRegistry(settings) as registry:
            if credentials is RIGHT:
                await registry.check()
                await registry.push_blob("team/app", BytesContent(b"layer"))
                return
            with pytest.raises(RegistryAuth, match="Check the user name and password"):
                await registry.check()
            with pytest.raises(RegistryAuth):
                await registry.push_blob("team/app", BytesContent(b"layer"))


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("from_the_start", [True, False])
async def test_a_registry_may_ask_at_the_ping_or_at_the_first_push(auth: str, from_the_start: bool) -> None:
    memory = MemoryRegistry(Manners(auth=auth, from_the_start=from_the_start))
    async with memory.client(RIGHT) as registry:
        content = BytesContent(b"layer")
        await registry.push_blob("team/app", content)
    assert content.reads == 1
    assert Digest.of(b"layer") in map(Digest.parse, memory.repository("team/app").blobs)


async def test_a_token_is_asked_for_with_service_scope_and_account_and_used_again() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))
    async with memory.client(RIGHT) as registry:
        await registry.push_blob("team/app", BytesContent(b"one"))
        await registry.push_blob("team/app", BytesContent(b"two"))
    assert memory.token_requests == [
        {"service": ["memory"], "scope": ["repository:team/app:pull,push"], "account": [USER]}
    ]


async def test_a_mount_asks_for_both_repositories() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))
    async with memory.client(RIGHT) as registry:
        digest, _ = await registry.push_blob("team/one", BytesContent(b"one"))
        assert await registry.mount_blob("team/two", digest, "team/one")
    assert memory.token_requests[-1]["scope"] == ["repository:team/two:pull,push", "repository:team/one:pull"]


async def test_an_identity_token_is_posted_as_a_refresh_token() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))
    async with memory.client(TOKEN) as registry:
        await registry.check()
        await registry.push_blob("team/app", BytesContent(b"one"))
    assert ("POST", "/token") in memory.requests
    assert memory.token_requests[-1]["grant_type"] == ["refresh_token"]


@pytest.mark.parametrize("credentials", [WRONG, ANONYMOUS])
async def test_a_token_service_that_refuses_is_an_error_of_credentials(credentials: FixedCredentials) -> None:
    async with MemoryRegistry(Manners(auth="bearer")).client(credentials) as registry:
        with pytest.raises(RegistryAuth, match="no such user"):
            await registry.push_blob("team/app", BytesContent(b"one"))


async def test_many_workers_with_an_expired_token_renew_it_once() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))
    async with memory.client(RIGHT) as registry:
        await registry.push_blob("team/app", BytesContent(b"one"))
        memory.expire_tokens()
        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(registry.blob_exists("team/app", Digest.of(b"%d" % number)))
    assert len(memory.token_requests) == 2


async def test_a_token_that_runs_out_while_a_blob_waits_is_renewed_and_nothing_is_sent_again() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))
    content = UndecidedContent(b"0123456789")
    async with memory.client(RIGHT) as registry:
        pushing = asyncio.create_task(registry.push_blob("team/app", content))
        await asyncio.wait_for(content.asked.wait(), 20)
        memory.expire_tokens()
        content.word.set()
        await pushing
    assert content.reads == 1
    assert len(memory.token_requests) == 2


async def test_a_token_that_runs_out_between_post_and_put_is_renewed_and_the_content_sent_again() -> None:
    memory = MemoryRegistry(Manners(auth="bearer"))

    class ExpiringContent(BytesContent):
        """Its size is asked for when the session is open and the PUT is being made."""

        @property
        def size(self) -> int:
            if len(memory.token_requests) == 1:
                memory.expire_tokens()
            return len(self.data)

    async with memory.client(RIGHT) as registry:
        await registry.push_blob("team/app", ExpiringContent(b"layer"))
    assert memory.sessions == {}
    assert len(memory.token_requests) == 2
    assert [method for method, path in memory.requests if "uploads" in path] == ["POST", "PUT", "PUT"]


async def test_a_realm_at_the_registrys_own_loopback_port_is_asked() -> None:
    """NCN-114223: go-containerregistry refused it as a private address."""

    def route(seen: Seen) -> Step | None:
        if seen.path == "/token":
            given = seen.headers.get("authorization") == basic(USER, PASSWORD)
            return answer(200, body=b'{"token": "abc"}') if given else answer(401)
        if seen.headers.get("authorization") != "Bearer abc":
            return answer(401, {"WWW-Authenticate": f'Bearer realm="http://{seen.headers["host"]}/token",service="s"'})
        return answer(200, body=b"{}")

    async with ScriptedRegistry(route=route) as server, server_client(server.address) as registry:
        await registry.check()
    assert [seen.path for seen in server.requests][:3] == ["/v2/", "/token", "/v2/"]


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.2:1/token", "https://169.254.169.254/token", "https://localhost/x", "token", "ftp://x/y"]
)
async def test_a_realm_at_an_inner_address_gets_no_request_and_no_password(realm: str) -> None:
    steps = [answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})]
    async with ScriptedRegistry(steps, ping=True) as server, server_client(server.url) as registry:
        with pytest.raises(RegistryRejected, match="realm"):
            await registry.blob_exists("team/app", Digest.of(b""))


async def test_credentials_are_looked_up_once_and_again_after_a_refusal() -> None:
    class Source:
        def __init__(self) -> None:
            self.asked: list[str] = []

        async def find(self, registry: RegistryUrl, repository: str) -> Credentials | None:
            self.asked.append(repository)
            return Credentials(USER, "expired" if len(self.asked) == 1 else PASSWORD)

    source = Source()
    async with MemoryRegistry(Manners(auth="basic")).client(source) as registry:
        await registry.push_blob("team/app", BytesContent(b"one"))
        await registry.push_blob("team/app", BytesContent(b"two"))
    assert source.asked == ["team/app", "team/app"]


class Service:
    def __init__(self, *answers: bytes) -> None:
        self.answers, self.requests = list(answers), list[TokenRequest]()
        self.now = 1000.0

    def authenticator(self, credentials: Credentials | None = None, realm: str = "https://a/t") -> BearerAuthenticator:
        return BearerAuthenticator(Challenge("bearer", {"realm": realm}), credentials, self.fetch, lambda: self.now)

    async def fetch(self, request: TokenRequest) -> bytes:
        self.requests.append(request)
        return self.answers.pop(0)


async def test_a_token_is_renewed_before_it_expires() -> None:
    service = Service(b'{"token":"a","expires_in":100}', b'{"access_token":"b"}')
    authenticator = service.authenticator()
    assert await authenticator.authorization(("s",)) == "Bearer a"
    service.now += 89
    assert await authenticator.authorization(("s",)) == "Bearer a"
    service.now += 2
    assert await authenticator.authorization(("s",)) == "Bearer b"


async def test_a_realm_keeps_its_own_query() -> None:
    service = Service(b'{"token":"a"}')
    await service.authenticator(realm="https://a/t?x=1").authorization(("s",))
    assert service.requests == [TokenRequest("https://a/t?x=1&scope=s", None, None)]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 2000])
def test_a_token_service_that_answers_no_json_is_at_fault(body: bytes) -> None:
    with pytest.raises(RegistryFault):
        read_token(body)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"token":7}', b'{"token":"a\\r\\nX: y"}', b'{"token":"a b"}'])
def test_a_token_that_could_break_a_header_is_refused(body: bytes) -> None:
    with pytest.raises(RegistryAuth):
        read_token(body)


@pytest.mark.parametrize(
    ("expiry", "seconds"),
    [('"soon"', 60.0), ("true", 60.0), ("0", 60.0), ("-5", 60.0), ("30", 30.0), ("0.5", 0.5), ("1e300", 86400.0)],
)
def test_an_odd_expiry_counts_as_a_minute_and_an_endless_one_as_a_day(expiry: str, seconds: float) -> None:
    assert read_token(b'{"token":"a","expires_in":%s}' % expiry.encode()) == ("a", seconds)


async def test_the_time_of_a_token_runs_from_when_it_was_asked_for() -> None:
    service = Service(b'{"token":"a","expires_in":60}', b'{"token":"b"}')
    fetch = service.fetch

    async def slowly(request: TokenRequest) -> bytes:
        service.now += 55
        return await fetch(request)

    service.fetch = slowly  # type: ignore[method-assign]
    authenticator = service.authenticator()
    assert await authenticator.authorization(("s",)) == "Bearer a"
    assert await authenticator.authorization(("s",)) == "Bearer b"


async def test_only_so_many_tokens_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearer, "MAX_TOKENS", 2)
    service = Service(*(b'{"token":"%d"}' % number for number in range(4)))
    authenticator = service.authenticator()
    asked = [await authenticator.authorization((scope,)) for scope in ("a", "b", "c", "c", "a")]
    assert asked == ["Bearer 0", "Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"]
    assert len(authenticator._tokens) == len(authenticator._locks) == 2


def test_a_request_for_a_token_shows_no_secret() -> None:
    request = TokenRequest(
        "https://a/t", "Basic Z2VoZWlt", b"password=geheim", TokenRequest("https://a", None, b"geheim")
    )
    assert "geheim" not in repr(request)
    assert "Z2VoZWlt" not in repr(request)


@pytest.mark.parametrize("status", [404, 405])
async def test_a_token_service_that_knows_only_post_gets_the_password_so(status: int) -> None:
    def route(seen: Seen) -> Step | None:
        if seen.path == "/token":
            wanted = seen.method == "POST" and b"grant_type=password" in seen.body
            return posted() if wanted or seen.method == "POST" else answer(status)
        if seen.headers.get("authorization") != "Bearer abc":
            return answer(401, {"WWW-Authenticate": f'Bearer realm="http://{seen.headers["host"]}/token",service="s"'})
        return answer(200, body=b"{}")

    def posted() -> Step:
        async def step(connection: Connection, seen: Seen) -> None:
            await connection.read_body(seen)
            form = parse_qs(seen.body.decode())
            right = (
                form["username"] == [USER] and form["password"] == [PASSWORD] and "authorization" not in seen.headers
            )
            await connection.answer(200 if right else 401, {}, b'{"access_token": "abc"}')

        return step

    async with ScriptedRegistry(route=route) as server, server_client(server.address) as registry:
        await registry.check()


async def test_credentials_in_a_body_are_not_redirected() -> None:
    async with ScriptedRegistry() as other:

        def route(seen: Seen) -> Step | None:
            if seen.path == "/token":
                return answer(307, {"Location": f"{other.url}/token"})
            realm = f"http://{seen.headers['host']}/token"
            return answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

        async with ScriptedRegistry(route=route) as server:
            listed = frozenset({Origin.of(other.url, "it")})
            settings = HttpRegistrySettings(
                parse_registry_url(server.address, "url"), credentials=TOKEN, allowed_origins=listed
            )
            async with HttpRegistry(settings) as registry:
                with pytest.raises(RegistryRejected, match="redirects credentials"):
                    await registry.check()
        assert other.requests == []


async def test_a_password_that_was_changed_meanwhile_is_found_by_the_token_service_too(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    memory = MemoryRegistry(Manners(auth="bearer"))
    source = PasswordFile(USER, file)
    async with memory.client(source) as registry:
        await registry.push_blob("team/app", BytesContent(b"one"))
        memory.expire_tokens()
        memory.password = "changed"
        file.write_text("changed")
        await registry.push_blob("team/app", BytesContent(b"two"))
        assert await registry.blob_exists("team/app", Digest.of(b"two"))


async def test_a_password_that_is_wrong_is_told_and_looked_up_again_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    memory, source = MemoryRegistry(Manners(auth="bearer")), PasswordFile(USER, file)
    file.write_text("wrong")
    async with memory.client(source) as registry:
        with pytest.raises(RegistryAuth):
            await registry.push_blob("team/app", BytesContent(b"two"))
        file.write_text(PASSWORD)
        await registry.push_blob("team/app", BytesContent(b"two"))


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"\xff", "UTF-8"), (bytes(70_000), "bytes")])
async def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RegistryAuth, match=words) as raised:
        await PasswordFile(USER, file).find(parse_registry_url("r", "url"), "a")
    assert str(file) in str(raised.value)


async def test_a_password_that_was_changed_is_looked_up_when_the_token_service_refuses_the_old_one() -> None:
    class Changing:
        password = PASSWORD

        async def find(self, registry: RegistryUrl, repository: str) -> Credentials:
            return Credentials(USER, self.password)

    memory, source = MemoryRegistry(Manners(auth="bearer")), Changing()
    memory.password = source.password
    async with memory.client(source) as registry:
        await registry.push_blob("a", BytesContent(b"1"))
        memory.expire_tokens()
        memory.password = source.password = "changed password"
        await registry.push_blob("a", BytesContent(b"2"))
        memory.expire_tokens()
        memory.password = "changed once more"
        with pytest.raises(RegistryAuth):
            await registry.push_blob("a", BytesContent(b"3"))
    assert len(memory.repositories["a"].blobs) == 2
