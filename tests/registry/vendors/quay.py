"""Quay, from its source: endpoints/v2 (blob, manifest, referrers, errors, v2auth), auth/registry_jwt_auth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Vendor
from tests.support.memory_registry import Answer, Manners, Refused, Request

_SCOPE = re.compile(r"repository:[.a-zA-Z0-9_\-/]+:(?:push|pull|\*)(?:,(?:push|pull|\*))*")


class Quay(Vendor):
    """Tokens come without a time; every challenge has a scope and no error, so a missing right looks like a missing
    token. An empty session has the Range `bytes=0--1`, and one that is asked for says one byte more than it holds.
    A quota is looked at when a session is opened and with each request of it. Referrers are listed, and yet the
    answer to a manifest with a subject has no OCI-Subject. Mounting needs a `from`."""

    name = "Quay"
    sources = "quay/quay ffba0c7 (2026-08-21)"
    style = Manners(auth="bearer", absolute_locations=True)
    token_path = "/v2/auth"
    service = "quay.example"
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="credentials are invalid"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="not authorized"),
        Fault.QUOTA: Expected("registry_denied", words="Quota has been exceeded on namespace"),
        Fault.IMMUTABLE: Expected("registry_rejected", words="immutable"),
        Fault.READ_ONLY: Expected("registry_denied", retryable=True, words="currently read-only"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="not authorized"),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.RATE_LIMIT: "its source limits no rate; quay.io has a proxy that does"
    }

    def token_answer(self, token: str) -> dict[str, object]:
        return {"token": token}

    def unknown_account(self) -> Refused:
        return Refused(401, "UNAUTHORIZED", "Specified credentials are invalid")

    def lacking(self, access: Access) -> Refused:
        return Refused(401, "UNAUTHORIZED", "access to the requested resource is not authorized")

    def grants(self, user: str, scopes: list[str]) -> frozenset[tuple[str, str]]:
        for scope in scopes:
            if not _SCOPE.fullmatch(scope):
                raise Refused(400, "INVALID_REQUEST", f"Unable to decode repository and actions: {scope}")
        return super().grants(user, scopes)

    def writable(self, access: Access) -> None:
        if self.read_only:
            words = "System is currently read-only. Pulls will succeed but all write operations are suspended."
            raise Refused(405, "DENIED", words)
        request = access.request
        if access.kind == "blobs/uploads" and request.method != "DELETE" and self.quota is not None:
            self.sessions.pop(access.rest, None)
            raise Refused(403, "DENIED", "Quota has been exceeded on namespace")
        if request.method == "POST" and "mount" in request.query and "from" not in request.query:
            raise Refused(500, "UNKNOWN", "internal error")

    def check_session(self, access: Access) -> None:
        """The state of a session is in its path."""

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and self.moves(access.name, access.rest, digest):
            raise Refused(409, "TAG_IMMUTABLE", "tag is immutable and cannot be overwritten")

    def _place(self, request: Request, name: str, session: str) -> dict[str, str]:
        held = len(self.sessions[session])
        location = f"{self.url}/v2/{name}/blobs/uploads/{session}"
        ranges = {"POST": "bytes=0--1", "GET": f"bytes=0-{held}"}
        return {
            "location": location,
            "range": ranges.get(request.method, f"0-{held - 1}"),
            "docker-upload-uuid": session,
        }

    def _store(self, name: str, reference: str, media_type: str, raw: bytes) -> Answer:
        answer = super()._store(name, reference, media_type, raw)
        answer.headers.pop("oci-subject", None)
        return answer
