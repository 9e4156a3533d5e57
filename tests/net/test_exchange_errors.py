"""Exchanges that end without a response of the registry: of a proxy, of another protocol, of a broken line."""

from __future__ import annotations

import ssl

import httpx
import pytest

from app.errors import Failure, RegistryError, RegistryRejected, RegistryTLS, RegistryUnreachable
from app.net.exchange_errors import error_of_exchange
from app.net.proxies import Proxies
from app.net.urls import Origin, parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.certificates import Certificates
from tests.support.scripted_registry import ScriptedRegistry, Step, answer, raw

ORIGIN = Origin("https", "registry.test", 443)


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (answer(407), RegistryRejected, "write them into HTTPS_PROXY"),
        (answer(403), RegistryRejected, "NO_PROXY"),
        (answer(405), RegistryRejected, "NO_PROXY"),
        (answer(502), RegistryUnreachable, "check the proxy"),
        (answer(503), RegistryUnreachable, "check the proxy"),
        (answer(504), RegistryUnreachable, "check the proxy"),
        (answer(302, {"Location": "http://login.test"}), RegistryUnreachable, "check the proxy"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named(step: Step, kind: type[RegistryError], words: str) -> None:
    async with ScriptedRegistry(route=lambda seen: step) as proxy:
        url = parse_registry_url("https://registry.test", "url")
        async with HttpRegistry(HttpRegistrySettings(url, proxies=Proxies(https=proxy.url))) as registry:
            with pytest.raises(kind, match="the proxy answered") as caught:
                await registry.check()
    assert words in str(caught.value)
    assert caught.value.outage is (kind is RegistryUnreachable)
    assert [seen.method for seen in proxy.requests] == ["CONNECT"]


@pytest.mark.parametrize(
    "step",
    [
        raw(b"\x15\x03\x01\x00\x02\x02\x28"),
        raw(b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n"),
        answer(400, body=b"Client sent an HTTP request to an HTTPS server.\n"),
        answer(
            400, {"Content-Type": "text/html"}, b"<html><h1>The plain HTTP request was sent to HTTPS port</h1></html>"
        ),
    ],
)
async def test_a_registry_that_speaks_https_where_http_is_written_is_named(step: Step) -> None:
    async with (
        ScriptedRegistry(route=lambda seen: step) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"))) as registry,
    ):
        with pytest.raises(RegistryRejected, match="write https://"):
            await registry.check()


async def test_a_server_with_a_certificate_that_is_spoken_to_by_http_is_named(certificates: Certificates) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    async with ScriptedRegistry(route=lambda seen: answer(200), tls=context) as server:
        url = parse_registry_url(f"http://{server.address}", "url")
        async with HttpRegistry(HttpRegistrySettings(url)) as registry:
            with pytest.raises(RegistryError) as caught:
                await registry.check()
    assert caught.value.code in {"registry_rejected", "registry_unreachable"}


def broken(error: httpx.TransportError, reason: str) -> RegistryError:
    cause = ssl.SSLError(1, f"[SSL: {reason}] broken")
    cause.reason = reason
    error.__cause__ = cause
    return error_of_exchange(error, ORIGIN, str(ORIGIN), has_content=True)


def test_a_tls_line_that_breaks_is_a_line_that_breaks() -> None:
    found = broken(httpx.ReadError("bad record"), "DECRYPTION_FAILED_OR_BAD_RECORD_MAC")
    assert type(found) is RegistryUnreachable
    assert found.failure is Failure.UNREACHABLE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("handshake"), "UNSUPPORTED_PROTOCOL"),
        (httpx.ReadError("alert"), "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    ],
)
def test_a_handshake_that_fails_and_a_missing_client_certificate_are_of_tls(
    error: httpx.TransportError, reason: str
) -> None:
    assert type(broken(error, reason)) is RegistryTLS


@pytest.mark.parametrize("has_content", [True, False])
def test_the_hint_is_added_if_a_request_without_content_gets_no_response(has_content: bool) -> None:
    error = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    found = error_of_exchange(error, ORIGIN, str(ORIGIN), has_content=has_content, unanswered_hint="Create it")
    assert str(found).endswith(". Create it") is not has_content
