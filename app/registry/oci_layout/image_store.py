"""ImageStore: list, delete and prune the images of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from app.errors import NotFound
from app.oci import Digest, parse_repository
from app.registry.oci_layout.catalog import Catalog, CatalogRepository
from app.registry.oci_layout.collection import Collected, Collector, Scope
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import Entries
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.registry import LayoutRegistry
from app.threads import plan_in_thread

_log = structlog.get_logger(__name__)

USAGE_SECONDS = 5.0  # for which a count of all files is cached


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """Usage of the store. `size`: bytes of all blobs, with and without references."""

    size: int
    blobs: int
    repositories: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion in a repository: of a tag, of a manifest by its digest, or of everything if both are None."""

    repository: str
    tag: str | None = None
    digest: Digest | None = None


@dataclass(slots=True)
class ImageStore:
    """The store in the layout of `registry`. `clock`: seconds since 1970."""

    registry: LayoutRegistry
    clock: Callable[[], float] = time.time
    _catalog: Catalog = field(init=False)
    _usage: tuple[float, StoreUsage] | None = None

    def __post_init__(self) -> None:
        self._catalog = Catalog(self.registry)

    async def repositories(self, may_see: Callable[[str], bool], share: str = "") -> tuple[CatalogRepository, ...]:
        """Return the repositories that `may_see` allows, by name. Raises RegistryFault.

        `share`: the name of the token; its requests are answered one after the other."""
        return await plan_in_thread(share, self._catalog.repositories, may_see)

    async def repository(self, name: str, may_see: Callable[[str], bool], share: str = "") -> CatalogRepository:
        """Return one repository. Raises NotFound, InvalidReference."""
        parse_repository(name)
        for found in await self.repositories(may_see, share):
            if found.name == name:
                return found
        raise NotFound(f"repository {name} is not in the image store; GET /store lists the existing ones")

    async def usage(self) -> StoreUsage:
        """Return how much the store takes."""
        now = time.monotonic()
        if self._usage is None or now - self._usage[0] > USAGE_SECONDS:
            self._usage = now, await asyncio.to_thread(self._count)
        return self._usage[1]

    async def size(self) -> int:
        """Return the bytes of all blobs."""
        return (await self.usage()).size

    async def delete(self, deletion: Deletion) -> Collected:
        """Delete it, and what only it led to. Raises NotFound, Conflict, InvalidReference."""
        parse_repository(deletion.repository)
        index = await asyncio.to_thread(self.registry.index)
        self._keys(deletion, index.repositories.get(deletion.repository, {}))
        collector = Collector(self.registry, self.clock)
        found = await asyncio.to_thread(
            collector.delete, deletion.repository, lambda entries: self._keys(deletion, entries)
        )
        self._usage = None
        _log.info(
            "store.deleted",
            repository=deletion.repository,
            tags=found.tags,
            manifests=found.manifests,
            freed_bytes=found.freed_bytes,
        )
        return found

    def age_of(self, root: IndexRoot) -> float:
        """Return the seconds since the last push of an entry. Blocks."""
        return Collector(self.registry, self.clock).age_of(root)

    async def prune(
        self, rule: RetentionRule, scope: Scope, age_of: Callable[[IndexRoot], float] | None = None
    ) -> Collected:
        """Delete what `rule` expires and what nothing refers to. Raises RegistryFault."""
        found = await asyncio.to_thread(Collector(self.registry, self.clock).prune, rule, scope, age_of)
        self._usage = None
        if not scope.dry_run:
            _log.info(
                "store.pruned",
                tags=found.tags,
                manifests=found.manifests,
                blobs=found.blobs,
                freed_bytes=found.freed_bytes,
                in_use_bytes=found.in_use_bytes,
            )
        return found

    def _count(self) -> StoreUsage:
        sizes = [size for _, size in self.registry.files.blobs()]
        return StoreUsage(sum(sizes), len(sizes), len(self.registry.index().repositories))

    def _keys(self, deletion: Deletion, entries: Entries) -> Collection[str]:
        if not entries:
            raise NotFound(f"repository {deletion.repository} is not in the image store")
        if deletion.tag is not None:
            if deletion.tag not in entries or ":" in deletion.tag:
                raise NotFound(f"{deletion.repository} has no tag {deletion.tag:.200}")
            return (deletion.tag,)
        digests = {root.digest for root in entries.values()}
        if deletion.digest is None:
            return (*entries, *map(str, digests))
        if deletion.digest not in digests:
            raise NotFound(f"{deletion.repository} has no manifest {deletion.digest}")
        self.registry.check_deletable(self.registry.index(), deletion.repository, deletion.digest)
        return (str(deletion.digest), *(key for key, root in entries.items() if root.digest == deletion.digest))
