"""Responses of a registry, and their conversion to errors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from app.errors import (
    ArchiveError,
    Failure,
    RegistryAuth,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryRejected,
    with_hint,
)
from app.net.response import ERROR_BYTES, Response
from app.net.urls import parse_retry_after, printable
from app.oci import strict_json
from app.registry.auth.challenge import parse_challenges
from app.registry.distribution import hints
from app.registry.distribution.classification import failure_of
from app.registry.distribution.hints import BY_STATUS, is_read_only, speaks_of_csrf, wants_https

_MEDIA_TYPE = re.compile(r"media.?type", re.IGNORECASE)
MAX_NAMED = 1000  # blobs that a registry may report as missing
_RATE_WORDS = re.compile(r"rate.?limit|too many requests|abuse detection|slow down", re.IGNORECASE)
_EXPIRED = re.compile(r"token has expired", re.IGNORECASE)
_CHANGED_TYPE = re.compile(r"chang\w+ (?:manifest )?media.?type", re.IGNORECASE)
_MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_PAGE_BEGINS = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_REGISTRY_FIELDS = ("docker-", "oci-")  # prefixes of header names that only registries send
_MARKUP = re.compile(r"<(?:style|script|head)\b.*?</(?:style|script|head)>|<[^>]{0,1000}>", re.DOTALL | re.IGNORECASE)


def is_page(response: Response) -> bool:
    """Return whether this is a web page.

    Registries written in Python (Quay, Pulp) send everything as text/html, and nginx does so for its own 401; only
    registries send the fields in `_REGISTRY_FIELDS`.
    """
    kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
    is_html = kind in _PAGES or (not kind and _PAGE_BEGINS.match(response.body) is not None)
    leads_on = "/v2/" in (response.header("location") or "")
    return is_html and not leads_on and not any(name.startswith(_REGISTRY_FIELDS) for name in response.headers)


def is_version_check(response: Response) -> bool:
    """Return whether a registry, and not a web server, answered `/v2/` (distribution-spec "Determining Support")."""
    if urlsplit(response.url).path.rstrip("/") != "/v2":  # a redirect to a login page
        return False
    challenged = response.status == 401 and bool(parse_challenges(response.headers.get("www-authenticate", ())))
    return challenged or (response.status in {200, 401} and not is_page(response))


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """The registry's error code ("" if there is none) and message, printable."""

    code: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.message)))


def read_error_detail(body: bytes) -> ErrorDetail:
    """Parse the error list of the distribution-spec, the error object of a token service, or any other text."""
    try:
        document = strict_json(body, what="the error", limit=ERROR_BYTES)
    except ArchiveError:
        return ErrorDetail("", printable(_words_of(body.decode("utf-8", errors="replace"))))
    if isinstance(document, dict):
        errors = document.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else document
        if isinstance(first, dict):
            return _error_detail_of(first)
    return ErrorDetail("", printable(str(document)))


def _words_of(text: str) -> str:
    """Return the visible text of a proxy's page."""
    if "<html" not in text[:1000].lower():
        return text.strip()
    return " ".join(_MARKUP.sub(" ", text).split())


def missing_blobs(body: bytes) -> tuple[str, ...]:
    """Return the digests that a registry reports as unknown when it receives a manifest."""
    found = []
    for code, detail in details_of(body):
        digest = detail.get("digest") if isinstance(detail, dict) else detail
        if code in _MISSING and isinstance(digest, str):
            found.append(digest)
    return tuple(found)


def details_of(body: bytes) -> Iterator[tuple[str, Any]]:
    """Yield code and detail of the errors in an error list of the distribution-spec."""
    try:
        document = strict_json(body, what="the error", limit=ERROR_BYTES)
    except ArchiveError:
        return
    errors = document.get("errors") if isinstance(document, dict) else None
    for error in errors[:MAX_NAMED] if isinstance(errors, list) else ():
        if isinstance(error, dict):
            yield str(error.get("code")), error.get("detail")


def _error_detail_of(members: dict[str, Any]) -> ErrorDetail:
    code = members.get("code") or members.get("error") or ""
    values = (members.get(key) for key in ("message", "error_description", "details", "detail"))
    text = "; ".join(str(word) for word in values if word)
    return ErrorDetail(printable(str(code), 100), printable(text))


@dataclass(frozen=True, slots=True)
class Throttled:
    """The registry asks for fewer requests, and for a pause of so many seconds (None: unknown)."""

    retry_after: float | None


def throttle_from(response: Response, now: datetime) -> Throttled | None:
    """Return the Throttled of a response, or None if it does not ask to slow down.

    GHCR does so with 403 and "secondary rate limit".
    """
    retry_after = parse_retry_after(response.header("retry-after"), now)
    limited = response.status in {429, 503} and not _is_full(response)
    if response.status in {400, 403}:
        error_detail = read_error_detail(response.body)
        limited = error_detail.code == "TOOMANYREQUESTS" or (
            response.status == 403 and (retry_after is not None or _RATE_WORDS.search(str(error_detail)) is not None)
        )
    return Throttled(retry_after) if limited else None


def _is_full(response: Response) -> bool:
    """Return whether a 429 names a limit but no time: zot has reached its number of repositories
    (`storage.maxRepos`).
    """
    is_timeless = response.status == 429 and response.header("retry-after") is None
    return is_timeless and any(
        isinstance(detail, dict) and "limit" in detail for _, detail in details_of(response.body)
    )


def to_registry_error(response: Response, now: datetime) -> RegistryError:
    """Return the error for an unexpected response."""
    error_detail = read_error_detail(response.body)
    parts = urlsplit(response.url)
    # without the query, which may contain session state or a signature
    summary = f"{parts.netloc} answered {response.status} to {response.method} {parts.path}"
    message = with_hint(f"{summary}: {error_detail}" if str(error_detail) else summary, response.remark)
    throttled = throttle_from(response, now)
    if throttled is not None and (response.status != 503 or throttled.retry_after is not None):
        return RegistryRateLimited(message, retry_after=throttled.retry_after)
    failure = failure_of(response.method, response.status, error_detail.code)
    missing = missing_blobs(response.body) if response.method == "PUT" else ()
    if response.status >= 500 and missing:  # distribution 2 responds 500 if a missing layer is one of several errors
        return RegistryRejected(message, failure=failure, missing=missing)
    if response.status >= 500 or failure is Failure.OVERLOADED:
        return RegistryFault(with_hint(message, BY_STATUS.get(response.status, "")), failure=failure)
    hint = hints.CHANGED_TYPE if _CHANGED_TYPE.search(error_detail.message) else BY_STATUS.get(response.status, "")
    return _denial(response, error_detail, message) or RegistryRejected(
        with_hint(message, hint),
        failure=failure,
        media_type_refused=_is_about_media_types(response, error_detail),
        missing=missing if error_detail.code in _MISSING else (),
    )


def _denial(response: Response, error_detail: ErrorDetail, message: str) -> RegistryError | None:
    """Return the error of a response about the account or the time of the request; None for every other response."""
    parts, text = urlsplit(response.url), str(error_detail)
    if speaks_of_csrf(response.status, text):
        return RegistryRejected(with_hint(message, hints.CSRF))
    if is_read_only(response.status, (response.method, f"{parts.path}?{parts.query}"), text):
        return RegistryDenied(with_hint(message, hints.hint_for_now(text)), failure=Failure.REFUSED_NOW)
    if response.status == 401:
        return _unauthorized(response, message)
    if response.status == 404 and (error_detail.code == "NAME_UNKNOWN" or response.method == "POST"):
        return RegistryDenied(with_hint(message, hints.MISSING_REPOSITORY))
    return _forbidden(message, response.status, text)


def has_expired(response: Response) -> bool:
    """Return whether the authorization has expired: ECR responds 403, not 401, to an expired password."""
    return response.status == 403 and _EXPIRED.search(str(read_error_detail(response.body))) is not None


def _forbidden(message: str, status: int, text: str) -> RegistryError | None:
    if status == 403 and _EXPIRED.search(text):
        return RegistryAuth(with_hint(message, hints.EXPIRED))
    if wants_https(status, text):
        return RegistryRejected(with_hint(message, hints.SPEAKS_HTTPS))
    if status not in {403, 429, 451}:
        return None
    return RegistryDenied(with_hint(message, BY_STATUS.get(status, hints.RIGHTS)))


def _unauthorized(response: Response, message: str) -> RegistryError:
    """Return the error of a 401.

    With `insufficient_scope` (RFC 6750 3.1) the credentials are right, but the account lacks a right.
    """
    for challenge in parse_challenges(response.headers.get("www-authenticate", ())):
        if challenge.parameters.get("error") == "insufficient_scope":
            wanted = printable(challenge.parameters.get("scope", ""), 500)
            lacking = f"the right that the registry requires: {wanted}" if wanted else "a right that this request needs"
            message = with_hint(message, f"The credentials are accepted; the account lacks {lacking}")
            parts = urlsplit(response.url)
            return RegistryDenied(with_hint(message, hints.hint_of_name(parts.netloc, parts.path)))
    return RegistryAuth(with_hint(message, hints.CREDENTIALS))


def _is_about_media_types(response: Response, error_detail: ErrorDetail) -> bool:
    """Return whether the registry rejects the media type.

    Without Docker compatibility zot responds 415, and in other versions 400 MANIFEST_INVALID.
    """
    if response.method != "PUT" or "/manifests/" not in urlsplit(response.url).path:
        return False
    is_invalid = response.status == 400 and error_detail.code in {"MANIFEST_INVALID", "UNSUPPORTED"}
    is_named = (
        _MEDIA_TYPE.search(error_detail.message) is not None and _CHANGED_TYPE.search(error_detail.message) is None
    )
    return response.status == 415 or (is_invalid and is_named)
