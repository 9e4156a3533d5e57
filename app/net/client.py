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
MOST_IDLE_CLOSED = 2  # retries in a row after a connection was closed while idle
ANSWER_SECONDS = 300.0  # limit for a whole response body, at most 4 MiB: a slow drip must not block a push
SILENT_SECONDS = 15.0  # limit between two pieces of a body; a longer gap is a failure, not a slow line
LATE_SECONDS = 5.0  # without a response; then the job reports what it waits for
WORDS_SECONDS = 10.0  # limit for the body of an error response
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_REPEATS = {"GET": {301, 302, 303, 307, 308}, "HEAD": {301, 302, 303, 307, 308}}
_SAME_REQUEST = {307, 308}  # the other statuses would turn a PUT into a GET

Transport = httpx.AsyncBaseTransport
Body = Callable[[], AsyncGenerator[bytes, None]]
"""Return the body from its start, each time it is called."""
Take = Callable[[bytes], Awaitable[bool]]
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
    def reach(self) -> EgressPolicy:
        places = (*self.url.origins(), *self.allowed_origins)
        return EgressPolicy(frozenset((origin.host, origin.port) for origin in places))


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    `authorization` and a secret body are sent to `origin` only, even after redirects.

    `limit`: maximum bytes of the body of a successful response, which is read whole; None: the body is not needed.
    `take` receives that body instead, in chunks and of any size. `site`: the request is a token request to that site,
    and its redirects are not followed.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    body: bytes | Body = b""
    limit: int | None = None
    take: Take | None = None
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
        reach = replace(self._settings.reach, site=site)
        return httpx.AsyncClient(
            transport=self._transport or Sockets(self._trust, reach, self._settings.proxies),
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

    async def send(self, call: Request, registry: Origin) -> Response:
        """Send a request and return the response with any status, after at most 5 permitted redirects.

        Raises RegistryUnreachable, RegistryTLS and RegistryRejected. Exceptions of the body pass unchanged.
        """
        hop = call
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._send_hop(hop, call.origin or registry)
            location = reply.header("location")
            if location is None or call.site is not None or reply.status not in _REPEATS.get(hop.method, _SAME_REQUEST):
                return reply
            target = join_url(hop.url, location, "the redirect")
            self._check_redirect(hop, target, registry)
            hop = replace(hop, url=target)
        raise RegistryRejected(
            f"{registry} redirects {call.method} {urlsplit(call.url).path} more than {MAX_REDIRECTS} times; check the "
            "proxy in front of it",
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

    async def _send_once(self, call: Request) -> Response:
        origin = Origin.of(call.url, "the URL")
        way = self._settings.proxies.describe_route(origin)
        try:
            return await self._watched(call, origin)
        except httpx.TransportError as error:
            if (cause := certificate_cause(error)) is not None:
                raise error_of_certificate(
                    origin, cause, await self._certificate(cause, origin, call.site), datetime.now(UTC)
                ) from error
            hint = self._settings.unanswered_hint if origin in self._settings.url.origins() else ""
            raise error_of_exchange(error, origin, way, has_content=bool(call.body), unanswered_hint=hint) from error
        except InnerAddressError as error:
            raise RegistryRejected(with_hint(str(error), advise(origin))) from error

    async def _watched(self, call: Request, origin: Origin) -> Response:
        """Report a late response, counted from the end of the request.

        Downloads and DELETEs are not watched: the duration of a download means nothing, and a cleanup concerns no
        job.
        """
        if call.take is not None or call.method == "DELETE":
            return await self._sent(call, origin)
        told = f"{origin} has not answered {call.method} for {LATE_SECONDS:g} s; still waiting"
        with report_delay(LATE_SECONDS, lambda: RegistryUnreachable(told)) as begin:
            if callable(call.body):
                return await self._sent(replace(call, body=partial(_told_at_end, call.body, begin)), origin)
            begin()
            return await self._sent(call, origin)

    async def _certificate(
        self, cause: ssl.SSLCertVerificationError, origin: Origin, site: Site | None
    ) -> Certificate | None:
        """Return the rejected certificate, if its content helps and it can be read."""
        if not has_details(cause) or self._transport is not None or self._settings.proxies.proxy_for(origin):
            return None
        context = await asyncio.to_thread(self._trust.lenient)
        reach = replace(self._settings.reach, site=site)
        return await read_certificate(origin, context, reach, self._settings.timeouts.connect)

    async def _sent(self, call: Request, origin: Origin) -> Response:
        """Send a request, and repeat it if an idle connection turns out to be closed: the server received nothing.

        Do not repeat it if the body would be read again, or if the server may have stored a part of it.
        """
        client = self._opened(call.site)
        for _ in range(MOST_IDLE_CLOSED):
            try:
                return await self._exchange(client, call, origin)
            except httpx.ReadError as error:
                if (
                    callable(call.body)
                    or call.method == "PATCH"
                    or not isinstance(error.__cause__, IdleConnectionClosed)
                ):
                    raise
        return await self._exchange(client, call, origin)

    def _opened(self, site: Site | None) -> httpx.AsyncClient:
        if not self._clients:
            raise RuntimeError("the client is not open")
        if site not in self._clients:
            self._clients[site] = self._new_client(site)
        return self._clients[site]

    async def _exchange(self, client: httpx.AsyncClient, call: Request, origin: Origin) -> Response:
        reply, peer = await _exchange(client, call, origin)
        return reply if self._settings.proxies.proxy_for(origin) else replace(reply, peer=peer)


async def _told_at_end(body: Body, tell: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(body()) as chunks:
        async for chunk in chunks:
            yield chunk
    tell()


async def _exchange(client: httpx.AsyncClient, call: Request, origin: Origin) -> tuple[Response, str | None]:
    """Return the response and the address of the peer."""
    headers = dict(call.headers)
    if call.authorization is not None and origin == call.origin:
        headers["Authorization"] = call.authorization
    try:
        url = httpx.URL(call.url)
        _ = url.host  # raises for an invalid host, which httpx decodes lazily
    except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: the host is not an IDNA name
        raise RegistryRejected(f"{origin.authority} is not a valid host or URL: {error}") from error
    source = call.body() if callable(call.body) else call.body
    request = client.build_request(call.method, url, headers=headers, content=source)
    if call.read_timeout is not None:
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": call.read_timeout}
    try:
        response = await client.send(request, stream=True)
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
    try:
        return await _read(response, call), _peer_of(response)
    finally:
        await response.aclose()


def _peer_of(response: httpx.Response) -> str | None:
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("peername") if stream is not None else None
    return str(found[0]) if found else None


async def _read(response: httpx.Response, call: Request) -> Response:
    if call.take is not None and response.is_success:
        async for chunk in response.aiter_raw():
            if not await call.take(chunk):
                break
        return Response(call.method, call.url, response.status_code, _headers_of(response))
    limit = call.limit if response.is_success else None
    body = await (_words(response) if limit is None else _whole(response, call.method, limit))
    return Response(call.method, call.url, response.status_code, _headers_of(response), body)


async def _words(response: httpx.Response) -> bytes:
    """Return the body of an error response, as much of it as arrives: the status is what counts.

    The body is not decoded, because the request did not ask for a Content-Encoding.
    """
    body = bytearray()
    with contextlib.suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(WORDS_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > ERROR_BYTES:
                    break
    return bytes(body[:ERROR_BYTES])


async def _whole(response: httpx.Response, method: str, limit: int) -> bytes:
    """Return the whole body. Raises RegistryUnreachable, or RegistryRejected if it is larger than `limit`."""
    body, loop, host = bytearray(), asyncio.get_running_loop(), response.url.host
    until = loop.time() + ANSWER_SECONDS
    try:
        async with asyncio.timeout(SILENT_SECONDS) as silence:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit:
                    raise RegistryRejected(
                        f"{host}: the response to {method} is too large; at most {limit} bytes are accepted",
                        failure=Failure.BROKEN_RESPONSE,
                    )
                silence.reschedule(min(loop.time() + SILENT_SECONDS, until))
    except TimeoutError:
        if loop.time() >= until:
            raise RegistryUnreachable(
                f"{host}: the response took more than {ANSWER_SECONDS:.0f} s; check the network and the registry"
            ) from None
        raise RegistryUnreachable(
            f"{host} sent {len(body)} bytes of its response to {method}, then nothing for {SILENT_SECONDS:.0f} s; "
            "check the network and the proxy in front of the registry",
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
