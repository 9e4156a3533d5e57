"""Requests to resumable uploads, their results and errors. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.auth.model import NOBODY, Submitter
from app.errors import ChecksumMismatch, Conflict, InvalidRequest, TarmacError
from app.jobs.model import Job
from app.jobs.request import JobRequest
from app.jobs.resumable.model import UploadChecksum, UploadState


class OffsetMismatch(Conflict):
    """The bytes do not begin at the end of the stored ones."""

    def __init__(self, expected: int, provided: int) -> None:
        super().__init__(f"wrong offset: {provided}; the upload has {expected} bytes; resume there")
        self.expected, self.provided = expected, provided


class LengthMismatch(InvalidRequest):
    """More bytes than announced, or another length than before."""


class UploadChecksumMismatch(ChecksumMismatch):
    """The bytes of this request do not match its checksum; they were discarded."""


class UploadAlreadyComplete(Conflict):
    """Nothing can be appended to a complete upload."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """`explicit`: the client signals completion itself, regardless of the length.

    `path`: of the file on the client's side, "" if unknown."""

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
    """`size`: of the body, if known. `completes`: the body contains the last byte; None: the length decides."""

    offset: int
    size: int | None = None
    length: int | None = None
    completes: bool | None = None
    proof: UploadChecksum | None = None


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """`job` is its present state; None for a part of a concatenation, or if the job was deleted."""

    state: UploadState
    offset: int
    expires_at: datetime
    job: Job | None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """`fault`: the problem of the archive that was found when the upload was complete."""

    shown: UploadStatus
    fault: TarmacError | None = None
