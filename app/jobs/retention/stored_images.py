"""StoreRetention: expires images of the image store, if the operator has set bounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.errors import RegistryError
from app.registry.oci_layout.collection import Scope
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.image_store import ImageStore
from app.registry.oci_layout.reachability import RetentionRule

LOOK_SECONDS = 3600.0  # between two checks
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class StoreRetention:
    """Applies `rule`. `service_age` returns how many seconds the service has run, in all its life.

    An image is as old as its push, and not older than what the service has run since it saw the image first. So a clock
    that is wrong deletes nothing. `file` has what was seen.
    """

    store: ImageStore
    rule: RetentionRule
    file: Path
    service_age: Callable[[], float]
    _seen: dict[str, float] = field(default_factory=dict)

    async def apply(self) -> None:
        """Delete what has expired. Raises RegistryFault."""
        await asyncio.to_thread(self._see)
        await self.store.prune(self.rule, Scope(lambda _: True, is_whole=True), self._age)

    def _age(self, root: IndexRoot) -> float:
        age = self.store.age_of(root)
        return min(age, self.service_age() - self._seen.get(_key(root), self.service_age()))

    def _see(self) -> None:
        index = self.store.registry.index()
        keys = {_key(root) for entries in index.repositories.values() for root in entries.values()}
        if not self._seen:
            with suppress(OSError, ValueError, AttributeError):  # it is written below
                self._seen = {str(key): float(age) for key, age in json.loads(self.file.read_bytes()).items()}
        self._seen = {key: self._seen.get(key, self.service_age()) for key in keys}
        with suppress(OSError):  # and at the next check
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(self._seen))
            os.replace(new, self.file)


def _key(root: IndexRoot) -> str:
    """Name an entry with its repository, its tag and its last push."""
    return hashlib.sha256(root.text.encode()).hexdigest()[:32]


@asynccontextmanager
async def run_store_retention(retention: StoreRetention | None) -> AsyncIterator[None]:
    """Check within this block, now and every LOOK_SECONDS."""
    if retention is None or (retention.rule.older_than is None and retention.rule.keep_tags is None):
        yield
        return
    task = asyncio.create_task(_keep_checking(retention))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _keep_checking(retention: StoreRetention) -> None:
    while True:
        try:
            await retention.apply()
        except RegistryError as error:
            _log.warning("store.prune_failed", reason=str(error))
        await asyncio.sleep(LOOK_SECONDS)
