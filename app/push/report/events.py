"""The events of a running push, as values. Positions are absolute, so that a retry does not count twice."""

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
    """A blob is being sent.

    `position`: bytes of its source read in this attempt; 0 if the same content has already been counted at another
    repository. `sent`: payload bytes that the registry read since the last event, including resent ones. A negative
    value corrects an earlier report.
    """

    repository: str
    key: Digest
    position: int
    sent: int


@dataclass(frozen=True, slots=True)
class BlobDone:
    """The blob is at `repository`.

    `size`: bytes of its source that count as done by this event (0 if the same content has already been counted at
    another repository).
    """

    repository: str
    key: Digest
    outcome: Outcome
    size: int = 0


@dataclass(frozen=True, slots=True)
class SentEarly:
    """The early push made progress: the registry read `size` more bytes, and `blobs` more blobs were committed.

    The run finds these blobs present.
    """

    size: int = 0
    blobs: int = 0


@dataclass(frozen=True, slots=True)
class ImageChanged:
    """Image number `image` of the plan entered `state`.

    `digest` and `media_type` are those of its root manifest, once known; `problem` is set if it failed.
    """

    image: int
    state: ImageState
    digest: Digest | None = None
    media_type: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class NoticeAdded:
    """A notice for the user that is not a failure."""

    text: str


Event = BlobSent | BlobDone | SentEarly | ImageChanged | NoticeAdded
