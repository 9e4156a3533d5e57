"""A registry as one job may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.oci import Descriptor, Digest
from app.registry import BlobContent, Registry, StoredManifest
from app.registry.spare import SpareSession


class FencedRegistry:
    """`check` is asked before every tag, and raises where the job has been taken away. Blobs and manifests without a
    tag do no harm: they are what their digests say, whoever pushes them.

    Nothing is mounted from a repository that `may_use` denies: who knows a digest alone, and has an archive that claims
    to hold it, would come to read what others have pushed."""

    def __init__(
        self, registry: Registry, check: Callable[[], Awaitable[None]], may_use: Callable[[str], bool]
    ) -> None:
        self._registry, self._check, self._may_use = registry, check, may_use

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        return await self._registry.blob_exists(repository, digest, size)

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        return self._may_use(source) and await self._registry.mount_blob(repository, digest, source, size, spare)

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        await self._registry.verify_blob(repository, blob, read=read)

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._registry.push_blob(repository, content)

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return await self._registry.find_manifest(repository, reference)

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await self._registry.read_manifest(repository, reference)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        return await self._registry.read_config(repository, config)

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        await self._registry.verify_manifest(repository, manifest)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        if ":" not in reference:  # a tag, not a digest
            await self._check()
        return await self._registry.push_manifest(repository, reference, manifest)
