"""What a running push tells, as values with absolute positions: a retry cannot count twice."""

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
    """`position` bytes of the blob's source have been read and `sent` bytes given to the registry in this attempt.
    `position` stays 0 where the same content has been counted at another repository already."""

    repository: str
    key: Digest
    position: int
    sent: int


@dataclass(frozen=True, slots=True)
class BlobDone:
    """The blob is at `repository`. `size` bytes of its source count as done by this (0 where the same content has been
    counted at another repository already); `sent` bytes were given to the registry for it."""

    repository: str
    key: Digest
    outcome: Outcome
    size: int = 0
    sent: int = 0


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
class Noticed:
    """Something the user should know that is no failure."""

    text: str


Event = BlobSent | BlobDone | ImageChanged | Noticed
