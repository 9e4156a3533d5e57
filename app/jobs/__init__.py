"""A push that is stored, queued, watched, cancelled and tried again: the face of the package.

job        Job, JobState, TRANSITIONS; pure        request   what is asked for
service    the user's verbs                        upload, replay, paths   the ways in
runner     runs one job                            opening, archives   from files to a plan
ledger     the present state of every job          store, queue   ports and their adapters
lifetime   start, recovery, housekeeping, stop     workshop, registries   what jobs are done with
"""

from app.jobs.job import TRANSITIONS, ArchiveSource, Clock, Job, JobArchive, JobImage, JobState, ProblemView, utc_now
from app.jobs.ledger import Ledger
from app.jobs.lifetime import at_work
from app.jobs.paths import AllowedRoots
from app.jobs.registries import ConfiguredRegistry
from app.jobs.request import JobRequest
from app.jobs.service import JobService
from app.jobs.upload import Upload
from app.jobs.workshop import Workshop

__all__ = [
    "TRANSITIONS",
    "AllowedRoots",
    "ArchiveSource",
    "Clock",
    "ConfiguredRegistry",
    "Job",
    "JobArchive",
    "JobImage",
    "JobRequest",
    "JobService",
    "JobState",
    "Ledger",
    "ProblemView",
    "Upload",
    "Workshop",
    "at_work",
    "utc_now",
]
