"""Conversion of httpx's exceptions, for exchanges that ended without a response, to RegistryErrors."""

from __future__ import annotations

import ssl

import httpx

from app.errors import (
    Failure,
    RegistryError,
    RegistryFault,
    RegistryRejected,
    RegistryTLS,
    RegistryUnreachable,
    with_hint,
)
from app.net.response import OVERLOADED
from app.net.response_head import CUT_HEAD, TLS_ALERT
from app.net.urls import Origin, printable

_NO_RESPONSE = "Server disconnected"  # httpcore's message for a connection that ended before a response began
_CUT = ("peer closed connection", CUT_HEAD)  # h11's message for a body, ours for a head
PROXY_LOGIN = "A proxy asks for a user name and password; write them into HTTPS_PROXY or HTTP_PROXY"


def error_of_exchange(
    error: httpx.TransportError, origin: Origin, route: str, *, has_content: bool, unanswered_hint: str = ""
) -> RegistryError:
    """Return the error of a request with or without content.

    `route` names `origin` and the proxy to it. `unanswered_hint` says what else it may mean that `origin` closes a
    connection without a response.
    """
    if isinstance(error, httpx.TimeoutException):
        return RegistryUnreachable(
            f"{route} timed out ({_phase(error)}); check the network and the registry", silence=_silence(error)
        )
    cause = tls_cause(error)
    if cause is not None and (isinstance(error, httpx.ConnectError) or "ALERT" in (cause.reason or "")):
        return _tls_error(origin, cause)  # after the handshake, an error other than an alert means a broken connection
    broken = _broken(error, origin, route)
    if has_content or not _is_unanswered(error):
        return broken
    return RegistryUnreachable(with_hint(str(broken), unanswered_hint), failure=Failure.UNANSWERED)


def _is_unanswered(error: httpx.TransportError) -> bool:
    """Return whether a connection existed and ended before a response."""
    return isinstance(error, httpx.ReadError | httpx.WriteError) or str(error).startswith(_NO_RESPONSE)


def tls_cause(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS error among the causes of `error`, or None."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def certificate_cause(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return the certificate error among the causes of `error`, or None. If there is one, the server does speak TLS."""
    cause = tls_cause(error)
    return cause if isinstance(cause, ssl.SSLCertVerificationError) else None


def _tls_error(origin: Origin, cause: ssl.SSLError) -> RegistryTLS:
    return RegistryTLS(
        f"{origin}: the TLS handshake failed ({cause.reason or cause}). If the server uses plain http, write its "
        "address with http://; if it requires a client certificate, set client_cert and client_key"
    )


def _broken(error: httpx.TransportError, origin: Origin, route: str) -> RegistryError:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ProxyError):
        return _proxy_error(text, origin, route)
    is_odd = isinstance(error, httpx.RemoteProtocolError | httpx.LocalProtocolError)
    if text == TLS_ALERT:
        return RegistryRejected(f"{route} uses TLS; write https://{origin.authority} as its address")
    if is_odd and not text.startswith((_NO_RESPONSE, *_CUT)):
        return RegistryFault(
            f"{route} does not respond in HTTP/1.1 ({printable(text, 300)}); check that a registry listens there, and "
            "the proxy in front of it"
        )
    return RegistryUnreachable(
        f"{route} cannot be reached ({printable(text, 300)}); check its address, that it runs, and the network",
        failure=Failure.CUT_RESPONSE if text.startswith(_CUT) else None,
    )


def _proxy_error(text: str, origin: Origin, route: str) -> RegistryError:
    """Return the error of a proxy that opens no tunnel.

    It responds with a status: `407 Proxy Authentication Required`.
    """
    message = f"{route}: the proxy answered {printable(text, 300)} to CONNECT"
    status = int(text[:3]) if text[:3].isdigit() else 0
    if not 400 <= status < 500 or status in OVERLOADED:
        return RegistryUnreachable(f"{message}; check the proxy")
    return RegistryRejected(
        with_hint(message, PROXY_LOGIN if status == 407 else f"Add {origin.host} to NO_PROXY, or allow it")
    )


def _silence(error: httpx.TimeoutException) -> float:
    limits = error.request.extensions.get("timeout", {})
    return float(limits.get("read") or 0.0) if isinstance(error, httpx.ReadTimeout) else 0.0


def _phase(error: httpx.TimeoutException) -> str:
    phases = {
        httpx.ConnectTimeout: "connecting",
        httpx.WriteTimeout: "sending",
        httpx.ReadTimeout: "waiting for a response",
    }
    return phases.get(type(error), "waiting")
