"""A registry restricted to what one job may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.oci import Descriptor, Digest
from app.registry import Registry
from app.registry.uploads.spare_session import SpareSession
from app.registry.wrappers.forwarding import ForwardingRegistry


class FencedRegistry(ForwardingRegistry):
    """Calls `check` before every tag; it raises if the job was taken over by another worker.

    Blobs and untagged manifests are harmless, because they match their digests.

    Nothing is mounted from a repository that `may_use` denies. Otherwise a caller who knows a digest could read the
    blobs of others, by an archive that claims to contain them.
    """

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
