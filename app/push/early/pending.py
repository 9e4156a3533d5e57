"""Which of the blobs that were sent before their archive was understood it turns out to want."""

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
"""What tells a blob, or where it lies in its archive; and whether it comes to be by compressing."""


def blob_keys(step: BlobStep, compression: Compression) -> frozenset[Mark]:
    """A layer that lies compressed in a docker archive goes by its DiffID or by the digest of its file, as it is known
    from one or the other; where it lies is the same."""
    is_anew = step.layer is not None and needs_compression(step.layer, compression)
    return frozenset({(step.key, is_anew), (step.extent, is_anew)})


def required_blob_keys(plan: PushPlan, archive: int, repository: str | None) -> frozenset[Mark]:
    """Of the blobs that the plan has for `repository`, for any where it is None; of those in other archives by their
    digests alone."""
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
    """The blobs of one archive on their way."""

    def __init__(self) -> None:
        self._begun: set[_PendingBlob] = set()
        self._wanted: frozenset[Mark] | None = None

    def commit_wanted(self, wanted: frozenset[Mark]) -> None:
        """Those that are `wanted` are given the word, also those begun later; the tasks of the others are cancelled."""
        self._wanted = wanted
        for item in self._begun:
            item.decide(wanted)

    @contextmanager
    def word(self, marks: frozenset[Mark]) -> Iterator[CommitSignal]:
        """For the blob of this task."""
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
