"""Proof after the push: a registry that said 201 is asked for what it took. A wrapper, outside of retrying."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from app.errors import ArchiveError, RegistryAuth, RegistryDenied, RegistryLost
from app.oci import Descriptor, Digest, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE
from app.registry import BlobContent, Registry, StoredManifest
from app.registry.backoff import REAL, Pause
from app.registry.warnings import note

SETTLING = 1.0  # seconds at most before a tag that is not there is asked for again: some stores list late


class Verification(StrEnum):
    """What is asked for when a tag has been written."""

    TAG = "tag"
    BLOBS = "blobs"
    NONE = "none"


class VerifyingRegistry:
    """Raises RegistryLost where a tag does not lead to the manifest that was just stored under it, or, with BLOBS,
    where a manifest's blobs are not there."""

    def __init__(self, registry: Registry, verification: Verification, pause: Pause = REAL) -> None:
        self._registry, self._verification, self._pause = registry, verification, pause

    def but(self, verification: Verification) -> VerifyingRegistry:
        """The same registry, as one push wants it."""
        return VerifyingRegistry(self._registry, verification, self._pause)

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        return await self._registry.blob_exists(repository, digest)

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        return await self._registry.mount_blob(repository, digest, source)

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._registry.push_blob(repository, content)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        return await self._registry.read_config(repository, config)

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        return await self._registry.find_manifest(repository, reference)

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await self._registry.read_manifest(repository, reference)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        referrers_kept = await self._registry.push_manifest(repository, reference, manifest)
        if self._verification is Verification.BLOBS:
            await self._prove_blobs(repository, *manifest)
        if self._verification is not Verification.NONE and ":" not in reference:
            await self._prove_tag(repository, reference, manifest[0].digest)
        return referrers_kept

    async def _prove_tag(self, repository: str, tag: str, digest: Digest) -> None:
        try:
            found = await self._find(repository, tag)
            if found != digest:
                await self._pause.sleep(SETTLING * self._pause.chance())
                found = await self._find(repository, tag)
        except (RegistryDenied, RegistryAuth) as error:
            note(f"{repository}:{tag} was pushed and cannot be verified: {error}")
            return
        if found != digest:
            there = "nothing is" if found is None else f"{found} is"
            raise RegistryLost(
                f"the registry took {digest} as {repository}:{tag}, and {there} there now; look at the registry's "
                "storage, and whether somebody else pushes the same tag"
            )

    async def _find(self, repository: str, tag: str) -> Digest | None:
        """A registry that does not answer HEAD may answer GET."""
        found = await self._registry.find_manifest(repository, tag)
        if found is None:
            stored = await self._registry.read_manifest(repository, tag)
            return stored.digest if stored else None
        return found

    async def _prove_blobs(self, repository: str, descriptor: Descriptor, raw: bytes) -> None:
        try:
            manifest = parse_manifest(raw, descriptor)
        except ArchiveError:  # not one whose blobs we know
            return
        blobs = tuple(
            dict.fromkeys(
                each.digest for each in manifest.blobs if not each.urls and each.media_type not in NON_DISTRIBUTABLE
            )
        )
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._registry.blob_exists(repository, digest)) for digest in blobs]
        lost = tuple(str(digest) for digest, there in zip(blobs, asked, strict=True) if not there.result())
        if lost:
            raise RegistryLost(f"the registry took {lost[0]} in {repository} and does not have it", blobs=lost)


def verified(registry: Registry, wanted: Verification | None) -> Registry:
    """As a push asks for; one that has no settings of its own, such as the embedded one, needs no proof."""
    if wanted is None or not isinstance(registry, VerifyingRegistry):
        return registry
    return registry.but(wanted)
