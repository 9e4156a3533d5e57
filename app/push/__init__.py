"""Archives + options + destination -> PushPlan -> Events -> Progress. No HTTP, no files.

decoder_memory  memory limit of all decompression in the process
options         PushOptions, Destination
blob_cache      which blob an uncompressed layer became
early           push of blobs while their archive is received
plan            archives + options -> plan
report          events, progress, inspection
run             the execution of a plan
signatures      signature policies
"""

from app.push.options import FORMATS, ON_EXISTING_TAG, Destination, PushOptions
from app.push.plan.planning import NO_IMAGES, make_plan
from app.push.plan.values import BlobStep, ImageTarget, PushPlan
from app.push.report.events import BlobDone, BlobSent, Event, ImageChanged, ImageState, NoticeAdded, Outcome, SentEarly
from app.push.report.progress import (
    Progress,
    ProgressTracker,
    apply_event,
    sent_early,
    start_progress,
    with_rate,
    with_received,
)
from app.push.run.dry_run import dry_run
from app.push.run.execute import execute
from app.push.run.task_pool import PushResources

__all__ = [
    "FORMATS",
    "NO_IMAGES",
    "ON_EXISTING_TAG",
    "BlobDone",
    "BlobSent",
    "BlobStep",
    "Destination",
    "Event",
    "ImageChanged",
    "ImageState",
    "ImageTarget",
    "NoticeAdded",
    "Outcome",
    "Progress",
    "ProgressTracker",
    "PushOptions",
    "PushPlan",
    "PushResources",
    "SentEarly",
    "apply_event",
    "dry_run",
    "execute",
    "make_plan",
    "sent_early",
    "start_progress",
    "with_rate",
    "with_received",
]
