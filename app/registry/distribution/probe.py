"""Reachability and capabilities of a registry, for `GET /registries` and `tarmac check`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import RegistryError, RegistryUnreachable
from app.net.client import Request
from app.net.response import Response
from app.net.urls import RegistryUrl, printable
from app.oci import Digest, media_types
from app.registry.distribution.endpoints import expect
from app.registry.distribution.push_right import PROBE
from app.registry.distribution.responses import read_error_detail
from app.registry.distribution.session import AuthSession
from app.registry.wrappers.redact import SecretScrubber

CHECK_SECONDS = 5.0  # per registry; an unreachable one must not block the list
MAX_SHOWN_CHARACTERS = 200  # characters shown of a header
_NO_SUBJECT = Digest.of(b"")  # digest without a manifest; a query for its referrers changes nothing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistryReport:
    """The result of a probe.

    `address`: scheme, host and port that responded. `authentication`: none, basic or bearer. `authenticated`: with
    credentials. `api` and `software`: from its headers, or None. `referrers`: whether it has the referrers API, None if
    it does not answer that for a missing repository.
    """

    address: str
    authentication: str = "none"
    authenticated: bool = False
    api: str | None = None
    software: str | None = None
    referrers: bool | None = None


async def probe(session: AuthSession, url: RegistryUrl) -> RegistryReport:
    """Probe a registry. Raises RegistryError with the reason if it cannot be used."""
    origin = await session.origin()
    response = await session.send(Request("GET", f"{origin}/v2/"), url.path, ())
    expect(response, frozenset({200}))
    return RegistryReport(
        address=str(origin),
        authentication=session.authorizations.scheme,
        authenticated=session.authorizations.has_credentials(url.path),
        api=_header(response, "docker-distribution-api-version", session.secrets),
        software=_header(response, "server", session.secrets),
        referrers=await _has_referrers(session, url),
    )


async def probe_with_timeout(url: str, check: Callable[[], Awaitable[T]], seconds: float) -> T | RegistryError:
    """Return what `check` returns or raises, after at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await check()
    except TimeoutError:
        return RegistryUnreachable(f"{url} did not answer within {seconds:g} s; check the network and the registry")
    except RegistryError as error:
        return error


def _header(response: Response, header: str, secrets: SecretScrubber) -> str | None:
    value = response.header(header)
    return printable(secrets.scrub(value), MAX_SHOWN_CHARACTERS) if value else None


async def _has_referrers(session: AuthSession, url: RegistryUrl) -> bool | None:
    repository = "/".join(filter(None, (url.path, PROBE)))
    request = Request("GET", f"{await session.origin()}/v2/{repository}/referrers/{_NO_SUBJECT}")
    try:
        response = await session.send(request, repository, (f"repository:{repository}:pull",))
    except RegistryError:  # optional information: some token services fail for missing repositories
        return None
    if response.status == 200:
        return (response.header("content-type") or "").startswith(media_types.OCI_INDEX)
    if response.status == 404 and read_error_detail(response.body).code != "NAME_UNKNOWN":
        return False
    return None
