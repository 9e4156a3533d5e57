"""certs.d directories, and certificates that change while a registry is in use."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from app.errors import InvalidRequest, RegistryTLS
from app.net.tls import MAX_FILES, TlsContexts, TlsFiles, certificate_folders
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.certificates import Certificates, as_strict_as_python_3_13, make_certificates
from tests.support.scripted_registry import ScriptedRegistry


def server_context(certificates: Certificates, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.ca)
    return context


async def test_the_directory_of_a_registry_holds_its_authority_and_our_certificate(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with ScriptedRegistry(tls=server_context(certificates, asks=True)) as server:
        folder = tmp_path / "certs.d" / server.address
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(certificates.ca.read_bytes())
        (folder / "client.cert").write_bytes(certificates.certificate.read_bytes())
        (folder / "client.key").write_bytes(certificates.key.read_bytes())
        url = parse_registry_url(server.url, "url")
        folders = (tmp_path / "absent", tmp_path / "certs.d")
        async with HttpRegistry(HttpRegistrySettings(url, certificate_folders=folders)) as registry:
            await registry.check()


async def test_an_authority_is_trusted_that_python_since_3_13_finds_wanting(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server_context(certificates)
    as_strict_as_python_3_13(monkeypatch)
    async with ScriptedRegistry(tls=context) as server:
        url = parse_registry_url(server.url, "url")
        async with HttpRegistry(HttpRegistrySettings(url, ca_file=certificates.ca)) as registry:
            await registry.check()


async def test_an_authority_that_changes_on_disk_is_used_by_the_next_connection(
    certificates: Certificates, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path)
    file = tmp_path / "used.pem"
    file.write_bytes(other.ca.read_bytes())
    async with (
        ScriptedRegistry(tls=server_context(certificates)) as server,
        HttpRegistry(HttpRegistrySettings(parse_registry_url(server.url, "url"), ca_file=file)) as registry,
    ):
        with pytest.raises(RegistryTLS, match="not trusted"):
            await registry.check()
        file.write_text("half written")
        with pytest.raises(RegistryTLS, match=r"used\.pem"):
            await registry.check()
        file.write_bytes(certificates.ca.read_bytes())
        await registry.check()


async def test_the_client_certificate_is_shown_to_the_registry_alone(certificates: Certificates) -> None:
    url = parse_registry_url("https://r.local:5000", "url")
    trust = TlsContexts(TlsFiles(client_cert=certificates.certificate, client_key=certificates.key), url)
    own = await trust.context_for("r.local", 5000)
    assert await trust.context_for("r.local", None) is own
    for host, port in (("r.local", 443), ("storage.example", 443), ("storage.example", None)):
        assert await trust.context_for(host, port) is not own


def test_what_a_directory_lacks_or_has_too_much_of_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "r.local"
    folder.mkdir()
    (folder / "client.cert").write_text("")
    trust = TlsContexts(TlsFiles(folders=(tmp_path,)), parse_registry_url("r.local", "url"))
    with pytest.raises(InvalidRequest, match=r"client\.key"):
        trust.load()
    for number in range(MAX_FILES):
        (folder / f"{number}.crt").write_text("")
    with pytest.raises(InvalidRequest, match="at most"):
        trust.load()


def test_the_tools_own_places_are_looked_at() -> None:
    user, *system = map(str, certificate_folders({"HOME": "/home/u"}))
    assert user == "/home/u/.config/containers/certs.d"
    assert system == ["/etc/containers/certs.d", "/etc/docker/certs.d"]


def test_a_directory_of_certificates_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "r.local").mkdir()
    monkeypatch.setattr("app.net.tls.os.listdir", refuse)
    with pytest.raises(InvalidRequest, match=r"r\.local cannot be read \(Permission denied\)"):
        TlsContexts(TlsFiles(folders=(tmp_path,)), parse_registry_url("r.local", "url")).load()
