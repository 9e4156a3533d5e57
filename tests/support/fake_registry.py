"""A destination in memory: the Registry port without HTTP, with every call counted and failures as a test scripts them.

registry = FakeRegistry()
registry.fail("push_blob", RegistryDenied("no"), repository="team/a")     every such call
registry.calls                        [Call("blob_exists", "team/a", "sha256:…"), …] in order
registry.count("push_blob")
registry.manifest("team/a", "1")      the raw bytes under a tag
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import RegistryLost, RegistryRejected, SizeMismatch, TarmacError
from app.oci import Descriptor, Digest, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE, is_manifest
from app.registry import MAX_CONFIG_BYTES, BlobContent, StoredManifest, check_config
from app.registry.uploads.spare_session import SpareSession


@dataclass(frozen=True, slots=True)
class Call:
    verb: str
    repository: str
    what: str


@dataclass(frozen=True, slots=True)
class _Failure:
    verb: str
    error: TarmacError
    matches: Callable[[Call], bool]


class FakeRegistry:
    """Strict as distribution is: no manifest without what it refers to (foreign layers and subjects apart)."""

    def __init__(self, *, mounts: bool = True, lists_referrers: bool = True) -> None:
        self.mounts = mounts
        self.lists_referrers = lists_referrers
        self.calls: list[Call] = []
        self.blobs: dict[tuple[str, Digest], bytes] = {}
        self.manifests: dict[tuple[str, Digest], StoredManifest] = {}
        self.tags: dict[tuple[str, str], Digest] = {}
        self.gate: asyncio.Event | None = None  # push_blob waits for it after its first chunk
        self.waiting = asyncio.Event()  # set when a push_blob waits
        self.blob_bytes = 0  # of blobs that came, also of those that were given up
        self.under_way = 0  # blobs whose upload was begun and has not ended
        self.held = asyncio.Event()  # set when all bytes of a blob are there of which is not known whether it is wanted
        self._failures: list[_Failure] = []

    def fail(self, verb: str, error: TarmacError, *, repository: str | None = None, what: str | None = None) -> None:
        def matches(call: Call) -> bool:
            return repository in {None, call.repository} and what in {None, call.what}

        self._failures.append(_Failure(verb, error, matches))

    def count(self, *verbs: str) -> int:
        """Calls of these verbs; of all where none is named."""
        return sum(not verbs or call.verb in verbs for call in self.calls)

    def manifest(self, repository: str, reference: str) -> bytes:
        found = self._find(repository, reference)
        assert found is not None, f"{repository}:{reference} is not there; tags: {sorted(self.tags)}"
        return found.raw

    def _enter(self, verb: str, repository: str, what: str) -> None:
        call = Call(verb, repository, what)
        self.calls.append(call)
        for failure in self._failures:
            if failure.verb == verb and failure.matches(call):
                raise failure.error

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        self._enter("blob_exists", repository, str(digest))
        found = self.blobs.get((repository, digest))
        return found is not None and size in {None, len(found)}

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        self._enter("read_blob" if read else "verify_blob", repository, str(blob.digest))
        found = self.blobs.get((repository, blob.digest))
        if found is None or len(found) != blob.size or (read and _digest_of(found, blob.digest) != blob.digest):
            raise RegistryLost(f"{repository} has lost {blob.digest}", blobs=(str(blob.digest),))

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        return

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        self._enter("mount_blob", repository, str(digest))
        if not self.mounts or (source, digest) not in self.blobs:
            return False
        self.blobs[repository, digest] = self.blobs[source, digest]
        return True

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        digest = content.digest
        if content.might_exist and digest is not None and await self.blob_exists(repository, digest, content.size):
            content.mark_existing()
            return digest, len(self.blobs[repository, digest])
        self._enter("push_blob", repository, str(digest))
        self.under_way += 1
        try:
            return await self._pushed(repository, content)
        finally:
            self.under_way -= 1

    async def _pushed(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        data = await self._taken(content)
        if not content.is_commit_allowed:
            self.held.set()
        await content.wait_commit_allowed()
        digest = content.digest
        assert digest is not None
        hasher = digest.hasher()
        hasher.update(bytes(data))
        if content.size != len(data):
            raise SizeMismatch(f"{repository}: {len(data)} bytes came where {content.size} were said")
        if hasher.hexdigest() != digest.encoded:
            raise RegistryRejected(f"{repository}: the blob is not {digest}")
        self.blobs[repository, digest] = bytes(data)
        return digest, len(data)

    async def _taken(self, content: BlobContent) -> bytearray:
        data = bytearray()
        async for chunk in content.chunks():
            data += chunk
            self.blob_bytes += len(chunk)
            content.count_sent(len(chunk))
            if self.gate is not None:
                self.waiting.set()
                await self.gate.wait()
        return data

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        self._enter("find_manifest", repository, reference)
        found = self._find(repository, reference)
        return None if found is None else found.digest

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        self._enter("read_manifest", repository, reference)
        return self._find(repository, reference)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        self._enter("read_config", repository, str(config.digest))
        if config.size > MAX_CONFIG_BYTES:
            raise RegistryRejected(f"{repository}: {config.size} bytes are no config")
        raw = self.blobs.get((repository, config.digest))
        return None if raw is None else check_config(config, raw, repository)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        self._enter("push_manifest", repository, reference)
        descriptor, raw = manifest
        self._admit(repository, descriptor, raw)
        self.manifests[repository, descriptor.digest] = StoredManifest(descriptor.media_type, descriptor.digest, raw)
        if ":" not in reference:
            self.tags[repository, reference] = descriptor.digest
        return self.lists_referrers and parse_manifest(raw, descriptor).subject is not None

    def _admit(self, repository: str, descriptor: Descriptor, raw: bytes) -> None:
        manifest = parse_manifest(raw, Descriptor(descriptor.media_type, descriptor.digest, descriptor.size))
        for blob in manifest.blobs:
            if (repository, blob.digest) not in self.blobs and blob.media_type not in NON_DISTRIBUTABLE:
                raise RegistryRejected(f"{repository}: MANIFEST_BLOB_UNKNOWN {blob.digest}")
        for child in manifest.manifests:
            held: object = self.manifests if is_manifest(child.media_type) else self.blobs
            if isinstance(held, dict) and (repository, child.digest) not in held:
                raise RegistryRejected(f"{repository}: MANIFEST_UNKNOWN {child.digest}")

    def _find(self, repository: str, reference: str) -> StoredManifest | None:
        digest = Digest.parse(reference) if ":" in reference else self.tags.get((repository, reference))
        return None if digest is None else self.manifests.get((repository, digest))


def _digest_of(content: bytes, like: Digest) -> Digest:
    hasher = like.hasher()
    hasher.update(content)
    return Digest(like.algorithm, hasher.hexdigest())
