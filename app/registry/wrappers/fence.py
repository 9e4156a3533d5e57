"""A registry as one job may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.oci import Descriptor, Digest
from app.registry import Registry
from app.registry.uploads.spare_session import SpareSession
from app.registry.wrappers.forwarding import ForwardingRegistry


class FencedRegistry(ForwardingRegistry):
    """`check` is asked before every tag, and raises where the job has been taken away. Blobs and manifests without a
    tag do no harm: they are what their digests say, whoever pushes them.

    Nothing is mounted from a repository that `may_use` denies: who knows a digest alone, and has an archive that claims
    to hold it, would come to read what others have pushed."""

    def __init__(
        self, registry: Registry, check: Callable[[], Awaitable[None]], may_use: Callable[[str], bool]
    ) -> None:
        super().__init__(registry)
        self._check, self._may_use = check, may_use

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        return self._may_use(source) and await super().mount_blob(repository, digest, source, size, spare)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        if ":" not in reference:  # a tag, not a digest
            await self._check()
        return await super().push_manifest(repository, reference, manifest)
