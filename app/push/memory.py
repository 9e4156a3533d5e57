"""What was learnt of layers that are compressed before they are stored: which blob a DiffID became, and where it went.

A digest cannot be known without compressing, so this is what spares a second push the reading. It is believed in one
thing only, that the blob holds that layer; whether a registry has it is asked of the registry each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.archive.model import Compression
from app.oci import Digest
from app.push.content import is_compressed_anew
from app.push.plan import BlobStep, PushPlan

FLUSH_BYTES = 64 << 20  # of layers compressed: what a crash may lose of the knowledge, half a second's work
FLUSH_COUNT = 100


@dataclass(frozen=True, slots=True)
class Remembered:
    """The blob that a layer was stored as, and the repository that it came to last."""

    digest: Digest
    size: int
    repository: str


class Memory(Protocol):
    """By registry (host[:port]), DiffID and compression. Never fails: what cannot be read or kept is forgotten."""

    async def recall(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, Remembered]: ...

    async def remember(self, registry: str, compression: Compression, found: Mapping[Digest, Remembered]) -> None: ...


class NoMemory:
    """Every layer is new."""

    async def recall(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, Remembered]:
        return {}

    async def remember(self, registry: str, compression: Compression, found: Mapping[Digest, Remembered]) -> None:
        return None


class Recollection:
    """The memory as one push uses it: asked once, told in batches."""

    def __init__(self, memory: Memory, compression: Compression, registry: str) -> None:
        self._memory, self._compression, self._registry = memory, compression, registry
        self._known: dict[Digest, Remembered] = {}
        self._news: dict[Digest, Remembered] = {}
        self._bytes = 0

    @classmethod
    def of_plan(cls, memory: Memory, plan: PushPlan) -> Recollection:
        registry = next((place.registry for image in plan.images for place in image.destinations), "")
        return cls(memory, plan.layer_compression, registry)

    async def ask(self, steps: Iterable[BlobStep]) -> None:
        """For what is known of those that are compressed anew."""
        wanted = [step.key for step in steps if self._is_kept(step)]
        if wanted:
            self._known |= await self._memory.recall(self._registry, self._compression, wanted)

    def of(self, step: BlobStep) -> Remembered | None:
        return self._known.get(step.key) if self._is_kept(step) else None

    async def learn(self, step: BlobStep, blob: tuple[Digest, int], repository: str) -> None:
        """The layer has come to `repository` as `blob`."""
        found = Remembered(*blob, repository)
        if not self._is_kept(step) or self._known.get(step.key) == found:
            return
        self._known[step.key] = self._news[step.key] = found
        self._bytes += step.extent.size
        if self._bytes >= FLUSH_BYTES or len(self._news) >= FLUSH_COUNT:
            await self.flush()

    async def flush(self) -> None:
        news, self._news, self._bytes = self._news, {}, 0
        if news:
            await self._memory.remember(self._registry, self._compression, news)

    def _is_kept(self, step: BlobStep) -> bool:
        return step.layer is not None and is_compressed_anew(step.layer, self._compression)
