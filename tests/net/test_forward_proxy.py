"""Through a real forward proxy, as the environment names it."""

from __future__ import annotations

import ssl

import pytest

from app.errors import RegistryError, RegistryRejected
from app.net.proxies import Proxies
from app.net.urls import parse_registry_url
from app.registry.auth import Credentials, FixedCredentials
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.redact import RedactingRegistry
from tests.support.blob_content import BytesContent
from tests.support.certificates import Certificates
from tests.support.forward_proxy import ForwardProxy
from tests.support.memory_registry import MemoryRegistry
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, answer, served

LOGIN = ("proxy-user", "proxy pass/wörd@")
WRONG = ("proxy-user", "wrong-password")


def settings(url: str, proxies: Proxies, **more: object) -> HttpRegistrySettings:
    return HttpRegistrySettings(parse_registry_url(url, "url"), proxies=proxies, **more)  # type: ignore[arg-type]


async def push(chosen: HttpRegistrySettings) -> None:
    async with HttpRegistry(chosen) as opened:
        registry = RedactingRegistry(opened, opened.secrets)
        for known in (True, False):
            digest, _ = await registry.push_blob("team/app", BytesContent(bytes(300_000) + b"%d" % known, known=known))
            assert await registry.blob_exists("team/app", digest)


async def test_plain_http_goes_through_as_absolute_urls_and_no_proxy_goes_directly() -> None:
    memory = MemoryRegistry()
    async with (
        ScriptedRegistry(route=lambda seen: served(memory)) as server,
        ForwardProxy(LOGIN, {"r.test": server.port}) as proxy,
    ):
        await push(settings("http://r.test", Proxies.of({"HTTP_PROXY": proxy.url})))
        asked = len(proxy.asked)
        assert proxy.asked[0] == "GET http://r.test/v2/"
        direct = Proxies.of({"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.0/8"})
        await push(settings(server.url, direct))
    assert len(proxy.asked) == asked


async def test_https_goes_through_a_tunnel_and_the_proxy_sees_nothing_of_it(certificates: Certificates) -> None:
    memory, context = MemoryRegistry(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    async with (
        ScriptedRegistry(route=lambda seen: served(memory), tls=context) as server,
        ForwardProxy(LOGIN, {"r.test": server.port, "127.0.0.3": server.port}) as proxy,
    ):
        proxies = Proxies.of({"HTTPS_PROXY": proxy.url})
        await push(settings("https://r.test", proxies, skip_verify=True))
        assert set(proxy.asked) == {"CONNECT r.test:443"}
        assert not [seen for seen in server.requests if "proxy-authorization" in seen.headers]
        with pytest.raises(RegistryError, match="not trusted") as raised:
            await push(settings("https://r.test", proxies, ca_file=certificates.ca))  # it is for 127.0.0.1
        assert "proxy pass" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", [LOGIN, WRONG])
async def test_a_proxy_that_refuses_is_told_without_its_password(scheme: str, login: tuple[str, str]) -> None:
    """Of a wrong password, and of a host that the proxy does not let through."""
    async with ForwardProxy(LOGIN, {}) as proxy:
        url = proxy.url if login == LOGIN else f"http://{login[0]}:{login[1]}@127.0.0.1:{proxy.port}"
        chosen = settings(f"{scheme}://r.test", Proxies(http=url, https=url))
        with pytest.raises(RegistryError) as raised:
            await push(chosen)
    told = str(raised.value)
    assert ("403" if login == LOGIN else "407") in told
    for secret in ("proxy pass", "pass%2Fw", WRONG[1], "cHJveHkt"):  # the last begins its base64
        assert secret not in told
        assert secret not in repr(chosen)


async def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    async with ForwardProxy(LOGIN, {}) as proxy:
        url = proxy.url
    with pytest.raises(RegistryError, match=r"through the proxy 127\.0\.0\.1:") as raised:
        await push(settings("https://r.test", Proxies(https=url)))
    assert "pass" not in str(raised.value)


async def test_the_egress_rule_holds_behind_a_proxy_for_what_is_written() -> None:
    """What a name means there the proxy alone knows; an inner address that is written is not even asked for."""

    def route(seen: Seen) -> Step | None:
        return answer(202, {"Location": "http://10.0.0.1/v2/a/blobs/uploads/1"}) if seen.method == "POST" else None

    async with (
        ScriptedRegistry(route=route) as server,
        ForwardProxy(LOGIN, {"r.test": server.port, "10.0.0.1": server.port}) as proxy,
    ):
        credentials = FixedCredentials(Credentials("user", "password"))
        chosen = settings("http://r.test", Proxies(http=proxy.url), credentials=credentials)
        async with HttpRegistry(chosen) as registry:
            with pytest.raises(RegistryRejected, match="allowed_origins"):
                await registry.push_blob("a", BytesContent(b"layer"))
    assert not [item for item in proxy.asked if "10.0.0.1" in item]
