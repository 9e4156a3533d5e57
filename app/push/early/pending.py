"""Blobs that were sent before their archive was parsed, and the decision whether each is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.archive import Compression
from app.archive.model import Extent
from app.oci import Digest
from app.push.plan.values import BlobStep, PushPlan
from app.push.run.blob_content import needs_compression
from app.push.run.slots import CommitSignal

BlobKey = tuple[Digest | Extent, bool]
"""A digest or extent that identifies a blob, and whether the blob is produced by compression."""


def blob_keys(step: BlobStep, compression: Compression) -> frozenset[BlobKey]:
    """Return the keys of a blob: its digest or DiffID, and its extent.

    A compressed layer of a docker archive may be known by its DiffID or by its file's digest; its extent is the same in
    both cases.
    """
    is_compressed = step.layer is not None and needs_compression(step.layer, compression)
    return frozenset({(step.key, is_compressed), (step.extent, is_compressed)})


def required_blob_keys(plan: PushPlan, archive: int, repository: str | None) -> frozenset[BlobKey]:
    """Return the keys of the blobs that the plan needs in `repository` (None: in any).

    Blobs of other archives are identified by digest only.
    """
    found = set[BlobKey]()
    for step in plan.blobs:
        if repository is None or repository in step.repositories:
            keys = blob_keys(step, plan.layer_compression)
            found |= {key for key in keys if step.archive == archive or isinstance(key[0], Digest)}
    return frozenset(found)


@dataclass(frozen=True, slots=True, eq=False)
class _PendingBlob:
    keys: frozenset[BlobKey]
    commit_signal: CommitSignal
    task: asyncio.Task[None]

    def decide(self, required: frozenset[BlobKey]) -> None:
        if self.keys.isdisjoint(required):
            self.task.cancel()
        else:
            self.commit_signal.set()


class PendingBlobs:
    """The uncommitted blobs of one archive."""

    def __init__(self) -> None:
        self._started: set[_PendingBlob] = set()
        self._required: frozenset[BlobKey] | None = None

    def commit_wanted(self, required: frozenset[BlobKey]) -> None:
        """Permit the commit of the blobs in `required`, also of those started later. Cancel the tasks of the others."""
        self._required = required
        for item in self._started:
            item.decide(required)

    @contextmanager
    def commit_signal(self, keys: frozenset[BlobKey]) -> Iterator[CommitSignal]:
        """Yield the commit signal for the blob of the current task."""
        task = asyncio.current_task()
        assert task is not None
        blob = _PendingBlob(keys, CommitSignal(), task)
        self._started.add(blob)
        if self._required is not None:
            blob.decide(self._required)
        try:
            yield blob.commit_signal
        finally:
            self._started.discard(blob)
