"""Resumable uploads, independent of the protocols of the API: the public names of the package.

append         append the bytes of one request
authorization  AuthorizedUploads
expiry         remove finished and expired uploads
finalize       from the last byte to a queued job
indexer        hash and index while bytes arrive
lock           UploadLock: the newest writer wins
model          UploadState
progress       report the progress of an upload
requests       AppendRequest, UploadStatus, errors
service        ResumableUploads: one method per client action
table          active uploads by id
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
