"""Cache of blobs: the repository of a registry in which each was last seen, and the blob that each DiffID became.

The digest of a compressed layer is only known after compressing, so the cache spares a second push the reading. A blob
in another repository can be mounted. The cache is trusted only for the relation of DiffID and blob; whether the blob
exists is asked of the registry each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.archive.model import Compression
from app.oci import Digest
from app.push.plan.values import BlobStep, PushPlan
from app.push.run.blob_content import needs_compression

FLUSH_BYTES = 64 << 20  # of layers compressed: a crash loses at most this, half a second of work
FLUSH_COUNT = 100
Key = tuple[Compression, Digest]


@dataclass(frozen=True, slots=True)
class KnownBlob:
    """The blob that a layer was stored as, and the repository in which it was last seen."""

    digest: Digest
    size: int
    repository: str


class BlobInfoCache(Protocol):
    """A cache by registry (host[:port]), DiffID and compression.

    Never fails: unreadable or unwritable entries are dropped.
    """

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]: ...

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None: ...


class NoBlobInfoCache:
    """A cache that knows nothing."""

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]:
        return {}

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        return None


class PlanBlobCache:
    """The cache as one push uses it: read once, written in batches.

    The key of a blob that is stored unchanged is its own digest and no compression.
    """

    def __init__(self, cache: BlobInfoCache, compression: Compression, registry: str) -> None:
        self._cache, self._compression, self._registry = cache, compression, registry
        self._known: dict[Key, KnownBlob] = {}
        self._unsaved: dict[Key, KnownBlob] = {}
        self._bytes = 0

    @classmethod
    def of_plan(cls, cache: BlobInfoCache, plan: PushPlan) -> PlanBlobCache:
        registry = next((destination.registry for image in plan.images for destination in image.destinations), "")
        return cls(cache, plan.layer_compression, registry)

    async def ask(self, steps: Iterable[BlobStep]) -> None:
        """Look up the blobs of the steps."""
        wanted = [key for step in steps if (key := self._key(step)) is not None]
        for compression, digests in _by_compression(wanted).items():
            found = await self._cache.lookup(self._registry, compression, digests)
            self._known |= {(compression, digest): blob for digest, blob in found.items()}

    def of(self, step: BlobStep) -> KnownBlob | None:
        key = self._key(step)
        found = None if key is None else self._known.get(key)
        is_another = step.layer is None and found is not None and found.digest != step.key
        return None if is_another else found

    def proves(self, step: BlobStep, digest: Digest) -> bool:
        """Return whether a layer of a docker archive is known to have become the blob `digest`."""
        known = self.of(step)
        return digest == (step.key if known is None else known.digest)

    async def of_blob(self, step: BlobStep, digest: Digest) -> KnownBlob | None:
        """Look up a layer that is stored unchanged: its digest is known only after its bytes have been read."""
        if self._key(step) is not None:
            return None
        key = (Compression.NONE, digest)
        if key not in self._known:
            found = await self._cache.lookup(self._registry, Compression.NONE, (digest,))
            self._known |= {(Compression.NONE, found_digest): known for found_digest, known in found.items()}
        return self._known.get(key)

    async def learn(self, step: BlobStep, blob: tuple[Digest, int], repository: str) -> None:
        """Record that the content of the step is stored in `repository` as `blob`."""
        key, found = self._key(step) or (Compression.NONE, blob[0]), KnownBlob(*blob, repository)
        if self._known.get(key) == found:
            return
        self._known[key] = self._unsaved[key] = found
        self._bytes += step.extent.size
        if self._bytes >= FLUSH_BYTES or len(self._unsaved) >= FLUSH_COUNT:
            await self.flush()

    async def flush(self) -> None:
        unsaved, self._unsaved, self._bytes = self._unsaved, {}, 0
        for compression, digests in _by_compression(unsaved).items():
            found = {digest: unsaved[compression, digest] for digest in digests}
            await self._cache.record(self._registry, compression, found)

    def _key(self, step: BlobStep) -> Key | None:
        """Return the key, or None if the blob of the layer is unknown before its bytes have been read."""
        if step.layer is None:
            return Compression.NONE, step.key
        return (self._compression, step.key) if needs_compression(step.layer, self._compression) else None


def _by_compression(keys: Iterable[Key]) -> Mapping[Compression, list[Digest]]:
    found: dict[Compression, list[Digest]] = {}
    for compression, digest in keys:
        found.setdefault(compression, []).append(digest)
    return found
