"""What was learnt of blobs: which repository of a registry they came to last, and of layers that are compressed before
they are stored, which blob a DiffID became.

A digest cannot be known without compressing, so this is what spares a second push the reading; and a blob that is in
another repository can be mounted. It is believed in one thing only, that the blob holds that layer; whether a registry
has it is asked of the registry each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.archive.model import Compression
from app.oci import Digest
from app.push.plan.values import BlobStep, PushPlan
from app.push.run.blob_content import needs_compression

FLUSH_BYTES = 64 << 20  # of layers compressed: what a crash may lose of the knowledge, half a second's work
FLUSH_COUNT = 100
Key = tuple[Compression, Digest]


@dataclass(frozen=True, slots=True)
class KnownBlob:
    """The blob that a layer was stored as, and the repository that it came to last."""

    digest: Digest
    size: int
    repository: str


class BlobInfoCache(Protocol):
    """By registry (host[:port]), DiffID and compression. Never fails: what cannot be read or kept is forgotten."""

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]: ...

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None: ...


class NoBlobInfoCache:
    """Every layer is new."""

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]:
        return {}

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        return None


class PlanBlobCache:
    """The memory as one push uses it: asked once, told in batches. A blob that is stored as it is has its own digest
    for a DiffID, and no compression."""

    def __init__(self, memory: BlobInfoCache, compression: Compression, registry: str) -> None:
        self._memory, self._compression, self._registry = memory, compression, registry
        self._known: dict[Key, KnownBlob] = {}
        self._news: dict[Key, KnownBlob] = {}
        self._bytes = 0

    @classmethod
    def of_plan(cls, memory: BlobInfoCache, plan: PushPlan) -> PlanBlobCache:
        registry = next((place.registry for image in plan.images for place in image.destinations), "")
        return cls(memory, plan.layer_compression, registry)

    async def ask(self, steps: Iterable[BlobStep]) -> None:
        """For what is known of them."""
        wanted = [key for step in steps if (key := self._key(step)) is not None]
        for compression, digests in _by_compression(wanted).items():
            found = await self._memory.lookup(self._registry, compression, digests)
            self._known |= {(compression, digest): each for digest, each in found.items()}

    def of(self, step: BlobStep) -> KnownBlob | None:
        key = self._key(step)
        found = None if key is None else self._known.get(key)
        is_another = step.layer is None and found is not None and found.digest != step.key
        return None if is_another else found

    async def of_blob(self, step: BlobStep, digest: Digest) -> KnownBlob | None:
        """Ask about a layer that is stored as it is: its digest is known only after its bytes have been read."""
        if self._key(step) is not None:
            return None
        key = (Compression.NONE, digest)
        if key not in self._known:
            found = await self._memory.lookup(self._registry, Compression.NONE, (digest,))
            self._known |= {(Compression.NONE, found_digest): known for found_digest, known in found.items()}
        return self._known.get(key)

    async def learn(self, step: BlobStep, blob: tuple[Digest, int], repository: str) -> None:
        """The content of the step has come to `repository` as `blob`."""
        key, found = self._key(step) or (Compression.NONE, blob[0]), KnownBlob(*blob, repository)
        if self._known.get(key) == found:
            return
        self._known[key] = self._news[key] = found
        self._bytes += step.extent.size
        if self._bytes >= FLUSH_BYTES or len(self._news) >= FLUSH_COUNT:
            await self.flush()

    async def flush(self) -> None:
        news, self._news, self._bytes = self._news, {}, 0
        for compression, digests in _by_compression(news).items():
            found = {digest: news[compression, digest] for digest in digests}
            await self._memory.record(self._registry, compression, found)

    def _key(self, step: BlobStep) -> Key | None:
        """None if the blob of the layer is not known before its bytes have been read."""
        if step.layer is None:
            return Compression.NONE, step.key
        return (self._compression, step.key) if needs_compression(step.layer, self._compression) else None


def _by_compression(keys: Iterable[Key]) -> Mapping[Compression, list[Digest]]:
    found: dict[Compression, list[Digest]] = {}
    for compression, digest in keys:
        found.setdefault(compression, []).append(digest)
    return found
