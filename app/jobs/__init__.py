"""A push that is stored, queued, watched, cancelled and tried again: the face of the package."""

from app.jobs.job import TRANSITIONS, ArchiveSource, Clock, Job, JobArchive, JobImage, JobState, ProblemView, utc_now
from app.jobs.service import JobRequest, JobService, Upload

__all__ = [
    "TRANSITIONS",
    "ArchiveSource",
    "Clock",
    "Job",
    "JobArchive",
    "JobImage",
    "JobRequest",
    "JobService",
    "JobState",
    "ProblemView",
    "Upload",
    "utc_now",
]
