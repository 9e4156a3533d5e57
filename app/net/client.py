"""HTTP/1.1 client for a registry, its token service and its storage.

Only this module, `transport` and `exchange_errors` import httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx

from app import __version__
from app.errors import Failure, RegistryRejected, RegistryUnreachable, with_hint
from app.net.certificate_advice import Certificate, error_of_certificate, has_details, read_certificate
from app.net.connection import IdleConnectionClosed
from app.net.egress import EgressPolicy, InnerAddressError, advise, check_target
from app.net.exchange_errors import certificate_cause, error_of_exchange
from app.net.proxies import DIRECT, Proxies
from app.net.response import ERROR_BYTES, Response
from app.net.retry_observer import report_delay
from app.net.same_site import Site
from app.net.tls import TlsContexts, TlsFiles
from app.net.transport import NoCookies
from app.net.transport import Transport as Sockets
from app.net.urls import Origin, RegistryUrl, join_url

MAX_REDIRECTS = 5
MAX_IDLE_RETRIES = 2  # retries in a row after a connection was closed while idle
MAX_BODY_SECONDS = 300.0  # limit for a whole response body, at most 4 MiB: a slow drip must not block a push
MAX_BODY_GAP_SECONDS = 15.0  # limit between two pieces of a body; a longer gap is a failure, not a slow line
LATE_SECONDS = 5.0  # without a response; then the job reports what it waits for
ERROR_BODY_SECONDS = 10.0  # limit for the body of an error response
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_REPEATS = {"GET": {301, 302, 303, 307, 308}, "HEAD": {301, 302, 303, 307, 308}}
_SAME_REQUEST = {307, 308}  # the other statuses would turn a PUT into a GET

Transport = httpx.AsyncBaseTransport
Body = Callable[[], AsyncGenerator[bytes, None]]
"""Return the body from its start, each time it is called."""
Receive = Callable[[bytes], Awaitable[bool]]
"""Receive one more chunk of a response body. Return False to stop."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds. A whole transfer has no limit: it may take any time while bytes move."""

    connect: float = 10.0
    write: float = 30.0  # without the peer accepting a byte
    read: float = 60.0  # without a response, after the last byte was sent
    manifest: float = 300.0  # the same for a manifest: Harbor is slow at it under load (goharbor/harbor#19902)
    cleanup: float = 5.0  # for cancelling an upload session


@dataclass(frozen=True, slots=True)
class HttpClientSettings:
    """How a server is reached.

    `allowed_origins` lists the origins that its responses may lead to, apart from its own host and port and public
    addresses. `unanswered_hint` says what else it may mean that it closes a connection without a response.
    """

    url: RegistryUrl
    ca_file: Path | None = None
    skip_verify: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None
    certificate_folders: tuple[Path, ...] = ()
    allowed_origins: frozenset[Origin] = frozenset()
    proxies: Proxies = DIRECT
    timeouts: Timeouts = Timeouts()
    unanswered_hint: str = ""

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles(self.ca_file, self.skip_verify, self.client_cert, self.client_key, self.certificate_folders)

    @property
    def egress(self) -> EgressPolicy:
        endpoints = (*self.url.origins(), *self.allowed_origins)
        return EgressPolicy(frozenset((origin.host, origin.port) for origin in endpoints))


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    `authorization` and a secret body are sent to `origin` only, even after redirects.

    `limit`: maximum bytes of the body of a successful response, which is read whole; None: the body is not needed.
    `receive` gets that body instead, in chunks and of any size. `site`: the request is a token request to that site,
    and its redirects are not followed.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    body: bytes | Body = b""
    limit: int | None = None
    receive: Receive | None = None
    read_timeout: float | None = None
    authorization: str | None = field(default=None, repr=False)
    origin: Origin | None = None
    body_is_secret: bool = False
    site: Site | None = None


class HttpClient:
    """HTTP client for one registry. Call `open` before the first `send`, and `close` after the last."""

    def __init__(self, settings: HttpClientSettings, transport: Transport | None = None) -> None:
        self._settings, self._transport = settings, transport
        self._trust = TlsContexts(settings.tls, settings.url)
        # token requests to a site use separate connections, which no other request may use
        self._clients: dict[Site | None, httpx.AsyncClient] = {}

    async def open(self) -> None:
        """Load the TLS contexts. Raises InvalidRequest if a certificate file cannot be used."""
        if self._settings.url.scheme != "http" or self._settings.ca_file or self._settings.client_cert:
            await asyncio.to_thread(self._trust.load)
        self._clients[None] = self._new_client(None)

    def _new_client(self, site: Site | None) -> httpx.AsyncClient:
        seconds = self._settings.timeouts
        egress = replace(self._settings.egress, site=site)
        return httpx.AsyncClient(
            transport=self._transport or Sockets(self._trust, egress, self._settings.proxies),
            headers={"User-Agent": f"tarmac/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
            cookies=NoCookies(),
            timeout=httpx.Timeout(connect=seconds.connect, write=seconds.write, read=seconds.read, pool=None),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.aclose()

    async def send(self, request: Request, registry: Origin) -> Response:
        """Send a request and return the response with any status, after at most 5 permitted redirects.

        Raises RegistryUnreachable, RegistryTLS and RegistryRejected. Exceptions of the body pass unchanged.
        """
        hop = request
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send_hop(hop, request.origin or registry)
            location = response.header("location")
            if (
                location is None
                or request.site is not None
                or response.status not in _REPEATS.get(hop.method, _SAME_REQUEST)
            ):
                return response
            target = join_url(hop.url, location, "the redirect")
            self._check_redirect(hop, target, registry)
            hop = replace(hop, url=target)
        raise RegistryRejected(
            f"{registry} redirects {request.method} {urlsplit(request.url).path} more than {MAX_REDIRECTS} times; "
            "check the proxy in front of it",
            failure=Failure.BROKEN_RESPONSE,
        )

    def _check_redirect(self, hop: Request, target: str, registry: Origin) -> None:
        """Check one redirect. Raises RegistryRejected if `target` must not be followed."""
        here, there = Origin.of(hop.url, "the URL"), Origin.of(target, "the redirect")
        is_same = here.host == there.host and urlsplit(hop.url).path == urlsplit(target).path
        if is_same and (here.scheme, there.scheme) == ("http", "https"):
            raise RegistryRejected(
                f"{here} redirects to {there}, so it uses https; write https://{there.authority} as the registry's "
                "address"
            )
        allowed = self._settings.allowed_origins
        if here.scheme == "https" and there.scheme == "http" and there not in allowed:
            raise RegistryRejected(
                f"{here} redirects to plain http at {there.authority}; such a redirect is not followed"
            )
        check_target(there, registry, "a redirect", allowed)
        if hop.body_is_secret and there != here:
            raise RegistryRejected(f"{here} redirects credentials to {there}; such a redirect is not followed")

    async def _send_hop(self, hop: Request, home: Origin) -> Response:
        """Send the request of one hop.

        If a target that `home` redirected to is unreachable, say so in the error: `home` itself may be healthy.
        """
        try:
            return await self._send_once(hop)
        except RegistryUnreachable as error:
            there = Origin.of(hop.url, "the URL")
            if there == home:
                raise
            raise RegistryUnreachable(
                f"{error}. {home} redirects there", failure=Failure.ELSEWHERE, silence=error.silence
            ) from error

    async def _send_once(self, request: Request) -> Response:
        origin = Origin.of(request.url, "the URL")
        route = self._settings.proxies.describe_route(origin)
        try:
            return await self._send_watched(request, origin)
        except httpx.TransportError as error:
            if (cause := certificate_cause(error)) is not None:
                raise error_of_certificate(
                    origin, cause, await self._certificate(cause, origin, request.site), datetime.now(UTC)
                ) from error
            hint = self._settings.unanswered_hint if origin in self._settings.url.origins() else ""
            raise error_of_exchange(
                error, origin, route, has_content=bool(request.body), unanswered_hint=hint
            ) from error
        except InnerAddressError as error:
            raise RegistryRejected(with_hint(str(error), advise(origin))) from error

    async def _send_watched(self, request: Request, origin: Origin) -> Response:
        """Report a late response, counted from the end of the request.

        Downloads and DELETEs are not watched: the duration of a download means nothing, and a cleanup concerns no
        job.
        """
        if request.receive is not None or request.method == "DELETE":
            return await self._send_with_reconnect(request, origin)
        message = f"{origin} has not answered {request.method} for {LATE_SECONDS:g} s; still waiting"
        with report_delay(LATE_SECONDS, lambda: RegistryUnreachable(message)) as begin:
            if callable(request.body):
                return await self._send_with_reconnect(
                    replace(request, body=partial(_call_at_end, request.body, begin)), origin
                )
            begin()
            return await self._send_with_reconnect(request, origin)

    async def _certificate(
        self, cause: ssl.SSLCertVerificationError, origin: Origin, site: Site | None
    ) -> Certificate | None:
        """Return the rejected certificate, if its content helps and it can be read."""
        if not has_details(cause) or self._transport is not None or self._settings.proxies.proxy_for(origin):
            return None
        context = await asyncio.to_thread(self._trust.lenient)
        egress = replace(self._settings.egress, site=site)
        return await read_certificate(origin, context, egress, self._settings.timeouts.connect)

    async def _send_with_reconnect(self, request: Request, origin: Origin) -> Response:
        """Send a request, and repeat it if an idle connection turns out to be closed: the server received nothing.

        Do not repeat it if the body would be read again, or if the server may have stored a part of it.
        """
        client = self._client_for(request.site)
        for _ in range(MAX_IDLE_RETRIES):
            try:
                return await self._exchange(client, request, origin)
            except httpx.ReadError as error:
                if (
                    callable(request.body)
                    or request.method == "PATCH"
                    or not isinstance(error.__cause__, IdleConnectionClosed)
                ):
                    raise
        return await self._exchange(client, request, origin)

    def _client_for(self, site: Site | None) -> httpx.AsyncClient:
        if not self._clients:
            raise RuntimeError("the client is not open")
        if site not in self._clients:
            self._clients[site] = self._new_client(site)
        return self._clients[site]

    async def _exchange(self, client: httpx.AsyncClient, request: Request, origin: Origin) -> Response:
        response, peer = await _exchange(client, request, origin)
        return response if self._settings.proxies.proxy_for(origin) else replace(response, peer=peer)


async def _call_at_end(body: Body, callback: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(body()) as chunks:
        async for chunk in chunks:
            yield chunk
    callback()


async def _exchange(client: httpx.AsyncClient, request: Request, origin: Origin) -> tuple[Response, str | None]:
    """Return the response and the address of the peer."""
    headers = dict(request.headers)
    if request.authorization is not None and origin == request.origin:
        headers["Authorization"] = request.authorization
    try:
        url = httpx.URL(request.url)
        _ = url.host  # raises for an invalid host, which httpx decodes lazily
    except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: the host is not an IDNA name
        raise RegistryRejected(f"{origin.authority} is not a valid host or URL: {error}") from error
    source = request.body() if callable(request.body) else request.body
    http_request = client.build_request(request.method, url, headers=headers, content=source)
    if request.read_timeout is not None:
        http_request.extensions["timeout"] = {**http_request.extensions["timeout"], "read": request.read_timeout}
    try:
        response = await client.send(http_request, stream=True)
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
    try:
        return await _read(response, request), _peer_of(response)
    finally:
        await response.aclose()


def _peer_of(response: httpx.Response) -> str | None:
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("peername") if stream is not None else None
    return str(found[0]) if found else None


async def _read(response: httpx.Response, request: Request) -> Response:
    if request.receive is not None and response.is_success:
        async for chunk in response.aiter_raw():
            if not await request.receive(chunk):
                break
        return Response(request.method, request.url, response.status_code, _headers_of(response))
    limit = request.limit if response.is_success else None
    body = await (_read_error_body(response) if limit is None else _read_body(response, request.method, limit))
    return Response(request.method, request.url, response.status_code, _headers_of(response), body)


async def _read_error_body(response: httpx.Response) -> bytes:
    """Return the body of an error response, as much of it as arrives: the status is what counts.

    The body is not decoded, because the request did not ask for a Content-Encoding.
    """
    body = bytearray()
    with contextlib.suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ERROR_BYTES:
                    break
    return bytes(body[:ERROR_BYTES])


async def _read_body(response: httpx.Response, method: str, limit: int) -> bytes:
    """Return the whole body. Raises RegistryUnreachable, or RegistryRejected if it is larger than `limit`."""
    body, loop, host = bytearray(), asyncio.get_running_loop(), response.url.host
    until = loop.time() + MAX_BODY_SECONDS
    try:
        async with asyncio.timeout(MAX_BODY_GAP_SECONDS) as silence:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit:
                    raise RegistryRejected(
                        f"{host}: the response to {method} is too large; at most {limit} bytes are accepted",
                        failure=Failure.BROKEN_RESPONSE,
                    )
                silence.reschedule(min(loop.time() + MAX_BODY_GAP_SECONDS, until))
    except TimeoutError:
        if loop.time() >= until:
            raise RegistryUnreachable(
                f"{host}: the response took more than {MAX_BODY_SECONDS:.0f} s; check the network and the registry"
            ) from None
        raise RegistryUnreachable(
            f"{host} sent {len(body)} bytes of its response to {method}, then nothing for "
            f"{MAX_BODY_GAP_SECONDS:.0f} s; check the network and the proxy in front of the registry",
            failure=Failure.CUT_RESPONSE,
        ) from None
    return bytes(body)


def _headers_of(response: httpx.Response) -> Mapping[str, tuple[str, ...]]:
    encoding = response.headers.encoding
    headers: dict[str, tuple[str, ...]] = {}
    for raw_name, raw_value in response.headers.raw:
        name = raw_name.decode(encoding).lower()
        headers[name] = (*headers.get(name, ()), raw_value.decode(encoding))
    return MappingProxyType(headers)
