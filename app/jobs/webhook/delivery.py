"""Webhook: posts the documents of ended jobs to the configured URL.

The operator configures the URL, so it may be a private address. Redirects are not followed, because their target is not
configured. Only the status of the response is used; its body is not read."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import structlog

from app.errors import TarmacError
from app.jobs.model import Job, ProblemRenderer, plain_problem
from app.jobs.retention.idle import Idle
from app.jobs.webhook.outbox import Outbox, OutboxEntry
from app.jobs.webhook.signing import sign
from app.net.backoff import REAL, TimeSource
from app.net.egress import EgressPolicy
from app.net.proxies import Proxies
from app.net.tls import TlsContexts, TlsFiles
from app.net.transport import NoCookies, Transport
from app.net.urls import Origin, parse_registry_url

ANSWER_SECONDS = 10.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0  # seconds between two attempts
PATIENCE = timedelta(days=1)
MAX_HELD_BYTES = 32 << 20  # for bodies in memory while an attempt is made, which takes at most ten seconds per message

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`url`: the receiver. Without a `secret` messages are not signed."""

    url: str
    secret: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    proxies: Proxies = field(default_factory=Proxies, repr=False)


@dataclass(slots=True)
class _RetryState:
    count: int = 0
    due: float = 0.0  # of the monotonic clock


class Webhook:
    """Delivers messages about ended jobs from a durable outbox."""

    def __init__(
        self,
        settings: WebhookSettings,
        outbox: Outbox,
        *,
        describe: ProblemRenderer = plain_problem,
        transport: httpx.AsyncBaseTransport | None = None,
        pause: TimeSource = REAL,
    ) -> None:
        self._settings, self._outbox, self._describe, self._pause = settings, outbox, describe, pause
        self._client = httpx.AsyncClient(
            transport=transport or _transport(settings),
            cookies=NoCookies(),
            timeout=ANSWER_SECONDS,
            follow_redirects=False,
            trust_env=False,
        )
        self._retries: dict[str, _RetryState] = {}
        self._idle = Idle(pause.now)
        self._ended: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()  # names and bodies
        self._bytes = 0  # total size of these bodies

    def enqueue(self, job: Job) -> None:
        """Enqueue a message about an ended job; an observer of the tracker."""
        document = {"type": f"job.{job.state.value}", "data": job.document(self._describe)}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        if self._bytes + len(body) > MAX_HELD_BYTES:
            _log.error("webhook.message_dropped", message=f"{job.id}-{job.attempt}", reason="too many bytes in memory")
            return
        self._bytes += len(body)
        self._ended.put_nowait((f"{job.id}-{job.attempt}", body))

    async def run(self) -> None:
        """Deliver messages until cancelled. Messages in the outbox are delivered after the next start."""
        while True:
            await self.write_outbox()
            wait = await self.deliver(time.time())
            try:
                async with asyncio.timeout(wait):
                    self._ended.put_nowait(await self._ended.get())
            except TimeoutError:
                continue

    async def write_outbox(self) -> None:
        """Write the messages in memory to the outbox."""
        while not self._ended.empty():
            name, body = self._ended.get_nowait()
            self._bytes -= len(body)
            try:
                is_stored = await asyncio.to_thread(self._outbox.put, name, body)
            except OSError as error:
                _log.error("webhook.message_dropped", message=name, reason=error.strerror)
                continue
            if not is_stored:
                _log.error("webhook.message_dropped", message=name, reason="too many undelivered messages")

    async def deliver(self, now: float) -> float | None:
        """Attempt each due message once, and return the seconds until the next is due, None without messages.

        `now` is the time of day in seconds since 1970."""
        waiting = await asyncio.to_thread(self._outbox.waiting)
        self._idle.keep({entry.name for entry in waiting})
        self._retries = {entry.name: self._retries.get(entry.name, _RetryState()) for entry in waiting}
        for entry in waiting:
            if self._retries[entry.name].due <= self._pause.now():
                await self._attempt(entry, now)
        dues = [retry.due for retry in self._retries.values()]
        return max(min(dues) - self._pause.now(), 0.0) if dues else None

    async def _attempt(self, entry: OutboxEntry, now: float) -> None:
        reason = await self._post(entry, int(now))
        retry = self._retries[entry.name]
        is_over = self._idle.is_over(entry.name, entry.written, now, PATIENCE)
        if reason is not None and not is_over:
            retry.count += 1
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (retry.count - 1))
            retry.due = self._pause.now() + longest * (0.5 + self._pause.chance() / 2)
            _log.warning("webhook.delivery_failed", message=entry.name, reason=reason, attempts=retry.count)
            return
        if reason is not None:
            _log.error("webhook.delivery_abandoned", message=entry.name, reason=reason, attempts=retry.count + 1)
        await asyncio.to_thread(self._outbox.remove, entry)
        del self._retries[entry.name]

    async def _post(self, entry: OutboxEntry, moment: int) -> str | None:
        """Post a message. Return the reason for a failure; None if it was delivered or does not exist any more."""
        body = await asyncio.to_thread(self._outbox.read, entry)
        if body is None:
            return None
        headers = {"content-type": "application/json", "user-agent": "tarmac"}
        if self._settings.secret is not None:
            headers |= sign(self._settings.secret, entry.name, moment, body)
        try:
            async with self._client.stream("POST", self._settings.url, content=body, headers=headers) as response:
                return None if response.is_success else f"the receiver responded {response.status_code}"
        except httpx.HTTPError as error:
            return f"the receiver is unreachable: {type(error).__name__}"
        except TarmacError as error:
            return f"the receiver is unreachable: {error}"

    async def close(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def run_webhook(webhook: Webhook | None) -> AsyncIterator[None]:
    """Deliver messages about ended jobs within this block, if a webhook is configured."""
    if webhook is None:
        yield
        return
    task = asyncio.create_task(webhook.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await webhook.write_outbox()
        await webhook.close()


def _transport(settings: WebhookSettings) -> Transport:
    origin = Origin.of(settings.url, "the webhook's address")
    trust = TlsContexts(TlsFiles(ca_file=settings.ca_file), parse_registry_url(str(origin), "webhook_url"))
    return Transport(trust, EgressPolicy(frozenset({(origin.host, origin.port)})), settings.proxies)
