"""Classification of failed requests: how long a request is repeated, and whether the job waits for the registry. Pure.

An *outage* ends without action: the job is requeued and waits. A *refusal* ends the image. A server error (5xx) alone
is ambiguous: if the registry answers `/v2/` properly meanwhile, it is healthy and refuses the content. `TABLE` is the
contract. `app/docs/pushing.md` shows it, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from app.errors import Failure
from app.net.response import OVERLOADED

PROBATION_SECONDS = 60.0  # after its first failure; then a request that may be a refusal is not repeated
SERVER_ERRORS = frozenset(range(500, 600))
_BROKEN_INSIDE = frozenset({"CONNECTIONRESET", "REQUESTCANCELED"})  # GitLab's registry, about its storage
_BUSY = frozenset({"RENAME_IN_PROGRESS"})  # GitLab's registry, about the project
CONTENT_METHODS = frozenset({"PUT", "PATCH"})


class Again(StrEnum):
    """How long a request is repeated."""

    NEVER = "no"
    TRIES = "6 attempts, about 15 s"
    MINUTE = "60 s"


class Verdict(StrEnum):
    """Classification of a failure that persists while the request is repeated."""

    OUTAGE = "outage"
    REFUSAL = "refusal"
    DEPENDS = "refusal if `/v2/` answers properly, otherwise outage"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. `responses` describes the failures. `codes` and `retryable` are those of the problem."""

    responses: str
    again: Again
    verdict: Verdict
    codes: tuple[str, ...]
    retryable: bool = True


TABLE: Mapping[Failure, Rule] = MappingProxyType(
    {
        Failure.UNREACHABLE: Rule(
            "no connection, no response in time, a connection that ends before a response to content (PUT, PATCH)",
            Again.TRIES,
            Verdict.OUTAGE,
            ("registry_unreachable",),
        ),
        Failure.UNANSWERED: Rule(
            "a connection that ends before a response to a request without content (POST, HEAD, GET)",
            Again.MINUTE,
            Verdict.DEPENDS,
            ("registry_unreachable",),
        ),
        Failure.OVERLOADED: Rule(
            "`502`, `503`, `504`, `521` to `524`; `408`, `425`, `499` of a proxy; a `400` that says "
            "that the connection broke inside the registry",
            Again.TRIES,
            Verdict.OUTAGE,
            ("registry_error",),
        ),
        Failure.RATE_LIMITED: Rule(
            "`429`; `503` and `403` with `Retry-After`; a `400` or `403` that mentions a rate limit",
            Again.TRIES,
            Verdict.OUTAGE,
            ("registry_rate_limited",),
        ),
        Failure.CONTENT_ERROR: Rule(
            "any other `5xx` to a manifest or to the bytes of a blob (PUT, PATCH)",
            Again.TRIES,
            Verdict.DEPENDS,
            ("registry_error", "registry_rejected"),
        ),
        Failure.SERVER_ERROR: Rule(
            "any other `5xx` to a request without content (POST, HEAD, GET), or of the token service",
            Again.MINUTE,
            Verdict.DEPENDS,
            ("registry_error",),
        ),
        Failure.ELSEWHERE: Rule(
            "a redirect or an upload `Location` leads to another host, which cannot be reached",
            Again.MINUTE,
            Verdict.DEPENDS,
            ("registry_unreachable",),
        ),
        Failure.CUT_RESPONSE: Rule(
            "a response that begins but does not end",
            Again.TRIES,
            Verdict.DEPENDS,
            ("registry_unreachable",),
        ),
        Failure.BROKEN_RESPONSE: Rule(
            "a response that violates the protocol: not HTTP, a web page, a wrong digest, an upload without "
            "`Location`, an unexpected `2xx` or `3xx`, endless redirects, a token service that issues no token",
            Again.TRIES,
            Verdict.REFUSAL,
            ("registry_error", "registry_rejected", "registry_auth"),
        ),
        Failure.LOST: Rule(
            "the registry does not have what it accepted; the content is sent again, once",
            Again.NEVER,
            Verdict.REFUSAL,
            ("registry_lost",),
        ),
        Failure.REFUSED_NOW: Rule(
            "read-only registries (`405`, or a `400` or `403` that says so), a project that is being renamed "
            "(`409`), `421`, `423`, `511`, a redirect or `Location` that is not a URL",
            Again.NEVER,
            Verdict.REFUSAL,
            ("registry_denied", "registry_rejected", "registry_error"),
        ),
        Failure.REFUSED: Rule(
            "any other `4xx`, an untrusted certificate, credentials that are not accepted, addresses that are not "
            "allowed",
            Again.NEVER,
            Verdict.REFUSAL,
            ("registry_rejected", "registry_denied", "registry_auth", "registry_tls"),
            retryable=False,
        ),
    }
)


def failure_of(method: str, status: int, code: str = "") -> Failure:
    """Return the class of a response with an unexpected status. `code` is the registry's error code."""
    if status in OVERLOADED or (status == 400 and code in _BROKEN_INSIDE):
        return Failure.OVERLOADED
    if status in {421, 423, 511} or (status == 409 and code in _BUSY):
        return Failure.REFUSED_NOW
    if status in SERVER_ERRORS:
        return Failure.CONTENT_ERROR if method in CONTENT_METHODS else Failure.SERVER_ERROR
    return Failure.REFUSED if 400 <= status < 500 else Failure.BROKEN_RESPONSE


@dataclass(frozen=True, slots=True)
class Course:
    """History of a request that fails repeatedly; times in seconds.

    `elapsed`: since its first failure, or since the server became silent before that, without the waits that the
    registry asked for. `silence`: of the last attempt.
    """

    tries: int
    elapsed: float
    patience_over: bool  # the policy allows no further attempt
    silence: float = 0.0


def is_over(rule: Rule, course: Course) -> bool:
    """Return whether the request is not repeated any more."""
    if rule.again is Again.NEVER:
        return True
    if rule.verdict is Verdict.OUTAGE:
        return course.patience_over
    is_known = course.tries >= 2 or course.silence >= PROBATION_SECONDS
    is_late = is_known and course.elapsed >= PROBATION_SECONDS
    return is_late or (rule.again is Again.TRIES and course.patience_over)
