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

Mark = tuple[Digest | Extent, bool]
"""A digest or extent that identifies a blob, and whether the blob is produced by compression."""


def blob_keys(step: BlobStep, compression: Compression) -> frozenset[Mark]:
    """Return the keys of a blob: its digest or DiffID, and its extent.

    A compressed layer of a docker archive may be known by its DiffID or by its file's digest; its extent is the same in
    both cases.
    """
    is_anew = step.layer is not None and needs_compression(step.layer, compression)
    return frozenset({(step.key, is_anew), (step.extent, is_anew)})


def required_blob_keys(plan: PushPlan, archive: int, repository: str | None) -> frozenset[Mark]:
    """Return the keys of the blobs that the plan needs in `repository` (None: in any).

    Blobs of other archives are identified by digest only.
    """
    found = set[Mark]()
    for step in plan.blobs:
        if repository is None or repository in step.repositories:
            marks = blob_keys(step, plan.layer_compression)
            found |= {mark for mark in marks if step.archive == archive or isinstance(mark[0], Digest)}
    return frozenset(found)


@dataclass(frozen=True, slots=True, eq=False)
class _PendingBlob:
    marks: frozenset[Mark]
    word: CommitSignal
    task: asyncio.Task[None]

    def decide(self, wanted: frozenset[Mark]) -> None:
        if self.marks.isdisjoint(wanted):
            self.task.cancel()
        else:
            self.word.set()


class PendingBlobs:
    """The uncommitted blobs of one archive."""

    def __init__(self) -> None:
        self._begun: set[_PendingBlob] = set()
        self._wanted: frozenset[Mark] | None = None

    def commit_wanted(self, wanted: frozenset[Mark]) -> None:
        """Permit the commit of the blobs in `wanted`, also of those started later. Cancel the tasks of the others."""
        self._wanted = wanted
        for item in self._begun:
            item.decide(wanted)

    @contextmanager
    def word(self, marks: frozenset[Mark]) -> Iterator[CommitSignal]:
        """Yield the commit signal for the blob of the current task."""
        task = asyncio.current_task()
        assert task is not None
        begun = _PendingBlob(marks, CommitSignal(), task)
        self._begun.add(begun)
        if self._wanted is not None:
            begun.decide(self._wanted)
        try:
            yield begun.word
        finally:
            self._begun.discard(begun)
