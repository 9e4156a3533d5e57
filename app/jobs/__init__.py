"""A push that is stored, queued, watched, cancelled and retried: the public names of the package.

audit            entries of the audit trail
audit_retention  deletes old entries, if the operator set a limit
authorization    AuthorizedJobs: the service for one caller
bounds           limits of stored and shown text and lists
heartbeat        ReplicaHeartbeat port
image_outcomes   events and problems -> images of a job; pure
image_page       a page of the images of a job
leases           TagLeases port: one writer per tag
deliveries       jobs that came together, and their report
lifecycle        start-up recovery, retention, shutdown
model            Job, JobState, TRANSITIONS; pure
outage           pause, resume and requeue rules
preparation      files of a job -> plan
registries       ConfiguredRegistry
request          JobRequest, fingerprint, idempotency key
runner           run one job
runtime          JobRuntime: the dependencies of the job layer
serialization    Job <-> stored JSON
service          JobService: one method per user action
stored_bytes     bytes that each token stores
listing          filters, search and pages of jobs
queue            JobQueue port and its adapters
resumable        resumable uploads: tus 1.0 and the IETF draft
retention        what expires, and by which age
sources          archives on the server: paths, patterns, split files
store            JobStore port and its adapters
tracking         the current state of jobs, and subscriptions to it
uploads          archives in the body of a request
watch            the watched folder
webhook          a message about each job that ends
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
