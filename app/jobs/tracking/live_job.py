"""A job that this process receives or runs, and the part of its state that may be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.jobs.model import Job


@dataclass(slots=True)
class LiveJob:
    """`job` is the newest state, `stored` the state that was stored last."""

    job: Job
    stored: Job

    def shown(self) -> Job:
        """Return the newest state with the stored percent, revision and time of update.

        After a crash the next process knows only the stored percent, which must not be lower than one shown before."""
        progress = replace(self.job.progress, percent=self.stored.progress.percent)
        return replace(self.job, progress=progress, revision=self.stored.revision, updated_at=self.stored.updated_at)
