"""Plans of uploads, kept until their jobs run, so that an upload is opened and planned once.

A plan is made when an upload is complete, and the job usually runs next, on this replica. A job that runs elsewhere,
after a restart, with other options, or after its plan was dropped, is opened and planned again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.jobs.model import Job, JobArchive
from app.push import PushPlan

MAX_KEPT_BYTES = 16 << 20  # of the manifests and entries of all plans; a plan of 10,000 images has about 20 MB
MAX_KEPT_PLANS = 64
_ENTRY_BYTES = 512  # of an image or a blob, in memory
_NAME_BYTES = 1024  # of a name of an image and its destination, besides their text


@dataclass(frozen=True, slots=True)
class PlannedArchives:
    """The plan of a job without its open files. `parts`: see `ArchiveSet`."""

    job_archives: tuple[JobArchive, ...]
    plan: PushPlan
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _KeptPlan:
    job: Job
    planned: PlannedArchives
    size: int


class KeptPlans:
    """The newest plans, as many as fit."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._plans: OrderedDict[str, _KeptPlan] = OrderedDict()
        self._size = 0

    def keep(self, job: Job, planned: PlannedArchives) -> None:
        """Keep the plan of `job`, which has its archives and options; drop the oldest plans if there are too many."""
        size = _size_of(planned)
        self.take(job)
        if size > self._max_bytes:
            return
        self._plans[job.id] = _KeptPlan(job, planned, size)
        self._size += size
        while self._size > self._max_bytes or len(self._plans) > MAX_KEPT_PLANS:
            _, dropped = self._plans.popitem(last=False)
            self._size -= dropped.size

    def take(self, job: Job) -> PlannedArchives | None:
        """Return the plan that was kept for `job`, once; None if there is none for this request."""
        kept = self._plans.pop(job.id, None)
        if kept is None:
            return None
        self._size -= kept.size
        return kept.planned if _request_of(kept.job) == _request_of(job) else None


def _request_of(job: Job) -> tuple[object, ...]:
    files = tuple((archive.name, archive.file) for archive in job.archives)
    return job.registry, job.options, job.submitter, files


def _size_of(planned: PlannedArchives) -> int:
    size = 0
    for archive in planned.plan.archives:
        size += sum(len(manifest.raw) for manifest in archive.manifests.values())
        size += _ENTRY_BYTES * (len(archive.images) + len(archive.blobs) + len(archive.manifests))
    for image in planned.plan.images:
        size += sum(_NAME_BYTES + 4 * len(destination.repository) for destination in image.destinations)
    return size
