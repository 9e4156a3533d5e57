"""What is asked of a resumable upload, what is answered, and what can be wrong with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.auth.model import NOBODY, Submitter
from app.errors import ChecksumMismatch, Conflict, InvalidRequest, TarmacError
from app.jobs.model import Job
from app.jobs.request import JobRequest
from app.jobs.resumable.model import UploadChecksum, UploadState


class OffsetMismatch(Conflict):
    """The bytes do not begin where those that are here end."""

    def __init__(self, expected: int, provided: int) -> None:
        super().__init__(f"the upload goes on at byte {expected}, and the request begins at byte {provided}")
        self.expected, self.provided = expected, provided


class LengthMismatch(InvalidRequest):
    """More bytes than were announced, or another length than before."""


class UploadChecksumMismatch(ChecksumMismatch):
    """The bytes of this request are not those that its checksum is of; they were left out."""


class UploadAlreadyComplete(Conflict):
    """Nothing can be appended to an upload that is complete."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """`explicit`: the client says itself when the upload is complete, whatever the length. `path`: of the file on the
    client's side, "" if it does not say."""

    name: str
    request: JobRequest
    length: int | None = None
    metadata: str = ""
    hold: bool = False
    is_part: bool = False
    explicit: bool = False
    submitter: Submitter = NOBODY
    path: str = ""


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """`size`: of the body, where it is known. `completes`: the last byte is in it; None: as the length says."""

    offset: int
    size: int | None = None
    length: int | None = None
    completes: bool | None = None
    proof: UploadChecksum | None = None


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """`job`: as it is now; None for a part of a concatenation, or where it was deleted."""

    state: UploadState
    offset: int
    expires_at: datetime
    job: Job | None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """`fault`: what was found wrong with the archive when it was complete."""

    shown: UploadStatus
    fault: TarmacError | None = None
