"""Uploads that go on after an interruption: the face of the package. The protocols that speak of them are the API's.

state      what is known of an upload, as its file has it; pure
words      what is asked and answered, what can be wrong; pure
turns      who may write now: one request at a time, the newest goes first
upload     every upload that is known, its state and its turns
tally      hashing and indexing while the bytes arrive
uploads    ResumableUploads: a method per thing that a client may do
settling   from the last byte to the job
sweeping   what is over, or too old, goes
"""

from app.jobs.resumable.append import HASHES
from app.jobs.resumable.lock import UploadLocked
from app.jobs.resumable.model import EMPTY_LIFETIME, LIFETIME, UploadChecksum, UploadState
from app.jobs.resumable.requests import (
    AppendRequest,
    AppendResult,
    LengthMismatch,
    NewUpload,
    OffsetMismatch,
    UploadAlreadyComplete,
    UploadChecksumMismatch,
    UploadStatus,
)
from app.jobs.resumable.service import ResumableUploads, resumable_uploads
from app.jobs.resumable.table import UploadTable

__all__ = [
    "EMPTY_LIFETIME",
    "HASHES",
    "LIFETIME",
    "AppendRequest",
    "AppendResult",
    "LengthMismatch",
    "NewUpload",
    "OffsetMismatch",
    "ResumableUploads",
    "UploadAlreadyComplete",
    "UploadChecksum",
    "UploadChecksumMismatch",
    "UploadLocked",
    "UploadState",
    "UploadStatus",
    "UploadTable",
    "resumable_uploads",
]
