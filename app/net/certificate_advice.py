"""Reasons why the certificate of a registry is rejected, and what to do about each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.errors import RegistryError, RegistryTLS, join_limited
from app.net.dial import dial
from app.net.egress import EgressPolicy
from app.net.urls import Origin, printable

MAX_NAMES = 10  # shown of one certificate
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_… of OpenSSL
_OTHER_NAME = frozenset({62, 64})
_WITH_DETAILS = frozenset({_NOT_YET_VALID, _EXPIRED, *_OTHER_NAME})

Certificate = Mapping[str, Any]
"""A certificate as ssl.SSLSocket.getpeercert returns it."""


def has_details(cause: ssl.SSLCertVerificationError) -> bool:
    """Return whether the content of the certificate explains the error."""
    return cause.verify_code in _WITH_DETAILS


async def read_certificate(
    origin: Origin, context: ssl.SSLContext, egress: EgressPolicy, seconds: float
) -> Certificate | None:
    """Return the certificate of `origin`, read over a separate connection, or None if it cannot be read.

    `context` verifies the issuer, but neither the name nor the validity period.
    """
    try:
        async with asyncio.timeout(seconds):
            sock = await dial(origin.host, origin.port, egress)
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=origin.host)
    except (OSError, UnicodeError, TimeoutError, RegistryError):  # ssl.SSLError is a subclass of OSError
        return None
    try:
        found: Certificate = writer.get_extra_info("peercert") or {}
        return found
    finally:
        writer.transport.abort()


def error_of_certificate(
    origin: Origin, cause: ssl.SSLCertVerificationError, certificate: Certificate | None, now: datetime
) -> RegistryTLS:
    """Return the error for a rejected certificate. `certificate` is None if it could not be read."""
    message = f"{origin}: the certificate is not trusted ({cause.verify_message})"
    if certificate is not None and cause.verify_code in _OTHER_NAME:
        return RegistryTLS(
            f"{message}. It is issued for {_names_in(certificate)}, not for {origin.host}. Use one of its names as "
            "the registry's address, or issue a certificate for this name"
        )
    if certificate is not None and cause.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        begins, ends = _moment(certificate, "notBefore"), _moment(certificate, "notAfter")
        return RegistryTLS(
            f"{message}. It is valid from {begins} to {ends}, and the time of this machine is {_second(now)}. Renew "
            "the certificate, or the one that signed it, at the registry, or correct the time"
        )
    return RegistryTLS(f"{message}. Set ca_file to the certificate of its authority, or set insecure_skip_tls_verify")


def _names_in(certificate: Certificate) -> str:
    names = [printable(str(name), 100) for _, name in certificate.get("subjectAltName", ())]
    return join_limited(names, MAX_NAMES) or "no name at all"


def _moment(certificate: Certificate, member: str) -> str:
    seconds = ssl.cert_time_to_seconds(str(certificate[member]))
    return _second(datetime.fromtimestamp(seconds, UTC))


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
