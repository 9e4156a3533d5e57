"""Access control from the settings: tokens, OIDC, host names and certificates."""

from __future__ import annotations

import os
import time
from pathlib import Path

from app.api.middleware.allowed_hosts import AllowedHosts
from app.api.middleware.auth import AccessPolicy, FindHolder
from app.api.middleware.cors import CorsOrigins
from app.api.middleware.proxy import TrustedProxies
from app.auth.token_file import TokenFile, TokenHolder
from app.config.settings import Settings
from app.errors import InvalidSettings
from app.net.proxies import Proxies
from app.server.tls import CertificateFiles, ServerCertificate


def access_of(settings: Settings) -> AccessPolicy:
    """Return the access policy. Raises InvalidSettings."""
    return AccessPolicy(
        find=token_lookup(settings),
        hosts=allowed_hosts(settings),
        cors=CorsOrigins(frozenset(settings.cors_origins)),
        proxies=TrustedProxies.parse(settings.trusted_proxies),
        base_path=settings.base_path,
    )


def token_lookup(settings: Settings) -> FindHolder | None:
    """Return a function that finds the caller of a token; None without tokens. Raises InvalidSettings."""
    file, issuer = _tokens(settings.tokens_file), _issuer(settings)
    if file is None or issuer is None:
        return file or issuer

    async def find(token: bytes) -> TokenHolder | None:
        return await file(token) or await issuer(token)

    return find


def _issuer(settings: Settings) -> FindHolder | None:
    if settings.oidc_issuer is None:
        return None
    try:
        from app.auth.oidc import OidcSettings, OidcTokens, parse_roles
    except ModuleNotFoundError:
        raise InvalidSettings(
            "TARMAC_OIDC_ISSUER (oidc_issuer) needs the extra `oidc`; run: pip install 'tarmac[oidc]'"
        ) from None
    asked = OidcSettings(
        settings.oidc_issuer,
        settings.oidc_audience or "",
        parse_roles(settings.oidc_roles),
        settings.oidc_claim,
        settings.oidc_ca_file,
        Proxies.of(os.environ),
        settings.oidc_repositories_claim,
    )
    return OidcTokens(asked, time.monotonic).authenticate


def _tokens(file: Path | None) -> FindHolder | None:
    if file is None:
        return None
    try:
        return TokenFile(file, time.monotonic).authenticate
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"TARMAC_TOKENS_FILE (tokens_file): {error}") from None


def allowed_hosts(settings: Settings) -> AllowedHosts | None:
    """Return the allowed host names; None for any.

    Without tokens, or on loopback, only the name prevents access by foreign web pages."""
    if not (settings.is_anonymous or settings.is_loopback or settings.allowed_hosts):
        return None
    return AllowedHosts(frozenset((settings.host.lower(), *settings.allowed_hosts)))


def server_certificate(settings: Settings) -> ServerCertificate | None:
    """Return the certificate; None without TLS. Raises InvalidSettings."""
    if settings.tls_cert is None:
        return None
    return ServerCertificate(CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


__all__ = ["access_of", "server_certificate"]
