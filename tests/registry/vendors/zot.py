"""zot, from its source: pkg/api (routes, authn, authz, quota, session), pkg/storage (common, imagestore)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

OCI = frozenset({"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"})
CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json"})


class Zot(Vendor):
    """Basic authentication, with a challenge beside a 403 too; its 401 to a wrong password is one error and no list of
    them. It takes Docker's media types only with `compat: ["docker2s2"]`. A mount ignores `from`: every blob that it
    has of any repository is linked, and the 201 names no digest. A manifest whose blobs are missing is
    `MANIFEST_INVALID`. `storage.maxRepos` is 429 without Retry-After. A tag is immutable for an account that may
    `create` and not `update`."""

    name = "zot"
    sources = "project-zot/zot 6d19b445 (2026-08-21)"
    style = Manners(auth="basic", resumes=False)
    service = "Authorization Required"
    retry_after = 0  # its rate limiter names no time
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="requested access to the resource is denied"),
        Fault.QUOTA: Expected("registry_denied", words="too many requests"),
        Fault.IMMUTABLE: Expected("registry_denied", words="requested access to the resource is denied"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.READ_ONLY: "it has no such mode; an account without the right to create lacks a right",
        Fault.MISSING_PROJECT: "a repository is created by the first push to it",
    }

    def __init__(self) -> None:
        super().__init__()
        self.types: dict[tuple[str, str], str] = {}  # by repository and tag

    def is_home(self, name: str) -> bool:
        return True

    def unknown_account(self) -> Refused:
        error = {"code": "UNAUTHORIZED", "message": "authentication required", "detail": {"description": "no access"}}
        return Refusal(401, body=json.dumps(error).encode(), headers={"www-authenticate": self.challenge(None)})

    def lacking(self, access: Access) -> Refused:
        header = {"www-authenticate": self.challenge(access)}
        return Refusal(403, "DENIED", "requested access to the resource is denied", headers=header)

    def limit(self, access: Access | None) -> Refused:
        return Refusal(429, body=b"Too Many Requests", content_type="text/plain; charset=utf-8")

    def check_session(self, access: Access) -> None:
        """A Location has no query."""

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            raise self.lacking(access)

    def check_quota(self, access: Access, size: int) -> None:
        if self.quota is not None and access.kind == "manifests" and not self.repository(access.name).manifests:
            detail = {"description": "too many requests within a time", "limit": "1"}
            error = {"code": "TOOMANYREQUESTS", "message": "too many requests", "detail": detail}
            raise Refusal(429, body=json.dumps({"errors": [error]}).encode())

    def check_manifest(self, access: Access, media_type: str, document: Mapping[str, Any]) -> None:
        if media_type not in OCI:
            detail = {"mediaType": media_type}
            error = {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": detail}
            raise Refusal(415, body=json.dumps({"errors": [error]}).encode())
        kept = self.repository(access.name)
        if any(digest not in kept.blobs and digest not in kept.manifests for digest in _parts(document)):
            raise Refused(400, "MANIFEST_INVALID", "manifest invalid")

    async def _manifest(self, request: Request, name: str, reference: str) -> Answer:
        answer = await super()._manifest(request, name, reference)
        if request.method == "PUT":
            self.types.setdefault((name, reference), request.headers["content-type"])
        elif (name, reference) in self.types:
            answer.headers["content-type"] = self.types[name, reference]
        return answer

    def _start(self, request: Request, name: str) -> Answer:
        mount = request.query.get("mount")
        if mount is None and "from" in request.query:
            raise Refusal(405, body=b"")
        if (content := self._linked(mount)) is not None:
            self.repository(name).blobs[str(mount)] = content
            return Answer(201, {"location": f"/v2/{name}/blobs/{mount}"})
        request.query.clear()
        return super()._start(request, name)

    def _blob(self, name: str, digest: str) -> Answer:
        if (content := self._linked(digest)) is not None:
            self.repository(name).blobs[digest] = content
        return super()._blob(name, digest)

    def _linked(self, digest: str | None) -> bytes | None:
        return next((kept.blobs[digest] for kept in self.repositories.values() if digest in kept.blobs), None)

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        headers = super()._place(request, name, session)
        return {**headers, "location": headers["location"].partition("?")[0]}


def _parts(document: Mapping[str, Any]) -> list[str]:
    """What zot looks for: all of an index, and of a manifest whose config's media type it knows."""
    if "config" not in document:
        return [child["digest"] for child in document["manifests"]]
    config = document["config"]
    return [part["digest"] for part in (config, *document.get("layers", ()))] if config["mediaType"] in CONFIGS else []
