"""What is said of a certificate that is not accepted depends on why."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.errors import RegistryTLS
from app.net.urls import parse_registry_url
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from tests.support.scripted_registry import ScriptedRegistry, answer

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
HERE: tuple[x509.GeneralName, ...] = (x509.IPAddress(ip_address("127.0.0.1")),)
ELSEWHERE = (x509.DNSName("registry.corp.example"), x509.IPAddress(ip_address("10.0.0.5")))


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tests CA")])
        made = self._signed(self._name, self._key, (NOW - 9 * DAY, NOW + 9 * DAY), ())
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        time: tuple[datetime, datetime],
        names: tuple[x509.GeneralName, ...],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(time[0])
            .not_valid_after(time[1])
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def context(self, time: tuple[datetime, datetime], names: tuple[x509.GeneralName, ...]) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")]), key, time, names)
        file = self._folder / "registry.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + made.public_bytes(Encoding.PEM))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context


@contextmanager
def told(*words: str) -> Iterator[None]:
    with pytest.raises(RegistryTLS) as caught:
        yield
    for word in words:
        assert word in str(caught.value)
    assert not caught.value.retryable


async def check(server: ScriptedRegistry, authority: Authority | None) -> None:
    """As the service does it, with a second connection for what the certificate says."""
    settings = HttpRegistrySettings(
        parse_registry_url(server.url, "url"), ca_file=authority.file if authority else None
    )
    async with HttpRegistry(settings) as registry:
        await registry.check()


VALID = (NOW - DAY, NOW + DAY)
PAST = (NOW - 3 * DAY, NOW - 2 * DAY)
TO_COME = (NOW + 2 * DAY, NOW + 3 * DAY)


def shown(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("time", "names", "words"),
    [
        (PAST, HERE, ("expired", shown(PAST[1]), "this machine")),
        (TO_COME, HERE, ("not yet valid", shown(TO_COME[0]), "this machine")),
        (VALID, ELSEWHERE, ("registry.corp.example, 10.0.0.5, not for 127.0.0.1",)),
        (VALID, (x509.DNSName("x.example"),) * 30, ("and 20 more",)),
    ],
)
async def test_the_cause_is_named_with_what_to_do(
    tmp_path: Path, time: tuple[datetime, datetime], names: tuple[x509.GeneralName, ...], words: tuple[str, ...]
) -> None:
    authority = Authority(tmp_path)
    async with ScriptedRegistry(route=lambda seen: answer(200), tls=authority.context(time, names)) as server:
        with told(*words):
            await check(server, authority)
    assert server.requests == [], "nothing is sent over a connection that is not trusted"


async def test_an_unknown_authority_is_what_it_is_whatever_else_the_certificate_says(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with ScriptedRegistry(route=lambda seen: answer(200), tls=authority.context(PAST, ELSEWHERE)) as server:
        with told("is not trusted", "ca_file"):
            await check(server, None)


async def test_a_good_certificate_is_taken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with ScriptedRegistry(route=lambda seen: answer(200), tls=authority.context(VALID, HERE)) as server:
        await check(server, authority)
