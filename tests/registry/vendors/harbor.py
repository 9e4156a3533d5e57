"""Harbor, from its source: src/server/middleware (csrf, session, v2auth, readonly, immutable, quota, repoproxy),
src/core/service/token, src/server/registry, src/lib/http/error.go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Manners, Refused, Request


class Harbor(Vendor):
    """Every answer sets `sid`; a request that changes something and brings it back needs a CSRF token. A request with
    an Authorization that is not enough gets a Basic challenge, one to a missing project a 401 without a challenge.
    Tokens hold every right that the account has, not only those that were asked for. Ending an upload session needs
    the right to delete."""

    name = "Harbor"
    sources = "goharbor/harbor c50c7dd (2026-08-21)"
    style = Manners(auth="bearer", absolute_locations=True)
    token_path = "/service/token"
    service = "harbor-registry"
    cookies = ("sid=5a1e; Path=/; HttpOnly",)
    ends_sessions = False
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="unauthorized to access repository"),
        Fault.QUOTA: Expected("registry_denied", words="will exceed the configured upper limit"),
        Fault.IMMUTABLE: Expected("registry_rejected", words="configured as immutable"),
        Fault.READ_ONLY: Expected("registry_denied", retryable=True, words="read only mode"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="project nowhere not found"),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.RATE_LIMIT: "Harbor itself limits no rate of pushes; a proxy before it may"
    }

    def check_cookie(self, request: Request) -> None:
        if "sid=" in request.headers.get("cookie", "") and request.method not in {"GET", "HEAD"}:
            raise Refused(403, "FORBIDDEN", "CSRF token not found in request")

    def authorize(self, request: Request, access: Access | None) -> None:
        if self.read_only and request.method not in {"GET", "HEAD"}:  # comes before all that knows accounts
            raise Refused(403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
        given = request.headers.get("authorization", "")
        if access is None:
            if given.removeprefix("Bearer ") not in self.granted and self._user_of(given) is None:
                raise self._unauthorized(access, given, "unauthorized")
            return
        if not given and request.method in {"GET", "HEAD"}:
            raise self._unauthorized(access, given, "authorize header needed to send HEAD to repository")
        wanted = [(access.name, self._action_of(access))]
        if request.method == "POST" and "from" in request.query:
            wanted.append((request.query["from"], "pull"))
        for name, action in wanted:
            if not self.is_home(name):
                header = {"www-authenticate": ""}
                raise Refusal(401, "UNAUTHORIZED", f"project {name.partition('/')[0]} not found", headers=header)
            if (name, action) not in self._rights_of(given, name):
                words = f"unauthorized to access repository: {name}, action: {action}"
                raise self._unauthorized(access, given, words)

    def _action_of(self, access: Access) -> str:
        return "delete" if access.request.method == "DELETE" else access.action

    def _rights_of(self, given: str, name: str) -> frozenset[tuple[str, str]]:
        user = self._user_of(given) if given.startswith("Basic ") else None
        if user is not None:
            return frozenset((name, action) for action in self.rights(user, name))
        return self.granted.get(given.removeprefix("Bearer "), frozenset())

    def _unauthorized(self, access: Access | None, given: str, words: str) -> Refused:
        challenge = 'Basic realm="harbor"' if given else self.challenge(access)
        return Refusal(401, "UNAUTHORIZED", words, headers={"www-authenticate": challenge})

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        names = {scope.split(":")[1] for scope in scopes}
        return frozenset((name, action) for name in names for action in self.rights(user, name))

    def stranger(self, members: Mapping[str, list[str]]) -> str:
        """A wrong password counts as none; nobody gets a token, without any right, if a scope is asked for."""
        if "scope" not in members:
            raise Refusal(401, body=b"", content_type="text/plain")
        return ""

    def check_quota(self, access: Access, size: int) -> None:
        if self.quota is not None and self.stored(access.name) + size > self.quota:
            words = (
                f"adding {size} B of storage resource, which will exceed the configured upper limit of {self.quota} B."
            )
            raise Refused(403, "DENIED", words)

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            words = f"Failed to process request due to '{access.name}:{access.rest}' configured as immutable."
            raise Refused(412, "PRECONDITION", words)
