"""The same verbs with backoff: a wrapper, so that no adapter knows about trying again.

The loop is our own: stamina's clock and sleep cannot be given, and its time-out counts the hours a good upload took."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import RegistryError, RegistryLost
from app.oci import Descriptor, Digest
from app.registry import BlobContent, Registry, StoredManifest
from app.registry.backoff import DEFAULT_POLICY, REAL, Pause, RetryPolicy, wait_after
from app.registry.retry_observer import report_failure, report_success

T = TypeVar("T")


class RetryingRegistry:
    """Tries again what failed with a `retryable` RegistryError; the last error is the one raised. Content is read from
    its start each time. Errors of content, and cancelling, pass through at once."""

    def __init__(self, registry: Registry, policy: RetryPolicy = DEFAULT_POLICY, pause: Pause = REAL) -> None:
        self._registry, self._policy, self._pause = registry, policy, pause

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        return await self._try(lambda: self._registry.blob_exists(repository, digest, size))

    async def mount_blob(self, repository: str, digest: Digest, source: str, size: int | None = None) -> bool:
        return await self._try(lambda: self._registry.mount_blob(repository, digest, source, size))

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        await self._try(lambda: self._registry.verify_blob(repository, blob, read=read))

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._try(lambda: self._registry.push_blob(repository, content))

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return await self._try(lambda: self._registry.find_manifest(repository, reference))

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await self._try(lambda: self._registry.read_manifest(repository, reference))

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        return await self._try(lambda: self._registry.read_config(repository, config))

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        await self._try(lambda: self._registry.verify_manifest(repository, manifest))

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        return await self._try(lambda: self._registry.push_manifest(repository, reference, manifest))

    async def _try(self, verb: Callable[[], Awaitable[T]]) -> T:
        number, waited = 1, 0.0
        while True:
            try:
                result = await verb()
            except RegistryLost:
                raise  # asking again does not bring it back; who pushes has to send it again
            except RegistryError as error:
                wait = wait_after(error, number, self._policy, self._pause.chance())
                if not error.retryable or number >= self._policy.tries or waited + wait > self._policy.patience:
                    raise
                report_failure(error, wait)
            else:
                report_success()
                return result
            await self._pause.sleep(wait)
            number, waited = number + 1, waited + wait


__all__ = ["DEFAULT_POLICY", "Pause", "RetryPolicy", "RetryingRegistry"]
