"""Docker Hub. Its source is closed: scripted are its documentation (usage limits, immutable tags), the distribution
project that it is built on, and what issues quote of its answers (docker/hub-feedback#1678, #1907, #2466,
docker-archive/docker-registry#1071, moby/moby#31760, awslabs/soci-snapshotter#1828). The words of the refusal of an
immutable tag are documented nowhere; its status is 403."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import Manners, Refused, Request


class DockerHub(Vendor):
    """Tokens come from another host, whose errors are no list. A token holds the rights that the account has of those
    asked for; without one the registry answers 401 `insufficient_scope`, for a missing right, another's namespace and
    a name of more than two parts alike. A mount needs the right to pull from its source. Layers are read by a
    redirect."""

    name = "Docker Hub"
    sources = "docs.docker.com and issues, as of 2026-09"
    style = Manners(auth="bearer", absolute_locations=True)
    service = "registry.docker.io"
    tokens_beside = True
    storage_beside = True
    retry_after = 60
    second = "mirror"
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="incorrect username or password"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="authentication required"),
        Fault.IMMUTABLE: Expected("registry_denied", words="immutable"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="authentication required"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {
        Fault.QUOTA: "pushes have no quota of storage",
        Fault.READ_ONLY: "it has no such mode",
    }

    def is_home(self, name: str) -> bool:
        return name.count("/") == 1 and super().is_home(name)

    def token_answer(self, token: str) -> dict[str, object]:
        return {**super().token_answer(token), "access_token": token}

    def unknown_account(self) -> Refused:
        return Refusal(401, body=b'{"details":"incorrect username or password"}')

    def lacking(self, access: Access) -> Refused:
        detail = [{"Type": "repository", "Class": "", "Name": access.name, "Action": access.action}]
        error = {"code": "UNAUTHORIZED", "message": "authentication required", "detail": detail}
        header = {"www-authenticate": self.challenge(access, insufficient=True)}
        return Refusal(401, body=json.dumps({"errors": [error]}).encode(), headers=header)

    def authorize(self, request: Request, access: Access | None) -> None:
        super().authorize(request, access)
        source = request.query.get("from")
        token = request.headers["authorization"].removeprefix("Bearer ")
        if access and source and (source, "pull") not in self.granted[token]:
            raise self.lacking(access)

    def limit(self, access: Access | None) -> Refused:
        headers = {"retry-after": str(self.retry_after), "connection": "close"}
        return Refusal(429, body=b"Too Many Requests", content_type="text/html", headers=headers)

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and self.moves(access.name, access.rest, digest):
            raise Refused(403, "DENIED", f"tag {access.rest} is immutable")
