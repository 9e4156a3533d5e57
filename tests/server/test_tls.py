"""The service's own certificate: shown, renewed without a restart, and clients that have to show theirs."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from asyncio import sslproto
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.config.settings import load_settings
from app.errors import InvalidSettings
from app.server.tls import BUFFER_BYTES, LOOK_SECONDS, CertificateFiles, ServerCertificate, limit_tls_buffers
from tests.support.certificates import Certificates, as_strict_as_python_3_13, make_certificates
from tests.support.peers import peer


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """Of two authorities."""
    first, second = (make_certificates(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    return first, second


def put(pair: Certificates, place: Path) -> CertificateFiles:
    place.mkdir(exist_ok=True)
    shutil.copy(pair.certificate, place / "cert.pem")
    shutil.copy(pair.key, place / "key.pem")
    return CertificateFiles(place / "cert.pem", place / "key.pem")


@asynccontextmanager
async def listening(certificate: ServerCertificate) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def curl(port: int, *options: str | Path) -> int:
    """Its exit status."""
    command = [peer("curl"), "-sS", "--max-time", "10", *map(str, options), f"https://127.0.0.1:{port}/"]
    return (await asyncio.to_thread(subprocess.run, command, capture_output=True)).returncode


async def test_curl_trusts_it_by_its_authority_before_and_after_it_was_renewed(
    pairs: tuple[Certificates, Certificates], tmp_path: Path
) -> None:
    first, second = pairs
    now = [0.0]
    certificate = ServerCertificate(put(first, tmp_path), lambda: now[0])
    async with listening(certificate) as port:
        assert await curl(port, "--cacert", first.ca) == 0
        assert await curl(port, "--cacert", second.ca) == 60
        shutil.copy(second.certificate, tmp_path / "cert.pem")  # the key has not come yet
        now[0] += LOOK_SECONDS
        assert await curl(port, "--cacert", first.ca) == 0
        put(second, tmp_path)
        now[0] += LOOK_SECONDS
        assert await curl(port, "--cacert", second.ca) == 0
        assert await curl(port, "--cacert", first.ca) == 60
        assert await curl(port, "--cacert", second.ca, "--tls-max", "1.1") != 0


async def test_who_has_to_show_a_certificate_and_has_none_is_not_let_in(
    pairs: tuple[Certificates, Certificates], tmp_path: Path
) -> None:
    first, second = pairs
    files = put(first, tmp_path)
    certificate = ServerCertificate(CertificateFiles(files.certificate, files.key, first.ca))
    async with listening(certificate) as port:
        assert await curl(port, "--cacert", first.ca) != 0
        shown = ("--cert", first.certificate, "--key", first.key)
        assert await curl(port, "--cacert", first.ca, *shown) == 0
        foreign = ("--cert", second.certificate, "--key", second.key)
        assert await curl(port, "--cacert", first.ca, *foreign) != 0


async def test_clients_of_an_authority_are_let_in_that_python_since_3_13_finds_wanting(
    pairs: tuple[Certificates, Certificates], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_strict_as_python_3_13(monkeypatch)
    first, _ = pairs
    files = put(first, tmp_path)
    async with listening(ServerCertificate(CertificateFiles(files.certificate, files.key, first.ca))) as port:
        assert await curl(port, "--cacert", first.ca, "--cert", first.certificate, "--key", first.key) == 0


def test_files_that_do_not_fit_stop_the_start(pairs: tuple[Certificates, Certificates], tmp_path: Path) -> None:
    first, second = pairs
    with pytest.raises(InvalidSettings, match="TARMAC_TLS_CERT"):
        ServerCertificate(CertificateFiles(first.certificate, second.key))
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidSettings, match="TARMAC_TLS_CERT"):
        ServerCertificate(CertificateFiles(tmp_path / "empty"))
    for name in ("TLS_KEY", "TLS_CLIENT_CA"):
        with pytest.raises(InvalidSettings, match="needs tls_cert"):
            load_settings(environ={f"TARMAC_{name}": str(first.key)})


def test_it_is_at_least_tls_1_2(pairs: tuple[Certificates, Certificates]) -> None:
    context = CertificateFiles(pairs[0].certificate, pairs[0].key).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_what_asyncio_reads_a_connection_into_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    limit_tls_buffers()
    assert sslproto.SSLProtocol.max_size == BUFFER_BYTES
