"""A job that this process receives or runs, and what of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.jobs.model import Job


@dataclass(slots=True)
class LiveJob:
    """`job` is its newest state, `stored` the one that was stored last."""

    job: Job
    stored: Job

    def shown(self) -> Job:
        """Return the newest state with the stored percent: when this process dies, the next one knows no higher one.
        A revision is of what is stored."""
        progress = replace(self.job.progress, percent=self.stored.progress.percent)
        return replace(self.job, progress=progress, revision=self.stored.revision, updated_at=self.stored.updated_at)
