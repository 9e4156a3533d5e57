"""Certificates for tests: an authority of our own and what it signs, made by `openssl` in a temporary directory."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SUBJECT_NAMES = "subjectAltName=IP:127.0.0.1,IP:127.0.0.2,DNS:localhost\n"


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and what it signed for 127.0.0.1 and 127.0.0.2 (server) and a client."""

    ca: Path
    certificate: Path
    key: Path


def as_strict_as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts of the standard library's making refuse authorities such as ours, which lacks an extension."""
    made = ssl.create_default_context

    def strict(*arguments: Any, **named: Any) -> ssl.SSLContext:
        context = made(*arguments, **named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)


def make_certificates(folder: Path, names: str = SUBJECT_NAMES) -> Certificates:
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Tests CA")
    openssl("req", *new_key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text(names)
    openssl(
        *("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-extfile", "names", "-out", "certificate.pem"),
    )
    return Certificates(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
