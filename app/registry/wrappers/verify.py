"""Verification after a push: a registry that responded 201 is asked for what it accepted.

A wrapper, outside of retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from enum import StrEnum

from app.errors import ArchiveError, RegistryAuth, RegistryDenied, RegistryLost
from app.net.backoff import REAL, TimeSource
from app.net.warnings import add_notice
from app.oci import Descriptor, Digest, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE
from app.registry import Registry
from app.registry.wrappers.forwarding import ForwardingRegistry

SETTLING = 1.0  # maximum seconds before a missing tag is requested again: some stores list late


class Verification(StrEnum):
    """What is verified after an image has been pushed or was found present.

    TAG: the digest of its tag. BLOBS: also the existence and size of its blobs. CONTENT: also their content, which is
    read back.
    """

    TAG = "tag"
    BLOBS = "blobs"
    CONTENT = "content"
    NONE = "none"


class VerifyingRegistry(ForwardingRegistry):
    """Raises RegistryLost if a tag does not point to the manifest just stored under it.

    With BLOBS and CONTENT it also does so if the manifest's blobs are missing. Each blob of a repository is verified
    once, so use a new instance for each push.
    """

    def __init__(self, registry: Registry, verification: Verification, pause: TimeSource = REAL) -> None:
        super().__init__(registry)
        self._verification, self._pause = verification, pause
        self._verified: set[tuple[str, Digest]] = set()

    def with_level(self, verification: Verification | None) -> VerifyingRegistry:
        """Return the same registry with the level of one push; None: with the level of this one."""
        return VerifyingRegistry(self._registry, verification or self._verification, self._pause)

    @property
    def reads_content(self) -> bool:
        return self._verification is Verification.CONTENT

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        referrers_kept = await super().push_manifest(repository, reference, manifest)
        await self.verify_manifest(repository, manifest)
        if self._verification is not Verification.NONE and ":" not in reference:
            await self._prove_tag(repository, reference, manifest)
        return referrers_kept

    async def _prove_tag(self, repository: str, tag: str, manifest: tuple[Descriptor, bytes]) -> None:
        digest, raw = manifest[0].digest, manifest[1]
        try:
            found = await self._find(repository, tag)
            if not digest.is_same(found, raw):
                await self._pause.sleep(SETTLING * self._pause.chance())
                found = await self._find(repository, tag)
        except (RegistryDenied, RegistryAuth) as error:
            add_notice(f"{repository}:{tag} was pushed and cannot be verified: {error}")
            return
        if not digest.is_same(found, raw):
            there = "nothing is" if found is None else f"{found} is"
            raise RegistryLost(
                f"the registry accepted {digest} as {repository}:{tag}, but now {there} there; check the registry's "
                "storage, and whether another client pushes the same tag"
            )

    async def _find(self, repository: str, tag: str) -> Digest | None:
        """Return the digest of a tag, by HEAD and then by GET, because some registries do not answer HEAD."""
        found = await self._registry.find_manifest(repository, tag)
        if found is None:
            stored = await self._registry.read_manifest(repository, tag)
            return stored.digest if stored else None
        return found

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        if self._verification not in {Verification.BLOBS, Verification.CONTENT}:
            return
        read = self._verification is Verification.CONTENT

        async def verify(blob: Descriptor) -> None:
            await self._registry.verify_blob(repository, blob, read=read)
            self._verified.add((repository, blob.digest))

        wanted = {blob.digest: blob for blob in _blobs_of(*manifest) if (repository, blob.digest) not in self._verified}
        lost = await _find_lost(verify, wanted.values())
        if lost is not None:
            raise lost


def _blobs_of(descriptor: Descriptor, raw: bytes) -> Iterator[Descriptor]:
    """Yield the blobs that a registry must have; none if the manifest's type is unknown."""
    try:
        manifest = parse_manifest(raw, descriptor)
    except ArchiveError:
        return
    yield from (blob for blob in manifest.blobs if not blob.urls and blob.media_type not in NON_DISTRIBUTABLE)


async def _find_lost(
    verify: Callable[[Descriptor], Awaitable[None]], blobs: Iterable[Descriptor]
) -> RegistryLost | None:
    """Return one error for all of `blobs` that `verify` finds lost, after checking all of them."""
    lost: list[RegistryLost] = []

    async def look(blob: Descriptor) -> None:
        try:
            await verify(blob)
        except RegistryLost as error:
            lost.append(error)

    try:
        async with asyncio.TaskGroup() as group:
            for blob in blobs:
                group.create_task(look(blob))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if not lost:
        return None
    return RegistryLost(str(lost[0]), blobs=tuple(digest for error in lost for digest in error.blobs))


def with_verification(registry: Registry, wanted: Verification | None) -> Registry:
    """Return the registry with the level of one push.

    A registry without a level, such as the embedded one, only needs verification of its blobs, on request.
    """
    if isinstance(registry, VerifyingRegistry):
        return registry.with_level(wanted)
    return VerifyingRegistry(registry, wanted) if wanted in {Verification.BLOBS, Verification.CONTENT} else registry


def reads_content(registry: Registry) -> bool:
    """Return whether a push to `registry`, as returned by `with_verification`, verifies content."""
    return isinstance(registry, VerifyingRegistry) and registry.reads_content
