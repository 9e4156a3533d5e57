"""Requests to a Tarmac service, retried while it is away."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from app import __version__
from app.errors import InvalidRequest
from app.net.exchange_errors import tls_cause
from app.net.transport import NoCookies

RETRIED = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504, 507})  # 409, 423: with the new offset
FIRST_WAIT_SECONDS = 0.5  # between two attempts; doubled with each
LONGEST_WAIT_SECONDS = 30.0
_NO_ADDRESS = "--server {!r:.200} is not the address of a service; use http://HOST:PORT or https://HOST"
POLL_SECONDS = 30  # that one request waits for the end of a job
TIMEOUT_SECONDS = 60.0  # without a byte of a response, apart from the wait for a job


class Refused(Exception):
    """A response that a retry does not change. `problem` is its document, with the job if it failed."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        super().__init__(f"{problem.get('code', status)}: {problem.get('detail', 'the service gave no reason')}")
        self.problem, self.status = problem, status

    @property
    def job(self) -> Mapping[str, Any] | None:
        job = self.problem.get("job")
        return job if isinstance(job, dict) else None


class Away(Exception):
    """The service could not be used for as long as the client waits."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the service may be away, in seconds, and the clock. Tests replace the clock."""

    seconds: float = 600.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    report: Callable[[str], None] = field(default=lambda text: None)


class Outage:
    """Attempts without progress. Raises Away after `Patience.seconds` of them."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._since, self._count = patience, patience.now(), 0

    def end(self) -> None:
        """Record progress."""
        self._since, self._count = self._patience.now(), 0

    def wait(self, reason: str, retry_after: float = 0.0) -> None:
        """Wait before the next attempt. Raises Away."""
        gone = self._patience.now() - self._since
        if gone >= self._patience.seconds:
            raise Away(f"{reason}; no progress for {gone:.0f} s. Run the same command again to resume")
        if not self._count:
            self._patience.report(f"{reason}; retrying")
        wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**self._count) * self._patience.chance()
        self._count = min(self._count + 1, 10)
        self._patience.sleep(max(wait, min(retry_after, LONGEST_WAIT_SECONDS)))


class Server:
    """A service at `url`, which may have a base path. Use it as a context manager."""

    def __init__(self, url: str, token: str | None, ca_file: Path | None, patience: Patience) -> None:
        self.url, self.patience = _base_of(url), patience
        headers = {"User-Agent": f"tarmac/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=TIMEOUT_SECONDS + POLL_SECONDS)
        self._client = httpx.Client(
            headers=headers, timeout=timeout, verify=_trust(self.url, ca_file), cookies=NoCookies()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def address(self, location: str) -> str:
        """Return the URL of a `Location`. Raises InvalidRequest if it leads to another origin: the token stays here."""
        url = urljoin(self.url, location)
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            raise InvalidRequest(f"{self.url} leads to {url}, another origin; use that address as --server")
        return url

    def once(
        self, method: str, url: str, headers: Mapping[str, str], content: Iterable[bytes] | None = None
    ) -> httpx.Response:
        """Send a request. Raises httpx.TransportError, Refused, and Unready for a status that is retried."""
        response = self._client.request(method, url, headers=dict(headers), content=content)
        if response.is_success:
            return response
        if response.status_code in RETRIED and "job" not in _document(response):
            raise Unready(response)
        raise Refused(_document(response), response.status_code)

    def field(self, response: httpx.Response, name: str) -> str:
        """Return a header field that each response of the service has. Raises Refused if this is another server's."""
        value: str | None = response.headers.get(name)
        if value is None:
            raise self._foreign(response)
        return value

    def offset(self, response: httpx.Response) -> int:
        """Return the offset of an upload. Raises Refused if this is another server's response."""
        text = self.field(response, "upload-offset")
        if not (text.isascii() and text.isdigit()):
            raise self._foreign(response)
        return int(text)

    def _foreign(self, response: httpx.Response) -> Refused:
        detail = f"{self.url} does not answer as a Tarmac service does; check the address and the proxy before it"
        return Refused({"code": "unexpected_response", "detail": detail}, response.status_code)

    def request(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """Send a request without a body, and retry it while the service is away. Raises Refused and Away."""
        outage = Outage(self.patience)
        while True:
            try:
                return self.once(method, url, headers)
            except (httpx.TransportError, Unready) as error:
                outage.wait(*reason_of(error, self.url))

    def wait_for_job(self, url: str) -> Mapping[str, Any]:
        """Return the document of the job when it has ended. Raises Refused and Away."""
        while True:
            response = self.request("GET", f"{url}?wait={POLL_SECONDS}", {})
            job = _document(response)
            if "state" not in job:
                raise self._foreign(response)
            if job["state"] in {"succeeded", "failed", "cancelled"}:
                return job


class Unready(Exception):
    """A response with a status that is retried."""

    def __init__(self, response: httpx.Response) -> None:
        document = _document(response)
        super().__init__(f"{document.get('code', response.status_code)}: {document.get('detail', '')}".rstrip(": "))
        text = response.headers.get("retry-after", "")
        self.retry_after = float(text) if text.isascii() and text.isdigit() else 0.0


def reason_of(error: Exception, url: str) -> tuple[str, float]:
    """Return why an attempt failed, and the seconds that the service asks to wait.

    Raises Away at once if no TLS connection is possible.
    """
    if isinstance(error, Unready):
        return f"{url} is not ready ({error})", error.retry_after
    cause = tls_cause(error)
    if isinstance(error, httpx.ConnectError) and cause is not None:
        reason = getattr(cause, "verify_message", None) or cause.reason or cause
        raise Away(f"{url}: no TLS connection ({reason}); trust its authority with --ca-file, or use http://")
    return f"{url} cannot be reached ({error or type(error).__name__})", 0.0


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {"code": response.status_code, "detail": response.reason_phrase}
    return document if isinstance(document, dict) else {}


def _base_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise InvalidRequest(_NO_ADDRESS.format(url)) from None
    if not is_address or parts.query or parts.fragment:
        raise InvalidRequest(_NO_ADDRESS.format(url))
    if parts.username is not None:
        raise InvalidRequest("--server must not contain credentials; use --token-file")
    return f"{url.rstrip('/')}/"


def _trust(url: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return True
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise InvalidRequest(f"--ca-file {ca_file} cannot be used: {error.strerror or error}") from None
    return context
