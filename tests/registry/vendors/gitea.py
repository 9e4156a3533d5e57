"""The container registry of Gitea and Forgejo, from their source: routers/api/packages (api.go, container),
services/context/package.go. Forgejo has Gitea's code here, with a check of the mount's source and 404 to a POST for a
token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

_IMAGE = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*")
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TEXT = "text/plain; charset=utf-8"


class Gitea(Vendor):
    """A token is good for every repository and for a day; its scope is not looked at. Whoever lacks a right gets 401
    with a Basic challenge and text, and nothing is said of what is missing; a HEAD and a GET of what an account may
    not see are 401 too. Quotas are refused without a body. Locations are paths. A session that is asked for says one
    byte more than it holds. An index may hold manifests of images alone. A missing layer is BLOB_UNKNOWN, a missing
    child MANIFEST_BLOB_UNKNOWN, both 404. Referrers are not listed."""

    name = "Gitea"
    sources = "go-gitea/gitea 9548a9a (1.22), yonasBSD/forgejo 5e777a4 (2024-11-07)"
    style = Manners(auth="bearer", lists_referrers=False, token_seconds=86400)
    token_path = "/v2/token"
    service = "container_registry"
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="authGroup.Verify"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="reqPackageAccess"),
        Fault.QUOTA: Expected("registry_denied"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="Not found"),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.IMMUTABLE: "every tag can be moved",
        Fault.READ_ONLY: "there is no such mode for packages",
        Fault.RATE_LIMIT: "its source limits no rate",
    }

    def challenge(self, access: Access | None, *, insufficient: bool = False) -> str:
        return f'Bearer realm="{self.realm()}",service="{self.service}",scope="*"'

    def token_answer(self, token: str) -> dict[str, object]:
        return {"token": token}

    def unknown_account(self) -> Refused:
        return Refusal(401, body=b"authGroup.Verify\n", content_type=_TEXT)

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        return frozenset({("", user)})

    def authorize(self, request: Request, access: Access | None) -> None:
        given = request.headers.get("authorization", "")
        grants = self.granted.get(given.removeprefix("Bearer "))
        user = self._user_of(given) if given.startswith("Basic ") else next((each for _, each in grants or ()), None)
        if user is None:
            raise Refused(401, "UNAUTHORIZED", "authentication required")
        if access is None:
            return
        if not self.is_home(access.name):
            raise Refusal(404, body=b"Not found.\n", content_type=_TEXT)
        needed = "push" if access.kind == "blobs/uploads" else access.action
        if needed not in self.rights(user, access.name):
            header = {"www-authenticate": 'Basic realm="Gitea Package API"'}
            raise Refusal(401, headers=header, body=b"reqPackageAccess\n", content_type=_TEXT)

    def check_name(self, access: Access) -> None:
        if not _IMAGE.fullmatch(access.name.partition("/")[2]):
            raise Refused(400, "NAME_INVALID", "invalid repository name")

    def check_session(self, access: Access) -> None:
        """The state of a session is in its path."""
        request, held = access.request, self.sessions.get(access.rest)
        if request.method == "PATCH" and held and "content-range" not in request.headers:
            raise Refused(400, "BLOB_UPLOAD_INVALID", "Stream uploads after first write are not allowed")

    def check_quota(self, access: Access, size: int) -> None:
        """The message is not sent."""
        if self.quota is not None and access.kind == "blobs/uploads" and self.stored(access.name) + size > self.quota:
            raise Refusal(403, body=b"", content_type=_TEXT)

    def check_manifest(self, access: Access, media_type: str, document: Mapping[str, Any]) -> None:
        repository = self.repository(access.name)
        for child in document.get("manifests", ()):
            if child["mediaType"] not in _MANIFESTS:
                raise Refused(400, "MANIFEST_INVALID", "manifest invalid")
            if child["digest"] not in repository.manifests:
                raise Refused(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        blobs = [document["config"], *document.get("layers", ())] if "config" in document else []
        if any(blob["digest"] not in repository.blobs for blob in blobs):
            raise Refused(404, "BLOB_UNKNOWN", "blob unknown to registry")

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        held = len(self.sessions[session])
        last = {"POST": 0, "GET": held}.get(request.method, held - 1)
        location = f"/v2/{name}/blobs/uploads/{session}"
        return {"location": location, "range": f"0-{last}", "docker-upload-uuid": session}

    async def _upload(self, request: Request, name: str, session: str) -> Answer:
        answer = await super()._upload(request, name, session)
        if request.method == "GET":
            del answer.headers["location"]
        return answer


class Forgejo(Gitea):
    """As Gitea; the token service answers a POST with 404."""

    name = "Forgejo"
    sources = "yonasBSD/forgejo 5e777a4 (2024-11-07)"
