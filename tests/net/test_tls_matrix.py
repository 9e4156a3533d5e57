"""Address, trust and server, each with each: what comes of it, as one table."""

from __future__ import annotations

import datetime
import ipaddress
import json
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.net.tls_scripts import HOSTS, SCHEMES, SERVERS, TRUSTS
from tests.support.namespace import run_in_namespace

ANY = "*"
LOOPBACK = ("localhost", "127.0.0.1")
# Scheme, hosts, trusts, server: the start of the outcome, and a word in it. The first row that fits counts.
TABLE: tuple[tuple[str, tuple[str, ...] | str, tuple[str, ...] | str, str, str, str], ...] = (
    ("http://", ANY, ANY, "plain", "ok http", ""),
    ("http://", ANY, ANY, ANY, "registry_unreachable", "cannot be reached"),
    ("https://", ANY, ANY, "plain", "registry_tls", "plain http"),
    ("", LOOPBACK, ANY, "plain", "ok http", ""),
    ("", ANY, ANY, "plain", "registry_tls", "write its address with http://"),
    (ANY, ANY, ("skip",), ANY, "ok https", ""),
    (ANY, ANY, ("nothing",), ANY, "registry_tls", "ca_file"),
    (ANY, ANY, ANY, "right", "ok https", ""),
    (ANY, ANY, ANY, "wrong-authority", "registry_tls", "not trusted"),
    (ANY, ANY, ANY, "wrong-name", "registry_tls", "mismatch"),
    (ANY, ANY, ANY, "expired", "registry_tls", "expired"),
)
DAY = datetime.timedelta(days=1)
NAMES = (
    x509.DNSName("localhost"),
    *(x509.IPAddress(ipaddress.ip_address(item)) for item in ("127.0.0.1", "::1", "10.66.0.1")),
)


def expected(scheme: str, host: str, trust: str, server: str) -> tuple[str, str]:
    case = (scheme, host, trust, server)
    for *row, start, word in TABLE:
        if all(
            cell in {ANY, value} if isinstance(cell, str) else value in cell
            for cell, value in zip(row, case, strict=True)
        ):
            return start, word
    raise AssertionError(case)


class Authority:
    """An authority of its own; `file` gets its certificate."""

    def __init__(self, name: str, file: Path | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = (
            self._begun(self.name, self.key, datetime.datetime.now(datetime.UTC) + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        if file is not None:
            file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _begun(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime.datetime
    ) -> x509.CertificateBuilder:
        begun = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
        return begun.not_valid_before(until - 9 * DAY).not_valid_after(until)

    def issue(self, file: Path, names: tuple[x509.GeneralName, ...], days: int = 1) -> None:
        """Certificate and key in one `file`, good for so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry")])
        until = datetime.datetime.now(datetime.UTC) + days * DAY
        made = self._begun(subject, key, until).add_extension(x509.SubjectAlternativeName(names), critical=False)
        plain = serialization.NoEncryption()
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        signed = made.sign(self.key, hashes.SHA256())
        file.write_bytes(key.private_bytes(encoding, form, plain) + signed.public_bytes(encoding))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority("Tests CA", folder / "ca.pem")
    authority.issue(folder / "right.pem", NAMES)
    authority.issue(folder / "expired.pem", NAMES, days=-1)
    authority.issue(folder / "wrong-name.pem", (x509.DNSName("other.example"),))
    Authority("Another CA").issue(folder / "wrong-authority.pem", NAMES)
    told: dict[str, tuple[str, int]] = json.loads(run_in_namespace("tests.net.tls_scripts", folder, ("10.66.0.1",), {}))
    return told


def test_every_combination_of_address_trust_and_server_ends_as_the_table_says(
    outcomes: dict[str, tuple[str, int]],
) -> None:
    cases = list(product(SCHEMES, HOSTS, TRUSTS, SERVERS))
    assert len(outcomes) == len(cases) == 180
    wrong = {}
    for case in cases:
        outcome, _ = outcomes["|".join(case)]
        start, word = expected(*case)
        if not outcome.startswith(start) or word not in outcome:
            wrong[case] = (outcome, f"not {start} … {word}")
    assert wrong == {}


def test_nobody_is_spoken_to_in_plain_http_but_by_http_and_loopback_without_a_scheme(
    outcomes: dict[str, tuple[str, int]],
) -> None:
    spoken = {key.rpartition("|")[0] for key, (_, requests) in outcomes.items() if requests}
    allowed = [("http://", host) for host in HOSTS] + [("", host) for host in LOOPBACK]
    assert spoken == {f"{scheme}|{host}|{trust}" for (scheme, host), trust in product(allowed, TRUSTS)}
