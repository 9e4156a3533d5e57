"""What a registry answered, and which error that is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from app.errors import (
    ArchiveError,
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryRejected,
)
from app.oci import strict_json
from app.registry.wire import parse_retry_after, printable

ERROR_BYTES = 64 << 10  # of an error body are read; the rest is not looked at
_MEDIA_TYPE = re.compile(r"media.?type", re.IGNORECASE)
MAX_NAMED = 1000  # blobs a registry may name as missing
_RATE_WORDS = re.compile(r"rate.?limit|too many requests|abuse detection|slow down", re.IGNORECASE)
_CSRF = re.compile(r"csrf|xsrf|cross.?site.request", re.IGNORECASE)
_EXPIRED = re.compile(r"token has expired", re.IGNORECASE)
_CHANGED_TYPE = re.compile(r"chang\w+ (?:manifest )?media.?type", re.IGNORECASE)
_MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_MARKUP = re.compile(r"<(?:style|script|head)\b.*?</(?:style|script|head)>|<[^>]{0,1000}>", re.DOTALL | re.IGNORECASE)
_RETRYABLE = frozenset({408, 425, 499})  # besides 5xx: time-outs that a proxy or the registry reports as 4xx


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (names in lower case, every value kept), the body as far as it was read, and the URL that
    answered, after redirects."""

    method: str
    url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        values = self.headers.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Complaint:
    """A registry's own code ("" where it gave none) and words, fit to be shown."""

    code: str
    words: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.words)))


def read_complaint(body: bytes) -> Complaint:
    """From distribution-spec's error list, the error objects of token services, or whatever else came."""
    try:
        document = strict_json(body, what="the error", limit=ERROR_BYTES)
    except ArchiveError:
        return Complaint("", printable(_words_of(body.decode("utf-8", errors="replace"))))
    if isinstance(document, dict):
        errors = document.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else document
        if isinstance(first, dict):
            return _complaint_of(first)
    return Complaint("", printable(str(document)))


def _words_of(text: str) -> str:
    """Of a proxy's page what a person would read."""
    if "<html" not in text[:1000].lower():
        return text.strip()
    return " ".join(_MARKUP.sub(" ", text).split())


def missing_blobs(body: bytes) -> tuple[str, ...]:
    """The digests that a registry names as unknown to it when it is given a manifest."""
    try:
        document = strict_json(body, what="the error", limit=ERROR_BYTES)
    except ArchiveError:
        return ()
    errors = document.get("errors") if isinstance(document, dict) else None
    found = []
    for each in errors[:MAX_NAMED] if isinstance(errors, list) else ():
        detail = each.get("detail") if isinstance(each, dict) and each.get("code") in _MISSING else None
        digest = detail.get("digest") if isinstance(detail, dict) else detail
        if isinstance(digest, str):
            found.append(digest)
    return tuple(found)


def _complaint_of(members: dict[str, Any]) -> Complaint:
    code = members.get("code") or members.get("error") or ""
    words = (members.get(key) for key in ("message", "error_description", "details", "detail"))
    text = "; ".join(str(word) for word in words if word)
    return Complaint(printable(str(code), 100), printable(text))


@dataclass(frozen=True, slots=True)
class Brake:
    """The registry wants fewer requests, and for how many seconds none at all (None: it does not say)."""

    retry_after: float | None


def brake_of(reply: Reply, now: datetime) -> Brake | None:
    """None where the answer does not ask to slow down. GHCR says so with 403 and "secondary rate limit"."""
    retry_after = parse_retry_after(reply.header("retry-after"), now)
    limited = reply.status in {429, 503}
    if reply.status in {400, 403}:
        complaint = read_complaint(reply.body)
        limited = complaint.code == "TOOMANYREQUESTS" or (
            reply.status == 403 and (retry_after is not None or _RATE_WORDS.search(str(complaint)) is not None)
        )
    return Brake(retry_after) if limited else None


def error_of(reply: Reply, now: datetime) -> RegistryError:
    """The error that an answer is which nobody expected."""
    complaint = read_complaint(reply.body)
    parts = urlsplit(reply.url)
    # without the query: it may hold the state of a session or a signature
    told = f"{parts.netloc} answered {reply.status} to {reply.method} {parts.path}"
    message = f"{told}: {complaint}" if str(complaint) else told
    brake = brake_of(reply, now)
    if brake is not None and (reply.status != 503 or brake.retry_after is not None):
        return RegistryRateLimited(message, retry_after=brake.retry_after)
    if reply.status >= 500 or reply.status in _RETRYABLE:
        return RegistryFault(message)
    return _refusal(reply, complaint, message)


def _refusal(reply: Reply, complaint: Complaint, message: str) -> RegistryError:
    denial = _denial(reply, complaint, message)
    if denial is not None:
        return denial
    if complaint.code in _MISSING and reply.method == "PUT":
        return RegistryRejected(message, missing=missing_blobs(reply.body))
    if reply.status == 413:
        return RegistryRejected(f"{message}. The registry, or a proxy before it, limits the size of a request")
    if _CHANGED_TYPE.search(complaint.words):  # zot before 2026
        message = (
            f"{message}. The tag has a manifest of another media type; delete it at the registry, or pass another tag"
        )
    return RegistryRejected(message, media_type_refused=_is_about_media_types(reply, complaint))


def _denial(reply: Reply, complaint: Complaint, message: str) -> RegistryError | None:
    """Return the error of a response that is about who asks; None for every other response."""
    if reply.status in {400, 401, 403, 419} and _CSRF.search(str(complaint)):
        return RegistryRejected(
            f"{message}. The request was taken for one of a browser; Tarmac sends no cookies, so look for what adds a "
            "session cookie: a proxy before the registry, or a login page"
        )
    if reply.status == 401:
        return RegistryAuth(f"{message}. Check the user name and password configured for this registry")
    if reply.status == 403 and _EXPIRED.search(str(complaint)):  # ECR answers 403 to a password of yesterday
        return RegistryAuth(f"{message}. Renew the password configured for this registry")
    if reply.status == 403:
        return RegistryDenied(f"{message}. The configured account may not do this; check its rights, quota and project")
    if reply.status == 404 and (complaint.code == "NAME_UNKNOWN" or reply.method == "POST"):
        return RegistryDenied(f"{message}. The repository or project may have to be created at the registry first")
    return None


def _is_about_media_types(reply: Reply, complaint: Complaint) -> bool:
    """zot without its Docker compatibility answers 415, and 400 MANIFEST_INVALID in other versions."""
    if reply.method != "PUT" or "/manifests/" not in urlsplit(reply.url).path:
        return False
    is_invalid = reply.status == 400 and complaint.code in {"MANIFEST_INVALID", "UNSUPPORTED"}
    is_named = _MEDIA_TYPE.search(complaint.words) is not None and _CHANGED_TYPE.search(complaint.words) is None
    return reply.status == 415 or (is_invalid and is_named)
