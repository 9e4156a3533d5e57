"""A push that is stored, queued, watched, cancelled and tried again: the face of the package.

job        Job, JobState, TRANSITIONS; pure        request   what is asked for
service    the user's verbs                        upload, replay, paths   the ways in
runner     runs one job                            opening, archives   from files to a plan
ledger     the present state of every job          store, queue   ports and their adapters
lifetime   start, recovery, housekeeping, stop     workshop, registries   what jobs are done with
"""

from app.jobs.lifecycle import run_job_service
from app.jobs.model import (
    TRANSITIONS,
    ArchiveSource,
    Clock,
    Job,
    JobArchive,
    JobImage,
    JobState,
    ProblemRenderer,
    utc_now,
)
from app.jobs.registries import ConfiguredRegistry
from app.jobs.request import JobRequest
from app.jobs.runtime import JobRuntime
from app.jobs.service import JobService
from app.jobs.sources.paths import AllowedRoots
from app.jobs.tracking.tracker import JobTracker
from app.jobs.uploads.streamed_upload import ArchiveUpload

__all__ = [
    "TRANSITIONS",
    "AllowedRoots",
    "ArchiveSource",
    "ArchiveUpload",
    "Clock",
    "ConfiguredRegistry",
    "Job",
    "JobArchive",
    "JobImage",
    "JobRequest",
    "JobRuntime",
    "JobService",
    "JobState",
    "JobTracker",
    "ProblemRenderer",
    "run_job_service",
    "utc_now",
]
