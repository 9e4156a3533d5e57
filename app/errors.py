"""All errors as one tree. The `code` of a class is part of the public contract.

    TarmacError
    ├── RequestError    the request cannot be carried out as sent
    │   ├── InvalidSettings · InvalidRequest · FormatMismatch · MissingTag · InvalidReference · DestinationConflict
    │   ├── SingleImageRequired · UnknownRegistry · PathNotAllowed · PathNotFound · UploadIncomplete
    │   ├── ChecksumMismatch · TooLarge · QuotaExceeded · RateLimited · Unauthorized · Forbidden · NotFound · Conflict
    │   └── TagExists
    ├── ArchiveError    the received bytes are invalid
    │   ├── UnknownFormat · MalformedArchive · TruncatedArchive · LimitExceeded
    │   └── DigestMismatch · SizeMismatch · SignatureRequired · MissingContent · SourceChanged
    ├── RegistryError   the destination rejected the request, or could not be reached
    │   ├── RegistryUnreachable · RegistryTLS · RegistryAuth · RegistryDenied
    │   └── RegistryRejected · RegistryRateLimited · RegistryFault · RegistryLost
    └── ServiceError    the service failed
        └── SpoolFull · SourceUnreadable · Busy · WaitExpired · Unavailable · Interrupted · Internal

A message states what happened, its place, and the remedy. It never contains a secret or a traceback. HTTP status codes
are not known here (`app.api.problems` maps them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

MAX_DETAIL = 2_048  # characters of a stored message, including quotes of an archive or a registry
MAX_LISTED = 10  # names, digests or other texts that one message lists
MAX_LISTED_CHARACTERS = 400  # of each text


def join_limited(texts: Sequence[str], limit: int = MAX_LISTED) -> str:
    """Return `texts` as a list for a message, whose length must not grow with the input."""
    more = len(texts) - limit
    shown = ", ".join(text[:MAX_LISTED_CHARACTERS] for text in texts[:limit])
    return shown + (f" and {more} more" if more > 0 else "")


def with_hint(message: str, hint: str) -> str:
    """Return `message` with `hint` as its last sentence, if `hint` is not empty."""
    return f"{message.rstrip('. ')}. {hint}" if hint else message


class ErrorOrigin(StrEnum):
    """Who must act: the caller, the author of the archive, the registry's operator, or the operator of the service."""

    REQUEST = "request"
    ARCHIVE = "archive"
    REGISTRY = "registry"
    SERVICE = "service"


class Failure(StrEnum):
    """How a request to a registry failed. `app.registry.distribution.classification` defines the consequences."""

    UNREACHABLE = "unreachable"
    UNANSWERED = "unanswered"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate limited"
    CONTENT_ERROR = "error on content"
    SERVER_ERROR = "error without content"
    ELSEWHERE = "unreachable elsewhere"
    CUT_RESPONSE = "cut response"
    BROKEN_RESPONSE = "broken response"
    LOST = "lost content"
    REFUSED_NOW = "refused for now"
    REFUSED = "refused"


OUTAGES = frozenset({Failure.UNREACHABLE, Failure.OVERLOADED, Failure.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a value, for a job, an image or an HTTP response.

    If `outage` is set, the job waits until the registry is available again."""

    code: str
    title: str
    detail: str
    origin: ErrorOrigin
    retryable: bool = False
    outage: bool = False


class TarmacError(Exception):
    """Root of the tree. Raise a leaf, never this."""

    code: ClassVar[str]
    title: ClassVar[str]
    origin: ClassVar[ErrorOrigin]
    retryable: bool = False
    outage: bool = False

    @property
    def problem(self) -> Problem:
        text = str(self)
        detail = text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 1]}…"
        return Problem(self.code, self.title, detail, self.origin, self.retryable, self.outage)


class RequestError(TarmacError):
    origin = ErrorOrigin.REQUEST


class InvalidSettings(RequestError):
    """One line per key. Shown only to the operator who starts the service."""

    code, title = "invalid_settings", "The settings are not valid"


class InvalidRequest(RequestError):
    code, title = "invalid_request", "The request is not valid"


class FormatMismatch(RequestError):
    code, title = "format_mismatch", "The archive has another format than requested"


class MissingTag(RequestError):
    code, title = "missing_tag", "An image has no name for the push"


class InvalidReference(RequestError):
    code, title = "invalid_reference", "An image name is not valid"


class DestinationConflict(RequestError):
    code, title = "destination_conflict", "Two images have the same destination"


class SingleImageRequired(RequestError):
    code, title = "single_image_required", "The option `tag` needs exactly one image"


class TagExists(RequestError):
    code, title = "tag_exists", "The tag exists at the destination"


class UnknownRegistry(RequestError):
    code, title = "unknown_registry", "No registry of that name is configured"


class PathNotAllowed(RequestError):
    code, title = "path_not_allowed", "The path is not below an allowed root"


class PathNotFound(RequestError):
    code, title = "path_not_found", "No file matches the path"


class UploadIncomplete(RequestError):
    code, title = "upload_incomplete", "The upload ended before its last byte"
    retryable = True


class ChecksumMismatch(RequestError):
    code, title = "checksum_mismatch", "The archive does not match the given checksum"


class TooLarge(RequestError):
    code, title = "too_large", "The upload is larger than allowed"


class QuotaExceeded(RequestError):
    code, title = "quota_exceeded", "The quota of the token is exhausted"
    retryable = True


class RateLimited(RequestError):
    code, title = "rate_limited", "The caller exceeds its rate limit"
    retryable = True

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class Unauthorized(RequestError):
    code, title = "unauthorized", "A valid token is required"


class Forbidden(RequestError):
    code, title = "forbidden", "The token does not allow this"


class NotFound(RequestError):
    code, title = "not_found", "The resource does not exist"


class Conflict(RequestError):
    code, title = "conflict", "The request conflicts with the current state"


class ArchiveError(TarmacError):
    """`content`: quoted text of the archive at the end of the message; removed if the reader may not see it."""

    origin = ErrorOrigin.ARCHIVE

    def __init__(self, message: str, *, content: str = "") -> None:
        super().__init__(message)
        self.content = content

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.content}" if self.content else str(self.args[0])


class UnknownFormat(ArchiveError):
    code, title = "unknown_format", "The format of the archive is not known"


class MalformedArchive(ArchiveError):
    code, title = "malformed_archive", "The archive is malformed"


class TruncatedArchive(ArchiveError):
    code, title = "truncated_archive", "The archive is truncated"


class LimitExceeded(ArchiveError):
    code, title = "limit_exceeded", "The archive exceeds a limit"


class DigestMismatch(ArchiveError):
    code, title = "digest_mismatch", "Content does not match its digest"


class SignatureRequired(ArchiveError):
    code, title = "signature_required", "The image has no required signature"


class SizeMismatch(ArchiveError):
    code, title = "size_mismatch", "Content does not match its size"


class MissingContent(ArchiveError):
    code, title = "missing_content", "The archive lacks content that it refers to"


class SourceChanged(ArchiveError):
    code, title = "source_changed", "The archive changed while it was being read"


class RegistryError(TarmacError):
    """`failure` defaults to that of the class; `retryable` and `outage` follow from it.

    `silence`: seconds without a byte from the server, after which the request was ended."""

    origin = ErrorOrigin.REGISTRY
    failure: Failure = Failure.REFUSED

    def __init__(self, message: str, *, failure: Failure | None = None, silence: float = 0.0) -> None:
        super().__init__(message)
        self.silence = silence
        self.failure = failure or self.failure
        self.retryable = self.failure is not Failure.REFUSED
        self.outage = self.failure in OUTAGES


class RegistryUnreachable(RegistryError):
    code, title = "registry_unreachable", "The registry cannot be reached"
    failure, retryable = Failure.UNREACHABLE, True


class RegistryTLS(RegistryError):
    code, title = "registry_tls", "The registry's certificate is not trusted"


class RegistryAuth(RegistryError):
    code, title = "registry_auth", "The registry does not accept the credentials"


class RegistryDenied(RegistryError):
    code, title = "registry_denied", "The registry denies this"


class RegistryRejected(RegistryError):
    code, title = "registry_rejected", "The registry rejects the content"

    def __init__(
        self,
        message: str,
        *,
        failure: Failure | None = None,
        media_type_refused: bool = False,
        missing: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, failure=failure)
        self.missing = missing  # digests that the registry reports as missing from a manifest
        self.media_type_refused = media_type_refused  # of a manifest: another media type may be accepted


class RegistryRateLimited(RegistryError):
    code, title = "registry_rate_limited", "The registry limits the rate of requests"
    failure, retryable = Failure.RATE_LIMITED, True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds, as the registry requested


class RegistryFault(RegistryError):
    code, title = "registry_error", "The registry failed"
    failure, retryable = Failure.BROKEN_RESPONSE, True


class RegistryLost(RegistryError):
    code, title = "registry_lost", "The registry lost content that it had accepted"
    failure, retryable = Failure.LOST, True

    def __init__(self, message: str, *, blobs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.blobs = blobs  # digests that the registry reports as missing


class ServiceError(TarmacError):
    origin = ErrorOrigin.SERVICE


class SpoolFull(ServiceError):
    code, title = "spool_full", "The spool has no space for the archive"
    retryable = True


class SourceUnreadable(ServiceError):
    code, title = "source_unreadable", "The archive cannot be read at the moment"
    retryable = True


class Busy(ServiceError):
    code, title = "busy", "The service is busy"
    retryable = True


class WaitExpired(ServiceError):
    code, title = "wait_expired", "The job has not ended within the time of the request"
    retryable = True


class Unavailable(ServiceError):
    code, title = "unavailable", "The service cannot do this at the moment"
    retryable = True


class Interrupted(ServiceError):
    code, title = "interrupted", "The service stopped while the job ran"
    retryable = True


class Internal(ServiceError):
    code, title = "internal", "The service failed internally"
