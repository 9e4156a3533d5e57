"""A real docker-registry that takes only the tokens of a token service, which are good for 60 seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.errors import RegistryAuth
from app.net.urls import Origin, parse_registry_url
from app.oci import Digest
from app.registry.auth import ANONYMOUS, Credentials, CredentialSource, FixedCredentials
from app.registry.auth.authorization import Trial
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.docker_registry import PASSWORD, USER, DockerRegistry, Options
from tests.support.token_server import REFRESH_TOKEN, SECONDS, TokenServer

RIGHT = FixedCredentials(Credentials(USER, PASSWORD))
Opened = Callable[[CredentialSource], HttpRegistry]


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with TokenServer(tmp_path) as server:
        yield server


@pytest.fixture
def opened(tokens: TokenServer, tmp_path: Path) -> Iterator[Opened]:
    with DockerRegistry(tmp_path / "registry", Options(more=(tokens.configuration,))) as server:

        def open_with(credentials: CredentialSource, *, listed: bool = True) -> HttpRegistry:
            allowed = frozenset({Origin.of(tokens.realm, "it")}) if listed else frozenset[Origin]()
            url = parse_registry_url(server.url, "url")
            return HttpRegistry(HttpRegistrySettings(url, credentials=credentials, allowed_origins=allowed))

        yield open_with


def scopes(tokens: TokenServer) -> list[list[str]]:
    return [part for request in tokens.requests for part in [request.get("scope", [])] if part]


@pytest.mark.parametrize("credentials", [RIGHT, FixedCredentials(Credentials(identity_token=REFRESH_TOKEN))])
async def test_blobs_mounts_and_manifests_go_with_a_token_for_each_set_of_scopes(
    opened: Opened, tokens: TokenServer, credentials: CredentialSource
) -> None:
    async with opened(credentials) as registry:
        examination = await registry.check()
        tokens.requests.clear()
        digests = [(await registry.push_blob("team/one", BytesContent(b"%d" % number)))[0] for number in range(3)]
        assert await registry.mount_blob("team/two", digests[0], "team/one")
        assert await registry.blob_exists("team/two", digests[0])
    assert (examination.authentication, examination.authenticated) == ("bearer", True)
    asked = [" ".join(scope) for scope in scopes(tokens)]
    assert asked == [
        "repository:team/one:pull,push",
        "repository:team/two:pull,push repository:team/one:pull",
        "repository:team/two:pull,push",
    ]


class SlowContent(BytesContent):
    """While it is read, `pass_time` is called: as long as a large layer takes."""

    pass_time: Callable[[], None]

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in super().chunks():
            self.pass_time()
            yield chunk

    @property
    def digest(self) -> Digest | None:
        return super().digest if self.reads else None

    @property
    def size(self) -> int | None:
        return super().size if self.reads else None


async def test_a_token_is_renewed_before_the_last_request_of_a_long_blob(opened: Opened, tokens: TokenServer) -> None:
    now = 1000.0

    def pass_time() -> None:
        nonlocal now
        now += SECONDS

    content = SlowContent(b"layer")
    content.pass_time = pass_time
    async with opened(RIGHT) as registry:
        registry._session.authorizations.clock = lambda: now
        await registry.blob_exists("team/app", Digest.of(b""))
        tokens.requests.clear()
        digest, _ = await registry.push_blob("team/app", content)
        assert await registry.blob_exists("team/app", digest)
    assert content.reads == 1
    assert len(tokens.requests) == 1


async def test_a_token_that_the_registry_no_longer_takes_is_renewed_once(opened: Opened, tokens: TokenServer) -> None:
    content = BytesContent(b"layer")
    async with opened(RIGHT) as registry:
        await registry.blob_exists("team/other", Digest.of(b""))
        tokens.expired = True
        await registry._session.authorizations.value("team/app", ("repository:team/app:pull,push",), Trial())
        tokens.expired = False
        tokens.requests.clear()
        await registry.push_blob("team/app", content)
    assert (content.reads, len(tokens.requests)) == (1, 1)


@pytest.mark.parametrize("credentials", [ANONYMOUS, FixedCredentials(Credentials(USER, "wrong"))])
async def test_without_the_right_credentials_the_token_service_refuses(
    opened: Opened, credentials: CredentialSource
) -> None:
    async with opened(credentials) as registry:
        for verb in (registry.check(), registry.push_blob("team/app", BytesContent(b"layer"))):
            with pytest.raises(RegistryAuth, match="token service"):
                await verb


async def test_a_token_service_at_another_port_of_the_registrys_own_host_needs_no_setting(
    opened: Opened, tokens: TokenServer
) -> None:
    async with opened(RIGHT, listed=False) as registry:  # type: ignore[call-arg]
        examination = await registry.check()
    assert (examination.authentication, examination.authenticated) == ("bearer", True)
    assert tokens.requests != []
