"""Who may write a tag: one job at a time, and of two that want the same, the one accepted later has the last word."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.jobs.job import Job


class TagLeases(Protocol):
    """Shared by everything that pushes. A name is a destination as the document has it, `registry/repository:tag`."""

    def lease(self, job: Job, names: Collection[str]) -> AbstractAsyncContextManager[frozenset[str]]:
        """Waits until no other job has any of `names`, and holds them for as long as the block lasts. Gives those that
        a job accepted later has written already: they are not this job's to write any more."""
        ...

    async def landed(self, job: Job, names: Collection[str]) -> None:
        """`job` has written `names`, or found its image there; called while they are leased. What it outdates is never
        written again, not after a restart either."""
        ...

    async def remember(self, job: Job) -> None:
        """At the start of the service, of a job that ended while an older one still waits: what it landed counts."""
        ...
