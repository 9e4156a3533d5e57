"""A Registry that forwards every operation. A wrapper inherits from it and overrides the operations that it changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.oci import Descriptor, Digest
from app.registry import BlobContent, Registry, StoredManifest
from app.registry.uploads.spare_session import SpareSession

T = TypeVar("T")


class ForwardingRegistry:
    """Forwards to `registry`. A wrapper overrides single operations, or `_forward`, through which all of them pass."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def _forward(self, name: str, verb: Callable[[], Awaitable[T]], content: BlobContent | None = None) -> T:
        """Execute the operation `verb` with the name `name`; it may be called repeatedly.

        `content`: the blob that it sends.
        """
        return await verb()

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        return await self._forward("blob_exists", lambda: self._registry.blob_exists(repository, digest, size))

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        return await self._forward(
            "mount_blob", lambda: self._registry.mount_blob(repository, digest, source, size, spare)
        )

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        await self._forward("verify_blob", lambda: self._registry.verify_blob(repository, blob, read=read))

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._forward("push_blob", lambda: self._registry.push_blob(repository, content), content)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        return await self._forward("read_config", lambda: self._registry.read_config(repository, config))

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return await self._forward("find_manifest", lambda: self._registry.find_manifest(repository, reference))

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await self._forward("read_manifest", lambda: self._registry.read_manifest(repository, reference))

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        await self._forward("verify_manifest", lambda: self._registry.verify_manifest(repository, manifest))

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        return await self._forward(
            "push_manifest", lambda: self._registry.push_manifest(repository, reference, manifest)
        )
