"""`tarmac serve` with a certificate of its own, as curl and skopeo meet it."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.service import Service, service
from tests.support.certificates import Certificates, make_certificates

ONE = Path(__file__).parents[1] / "data" / "corpus" / "d20-save-one.tar"
RENEWED_SECONDS = 20.0


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """Of two authorities."""
    first, second = (make_certificates(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    return first, second


def installed(pair: Certificates, folder: Path) -> dict[str, str]:
    """Its files in place, and the settings that name them."""
    shutil.copy(pair.certificate, folder / "cert.pem")
    shutil.copy(pair.key, folder / "key.pem")
    return {"TARMAC_TLS_CERT": str(folder / "cert.pem"), "TARMAC_TLS_KEY": str(folder / "key.pem")}


def let_in(running: Service, authority: Path, client: Certificates | None = None) -> bool:
    """Whether curl trusts the service by this authority, and the service a client that shows this."""
    try:
        return replace(running, authority=authority, client=client).curl("/readyz")[0] == 200
    except subprocess.CalledProcessError:
        return False


def test_a_push_over_tls_is_pulled_over_tls_and_a_renewed_certificate_is_shown_without_a_restart(
    pairs: tuple[Certificates, Certificates], tmp_path: Path, skopeo: str
) -> None:
    first, second = pairs
    with service(tmp_path / "data", first.ca, **installed(first, tmp_path)) as running:
        status, job = running.curl("-F", f"archive=@{ONE}", "/push?wait=30&tag=a/secure:1")
        assert (status, job["state"]) == (200, "succeeded")
        (tmp_path / "trust").mkdir()
        shutil.copy(first.ca, tmp_path / "trust" / "ca.crt")
        image = f"docker://{running.address}/a/secure:1"
        pull = [skopeo, "inspect", "--cert-dir", str(tmp_path / "trust"), "--format", "{{.Digest}}", image]
        found = subprocess.run(pull, capture_output=True, check=True, text=True).stdout.strip()
        assert found == job["images"][0]["digest"]
        assert not let_in(running, second.ca)
        installed(second, tmp_path)
        deadline = time.monotonic() + RENEWED_SECONDS
        while not let_in(running, second.ca):
            assert time.monotonic() < deadline, "the renewed certificate is not shown"
        assert not let_in(running, first.ca)


def test_a_client_without_a_certificate_is_not_let_in(pairs: tuple[Certificates, Certificates], tmp_path: Path) -> None:
    first, second = pairs
    settings = {**installed(first, tmp_path), "TARMAC_TLS_CLIENT_CA": str(first.ca)}
    with service(tmp_path / "data", first.ca, first, **settings) as running:
        assert let_in(running, first.ca, first)
        assert not let_in(running, first.ca)
        assert not let_in(running, first.ca, second)
