"""Nexus Repository 3, a hosted repository behind a connector port. Its Docker format is not in the public source
(sonatype/nexus-public aec50e4 has the settings of its repositories only); this is what public issues say: NEXUS-25275,
nexus-public 967, jib 2395 and 3057, porter 2468, tart 252, docker/login-action 586. What it answers to an account
that may not push was not to be seen; it is taken to be the same as without credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

_LAYERS = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"{")  # gzip, zstd, and a config


class Nexus(Vendor):
    """Blobs are those of the whole hosted repository: what was pushed to one image is there for every other. It does
    not mount: the request opens a session. Refusals of the deployment policy and of strict content type validation
    have the code BLOB_UPLOAD_INVALID, whatever was sent, and say why in `detail`. Without redeploying, two uploads of
    one blob at the same time end with a refusal of the second."""

    name = "Nexus 3"
    sources = "sonatype/nexus-public aec50e4 (2025-02-04), public issues up to 3.96 (2026-09); closed source"
    style = Manners(auth="basic", mounts=False, lists_referrers=False)
    strict: ClassVar[bool] = True  # content type validation
    service = "Sonatype Nexus Repository Manager"
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="is not authorized"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="is not authorized"),
        Fault.IMMUTABLE: Expected("registry_rejected", words="does not allow updating assets"),
        Fault.READ_ONLY: Expected("registry_denied", retryable=True, words="Repository is read only"),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.QUOTA: "a soft quota of a blob store stops no push",
        Fault.MISSING_PROJECT: "every name of a hosted repository can be pushed",
        Fault.RATE_LIMIT: "it limits no rate",
    }
    refuses: ClassVar[Mapping[str, Expected]] = {
        "artifact": Expected("registry_rejected", words="Invalid docker content"),
        "with-referrers": Expected("registry_rejected", words="Invalid docker content"),
    }

    def is_home(self, name: str) -> bool:
        return True

    def challenge(self, access: Access | None, *, insufficient: bool = False) -> str:
        return f'BASIC realm="{self.service}"'

    def unknown_account(self) -> Refused:
        return Refused(401, "UNAUTHORIZED", "access to the requested resource is not authorized")

    def lacking(self, access: Access) -> Refused:
        return self.unknown_account()

    def _invalid(self, detail: str) -> Refused:
        return Refusal(400, "BLOB_UPLOAD_INVALID", "blob upload invalid", detail=detail)

    def writable(self, access: Access) -> None:
        if self.read_only and access.request.method != "DELETE":
            raise self._invalid("Repository is read only: docker-hosted")

    def check_session(self, access: Access) -> None:
        """The state of a session is in its path."""

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            raise self._invalid("Repository does not allow updating assets: docker-hosted")

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        held = len(self.sessions[session])
        return {"location": f"/v2/{name}/blobs/uploads/{session}", "range": f"0-{max(held - 1, 0)}"}

    def _finish(self, name: str, session: str, digest: str) -> Answer:
        held = bytes(self.sessions[session])
        if self.strict and not held.startswith(_LAYERS):
            del self.sessions[session]
            raise self._invalid(f"Invalid docker content v2/-/blobs/{digest}")
        if self.immutable and any(digest in kept.blobs for kept in self.repositories.values()):
            raise self._invalid(f"docker-hosted/v2/-/blobs/{digest} cannot be updated")
        answer = super()._finish(name, session, digest)
        self._share()
        return answer

    async def _dispatch(self, access: Access) -> Answer:
        self.repository(access.name)
        self._share()
        return await super()._dispatch(access)

    def _share(self) -> None:
        """Every image has every blob."""
        blobs = {digest: data for kept in self.repositories.values() for digest, data in kept.blobs.items()}
        for kept in self.repositories.values():
            kept.blobs |= blobs
