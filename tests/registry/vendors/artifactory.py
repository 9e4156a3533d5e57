"""Artifactory (JFrog Container Registry) behind the repository path method. Its source is closed; this is what its
documentation and public issues of clients say: containerd 2148 and 6339, earthly 1017, kaniko 1095, ggcr 1691,
rust-oci-client 205, teamcity-artifactory-plugin 177, JFrog's articles on overwriting tags and on referrers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Grants, Refusal, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

FORBIDDEN = {"description": "HTTP 403 Forbidden"}


class Artifactory(Vendor):
    """The realm differs by repository key, and a token is good for its own key; that of the ping has the key `null`. A
    load balancer's cookie comes with every answer. A HEAD of a manifest that is not there is 403 in a virtual
    repository. Without the right to delete nobody ends an upload session or moves a tag: 403, with a code that speaks
    of the manifest. Referrers are listed since 7.90."""

    name = "Artifactory"
    sources = "jfrog.com documentation and public issues of clients (2026-09); closed source"
    style = Manners(auth="bearer", absolute_locations=True)
    service = "artifactory.example"
    cookies = ("AWSELB=7f3a; PATH=/; MAX-AGE=600",)
    ends_sessions = False
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="Wrong username was used"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="unauthorized to upload"),
        Fault.IMMUTABLE: Expected("registry_denied", words="HTTP 403 Forbidden"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="nowhere"),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.QUOTA: "a quota is that of the whole disk; what a push then gets is not documented for this protocol",
        Fault.READ_ONLY: "a repository can be blacked out; what a push then gets is not documented",
        Fault.RATE_LIMIT: "self-hosted ones limit no rate",
    }

    def realm_of(self, key: str) -> str:
        return f"{self.url}/artifactory/api/docker/{key}/v2/token"

    def challenge(self, access: Access | None, *, insufficient: bool = False) -> str:
        key = access.name.partition("/")[0] if access else "null"
        scope = f',scope="{self.scope_of(access)}"' if access else ""
        return f'Bearer realm="{self.realm_of(key)}",service="{self.service}"{scope}'

    async def page(self, request: Request) -> Answer | None:
        if not request.path.endswith("/v2/token"):
            return None
        self._key = request.path.split("/")[4]
        return await self._token(request, "&".join(f"{name}={value}" for name, value in request.query.items()))

    def unknown_account(self) -> Refused:
        return Refused(401, "UNAUTHORIZED", "Wrong username was used")

    def grants(self, user: str, scopes: list[str]) -> Grants:
        return frozenset((name, action) for name, action in super().grants(user, scopes) if name.startswith(self._key))

    def authorize(self, request: Request, access: Access | None) -> None:
        if access and not self.is_home(access.name) and request.headers.get("authorization"):
            raise Refused(404, "NAME_UNKNOWN", f"repository {access.name.partition('/')[0]} not found")
        super().authorize(request, access)
        if access and request.method == "DELETE":
            raise Refused(403, "DENIED", f"not enough permissions to delete {access.name}/_uploads/{access.rest}")

    def lacking(self, access: Access) -> Refused:
        user = next((action for name, action in self.granted[self._token_of(access)] if name == access.name), None)
        if user is None:
            return Refused(401, "UNAUTHORIZED", "authentication is required")
        return Refused(403, "DENIED", f"User is unauthorized to upload to {access.name}/_uploads")

    def _token_of(self, access: Access) -> str:
        return access.request.headers["authorization"].removeprefix("Bearer ")

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and self.moves(access.name, access.rest, digest):
            raise Refusal(403, "MANIFEST_INVALID", "manifest invalid", detail=FORBIDDEN)

    async def _manifest(self, request: Request, name: str, reference: str) -> Answer:
        repository = self.repository(name)
        is_there = repository.tags.get(reference, reference) in repository.manifests
        if request.method == "HEAD" and not is_there:
            raise Refusal(403, body=b"")
        return await super()._manifest(request, name, reference)
