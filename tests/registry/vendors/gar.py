"""Google Artifact Registry. Its source is closed: scripted are its documentation (troubleshooting, quotas, immutable
tags) and what clients' issues quote of its answers (dotnet/sdk-container-builds#287, containers/skopeo#1101,
docker/build-push-action#171, actions/attest-build-provenance#80). The status of the refusals of a chunk and of an
immutable tag is documented nowhere; here it is 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

UPLOADS = "/artifacts-uploads/namespaces/project/repositories/docker/uploads/"


class Gar(Vendor):
    """A name has a project, a repository that exists and an image. Tokens come from `/v2/token` of the same host. An
    upload goes on below `/artifacts-uploads/`, by one PUT or one PATCH; chunks are refused. Quotas are of requests per
    minute. Referrers are not listed."""

    name = "Google Artifact Registry"
    sources = "documentation and issues of clients, as of 2026-09"
    style = Manners(auth="bearer", chunks=False, refusal=(400, "UNSUPPORTED"), lists_referrers=False)
    home = "project/docker"
    second = "project/docker/second"
    elsewhere = "project/nowhere"
    token_path = "/v2/token"
    service = "europe-docker.pkg.dev"
    retry_after = 0  # the answer names no time
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="authentication failed"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="artifactregistry.repositories.uploadArtifacts"),
        Fault.IMMUTABLE: Expected("registry_rejected", words="The repository has enabled tag immutability"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words='Repository "nowhere" not found'),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.QUOTA: "storage has no quota, only requests have",
        Fault.READ_ONLY: "it has no such mode",
    }

    def __init__(self) -> None:
        super().__init__()
        self.uploads: dict[str, str] = {}  # by session, the repository

    def unknown_account(self) -> Refused:
        return Refused(401, "UNAUTHORIZED", "authentication failed")

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        """A token is the account's, whatever it may do."""
        return frozenset((user, action) for action in ("pull", "push"))

    def authorize(self, request: Request, access: Access | None) -> None:
        grants = self.granted.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if grants is None:
            raise Refused(401, "UNAUTHORIZED", "authentication failed")
        user = next(name for name, _ in grants)
        if access and self.is_home(access.name) and access.action not in self.rights(user, access.name):
            raise self.lacking(access)

    def lacking(self, access: Access) -> Refused:
        right = "downloadArtifacts" if access.action == "pull" else "uploadArtifacts"
        words = (
            f'Permission "artifactregistry.repositories.{right}" denied on resource '
            '"projects/project/locations/europe/repositories/docker" (or it may not exist)'
        )
        return Refused(403, "DENIED", words)

    def limit(self, access: Access | None) -> Refused:
        return Refused(429, "TOOMANYREQUESTS", "Quota exceeded for quota metric 'Write requests per minute'")

    def check_name(self, access: Access) -> None:
        parts = access.name.split("/")
        if len(parts) < 3:
            words = "Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE"
            raise Refused(400, "NAME_INVALID", words)
        if not self.is_home(access.name):
            raise Refused(404, "NAME_UNKNOWN", f'Repository "{parts[1]}" not found')

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and self.moves(access.name, access.rest, digest):
            words = f"cannot update tag {access.rest}. The repository has enabled tag immutability"
            raise Refused(400, "MANIFEST_INVALID", words)

    async def page(self, request: Request) -> Answer | None:
        if not request.path.startswith(UPLOADS):
            return None
        self.authorize(request, None)
        session = request.path.removeprefix(UPLOADS)
        return await self._upload(request, self.uploads[session], session)

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        self.uploads[session] = name
        return {**super()._place(request, name, session), "location": f"{UPLOADS}{session}"}
