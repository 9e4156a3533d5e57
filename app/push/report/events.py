"""What a running push tells, as values. Positions are absolute, so that a retry does not count twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.errors import Problem
from app.oci import Digest


class Outcome(StrEnum):
    EXISTS = "exists"
    MOUNTED = "mounted"
    PUSHED = "pushed"


class ImageState(StrEnum):
    """The states of an image in the job document."""

    PENDING = "pending"
    PUSHING = "pushing"
    PUSHED = "pushed"
    ALREADY_PRESENT = "already_present"
    SKIPPED = "skipped"
    PLANNED = "planned"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class BlobSent:
    """`position` bytes of the blob's source have been read in this attempt; it stays 0 if the same content has been
    counted at another repository already. `sent`: payload bytes that the registry read since the last event, also
    those that it was sent again. Negative: it did not read so many of those reported before."""

    repository: str
    key: Digest
    position: int
    sent: int


@dataclass(frozen=True, slots=True)
class BlobDone:
    """The blob is at `repository`. `size` bytes of its source count as done by this (0 if the same content has been
    counted at another repository already)."""

    repository: str
    key: Digest
    outcome: Outcome
    size: int = 0


@dataclass(frozen=True, slots=True)
class SentEarly:
    """Before the run began, or beside its start, the registry read `size` more bytes of blobs, and `blobs` more blobs
    came to be there. The run finds these present."""

    size: int = 0
    blobs: int = 0


@dataclass(frozen=True, slots=True)
class ImageChanged:
    """Image number `image` of the plan came to `state`. `digest` and `media_type` are those of its root manifest, once
    known; `problem` where it failed."""

    image: int
    state: ImageState
    digest: Digest | None = None
    media_type: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class NoticeAdded:
    """Something the user should know that is no failure."""

    text: str


Event = BlobSent | BlobDone | SentEarly | ImageChanged | NoticeAdded
