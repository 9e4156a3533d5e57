"""The same verbs with backoff: a wrapper, so that no adapter knows about trying again.

The loop is our own: stamina's clock and sleep cannot be given, and its time-out counts the hours a good upload took."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import RegistryError, RegistryRateLimited
from app.oci import Descriptor, Digest
from app.registry import BlobContent, Registry, StoredManifest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times in seconds. Between two tries a random part of `first_wait`, doubled with each try (full jitter: workers
    that failed together do not come back together), on top of a registry's Retry-After."""

    tries: int = 6
    patience: float = 600.0  # of waiting in all; what the tries take is not counted, a large blob may need an hour
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 300.0


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Pause:
    """What waiting needs of the world; tests bring their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class RetryingRegistry:
    """Tries again what failed with a `retryable` RegistryError; the last error is the one raised. Content is read from
    its start each time. Errors of content, and cancelling, pass through at once."""

    def __init__(self, registry: Registry, policy: RetryPolicy = DEFAULT_POLICY, pause: Pause = Pause()) -> None:
        self._registry, self._policy, self._pause = registry, policy, pause

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        return await self._try(lambda: self._registry.blob_exists(repository, digest))

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        return await self._try(lambda: self._registry.mount_blob(repository, digest, source))

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._try(lambda: self._registry.push_blob(repository, content))

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return await self._try(lambda: self._registry.find_manifest(repository, reference))

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await self._try(lambda: self._registry.read_manifest(repository, reference))

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        return await self._try(lambda: self._registry.read_config(repository, config))

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        return await self._try(lambda: self._registry.push_manifest(repository, reference, manifest))

    async def _try(self, verb: Callable[[], Awaitable[T]]) -> T:
        number, waited = 1, 0.0
        while True:
            try:
                return await verb()
            except RegistryError as error:
                wait = self._wait(error, number)
                if not error.retryable or number >= self._policy.tries or waited + wait > self._policy.patience:
                    raise
            await self._pause.sleep(wait)
            number, waited = number + 1, waited + wait

    def _wait(self, error: RegistryError, number: int) -> float:
        policy = self._policy
        wait = min(policy.longest_wait, policy.first_wait * 2.0 ** (number - 1)) * self._pause.chance()
        asked = error.retry_after if isinstance(error, RegistryRateLimited) else None
        return wait + min(asked or 0.0, policy.longest_retry_after)
