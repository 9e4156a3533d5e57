"""Schemes and certificates against real sockets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import InvalidRequest, RegistryRejected, RegistryTLS, RegistryUnreachable
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.blob_content import BytesContent
from tests.support.certificates import Certificates
from tests.support.docker_registry import DockerRegistry, Options, free_port
from tests.support.scripted_registry import ScriptedRegistry, answer, reset_after


def settings(url: str, **more: Path | bool) -> HttpRegistrySettings:
    return HttpRegistrySettings(parse_registry_url(url, "url"), **more)  # type: ignore[arg-type]


async def push_through(chosen: HttpRegistrySettings) -> None:
    async with HttpRegistry(chosen) as registry:
        digest, _ = await registry.push_blob("team/app", BytesContent(b"layer"))
        assert await registry.blob_exists("team/app", digest)


@pytest.fixture(scope="module")
def secure(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    options = Options(certificate=certificates.certificate, key=certificates.key)
    with DockerRegistry(tmp_path_factory.mktemp("secure"), options) as server:
        yield server


@pytest.mark.parametrize("scheme", ["", "https://"])
async def test_the_own_authority_of_a_registry_is_trusted_by_its_file(
    secure: DockerRegistry, certificates: Certificates, scheme: str
) -> None:
    await push_through(settings(scheme + secure.address, ca_file=certificates.ca))


async def test_without_verification_any_certificate_will_do(secure: DockerRegistry) -> None:
    await push_through(settings(secure.address, skip_verify=True))


@pytest.mark.parametrize("scheme", ["", "https://"])
async def test_an_unknown_authority_is_not_trusted_and_the_setting_is_named(
    secure: DockerRegistry, scheme: str
) -> None:
    with pytest.raises(RegistryTLS, match="ca_file"):
        await push_through(settings(scheme + secure.address))


async def test_a_client_certificate_is_shown_when_asked_for(certificates: Certificates) -> None:
    context = server_context(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    async with ScriptedRegistry(tls=context) as server:
        chosen = settings(
            server.url, ca_file=certificates.ca, client_cert=certificates.certificate, client_key=certificates.key
        )
        async with HttpRegistry(chosen) as registry:
            await registry.check()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_without_the_client_certificate_that_is_asked_for_there_is_no_connection(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = server_context(certificates)
    context.minimum_version = context.maximum_version = version  # in 1.3 the refusal comes with the first read
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    async with (
        ScriptedRegistry(tls=context) as server,
        HttpRegistry(settings(server.url, ca_file=certificates.ca)) as registry,
    ):
        with pytest.raises((RegistryTLS, RegistryUnreachable)):  # a reset may overtake the TLS alert
            await registry.check()
        assert server.requests == []


def server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


async def test_a_reset_within_tls_is_unreachable_and_may_be_tried_again(certificates: Certificates) -> None:
    steps = [answer(202, {"Location": "/v2/a/blobs/uploads/1"}), reset_after(100_000), answer(204)]
    async with (
        ScriptedRegistry(steps, tls=server_context(certificates)) as server,
        HttpRegistry(settings(server.url, ca_file=certificates.ca)) as registry,
    ):
        with pytest.raises(RegistryUnreachable) as reset:
            await registry.push_blob("a", BytesContent(bytes(16 << 20)))
        assert reset.value.retryable


async def test_loopback_without_a_scheme_falls_back_to_plain_http() -> None:
    async with ScriptedRegistry() as server:
        async with HttpRegistry(settings(server.address)) as registry:
            await registry.check()
        assert server.requests


async def test_an_explicit_https_is_never_downgraded() -> None:
    async with ScriptedRegistry() as server, HttpRegistry(settings(f"https://{server.address}")) as registry:
        with pytest.raises((RegistryTLS, RegistryUnreachable)):
            await registry.check()
        assert server.requests == []


async def test_skipping_verification_does_not_mean_plain_http() -> None:
    async with ScriptedRegistry() as server:
        async with HttpRegistry(settings(f"https://{server.address}", skip_verify=True)) as registry:
            with pytest.raises((RegistryTLS, RegistryUnreachable)):
                await registry.check()
        assert server.requests == []


async def test_a_registry_that_is_not_there_is_unreachable() -> None:
    for scheme in ("", "http://", "https://"):
        async with HttpRegistry(settings(f"{scheme}127.0.0.1:{free_port()}")) as registry:
            with pytest.raises(RegistryUnreachable, match="cannot be reached"):
                await registry.check()


async def test_what_is_no_registry_is_told_apart() -> None:
    steps = [answer(404, body=b"<html>")]
    async with ScriptedRegistry(steps, ping=True) as server, HttpRegistry(settings(server.url)) as registry:
        with pytest.raises(RegistryRejected, match="answers 404 to /v2/"):
            await registry.check()


async def test_a_redirect_never_leads_from_https_to_http(certificates: Certificates) -> None:
    async with ScriptedRegistry() as plain:
        steps = [answer(307, {"Location": f"{plain.url}/v2/"})]
        async with (
            ScriptedRegistry(steps, tls=server_context(certificates), ping=True) as server,
            HttpRegistry(settings(server.url, ca_file=certificates.ca)) as registry,
        ):
            with pytest.raises(RegistryRejected, match="plain http"):
                await registry.check()
        assert plain.requests == []


async def test_certificate_files_that_cannot_be_used_are_named_when_opening(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate here")
    wrong: tuple[tuple[dict[str, Path | bool], str], ...] = (
        ({"ca_file": empty}, "empty.pem"),
        ({"ca_file": tmp_path / "absent.pem"}, "absent.pem"),
        ({"client_cert": empty}, "client certificate"),
        ({"ca_file": empty, "skip_verify": True}, "CA file"),
    )
    for chosen, words in wrong:
        with pytest.raises(InvalidRequest, match=words):
            await HttpRegistry(settings("r.local", **chosen)).open()
