"""GitHub's container registry. Its source is closed: scripted is what clients' issues quote of its answers
(ocx-sh/ocx#237, docker/build-push-action#463 and #981, chainguard-images/images#173, virtualcell/vcell#1888,
coreruleset/modsecurity-crs-docker#449, apple/swift-container-plugin#44)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import GUEST, Access, Expected, Fault, Vendor
from tests.support.memory_registry import Manners, Refused, Request

CHUNK = 4 << 20  # bytes that it takes of a request with a Content-Range
SLOW_DOWN = (
    'permission_denied: Error from intermediary with HTTP status code 403 "Forbidden" - with-body: {"message": "You '
    'have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
)


class Ghcr(Vendor):
    """Tokens come from `/token` of the same host; a wrong password is 403 `DENIED` there, and a token says nothing
    about rights: who may not write a package is refused by every request for its blobs, a HEAD too. A chunk has at
    most 4 MiB, else 416. A rate limit is 403 with words about a secondary rate limit, or 429 with the time in its
    words alone. Referrers are not listed."""

    name = "GitHub Container Registry"
    sources = "issues of clients, as of 2026-09"
    style = Manners(auth="bearer", lists_referrers=False)
    service = "ghcr.io"
    retry_after = 0  # no header names a time
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="DENIED: denied"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="permission_denied: write_package"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="not allowed to Create organization package"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.QUOTA: "no quota of storage is documented for pushes",
        Fault.IMMUTABLE: "its container tags can always be moved",
        Fault.READ_ONLY: "it has no such mode",
    }

    def unknown_account(self) -> Refused:
        return Refused(403, "DENIED", "denied")

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        return frozenset({(user, "")})

    def authorize(self, request: Request, access: Access | None) -> None:
        grants = self.granted.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if grants is None:
            raise Refused(401, "UNAUTHORIZED", "authentication required")
        if access is None:
            return
        if not self.is_home(access.name):
            if access.action == "push":
                raise Refused(403, "DENIED", "installation not allowed to Create organization package")
        elif (GUEST, "") in grants and (access.action == "push" or access.kind == "blobs"):
            raise Refused(403, "DENIED", "permission_denied: write_package")

    def limit(self, access: Access | None) -> Refused:
        if self.limited:
            return Refused(403, "DENIED", SLOW_DOWN)
        return Refused(429, "TOOMANYREQUESTS", "retry-after: 12.5ms, allowed: 2000/minute")

    def _check_way(self, request: Request, held: bytearray) -> None:
        if "content-range" in request.headers and int(request.headers["content-length"]) > CHUNK:
            words = "the request body is too large and exceeds the maximum permissible limit of 4.00MiB"
            raise Refused(416, "REQUESTED_RANGE_NOT_SATISFIABLE", words)
        super()._check_way(request, held)
