"""Azure Container Registry. Its source is closed: scripted are Microsoft's documentation (azure-management-docs,
Azure/acr) and what clients' issues quote of its answers (Azure/azure-sdk-for-net#22827, goharbor/harbor#23016)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from tests.registry.vendors.vendor import Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import USER, Manners, Refused

REFRESH_TOKEN = "what az acr login leaves"
WORDS = (
    "The operation is disallowed on this registry, repository or image. View troubleshooting steps at "
    "https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation"
)


class Acr(Vendor):
    """Tokens come from `/oauth2/token` of the same host, by GET with Basic or by a form; the answer has `access_token`
    and no time. A body without Content-Length is 400. A locked tag, a locked repository and a full registry get the
    same 405. A 429 says how many seconds are left. Layers are read by a redirect to blob storage."""

    name = "Azure Container Registry"
    sources = "MicrosoftDocs/azure-management-docs d923d58 (2026-08-20), Azure/acr 81b818e (2026-05-28)"
    style = Manners(auth="bearer", streams=False, refusal=(400, "CONTENT_LENGTH_INVALID"))
    token_path = "/oauth2/token"
    service = "tarmac.azurecr.io"
    takes_forms = True
    storage_beside = True
    retry_after = 50
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth", words="authentication required"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="authentication required"),
        Fault.QUOTA: Expected("registry_denied", retryable=True, words="The operation is disallowed"),
        Fault.IMMUTABLE: Expected("registry_denied", retryable=True, words="The operation is disallowed"),
        Fault.READ_ONLY: Expected("registry_denied", retryable=True, words="The operation is disallowed"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {Fault.MISSING_PROJECT: "a repository is created by the first push to it"}

    def is_home(self, name: str) -> bool:
        return True

    def token_answer(self, token: str) -> dict[str, object]:
        return {"access_token": token}

    def unknown_account(self) -> Refused:
        words = "authentication required, visit https://aka.ms/acr/authorization for more information."
        return Refused(401, "UNAUTHORIZED", words)

    def _user_of_form(self, members: Mapping[str, list[str]]) -> str | None:
        return USER if members.get("refresh_token") == [REFRESH_TOKEN] else super()._user_of_form(members)

    def lacking(self, access: Access) -> Refused:
        detail = [{"Type": "repository", "Name": access.name, "Action": access.action}]
        error = {"code": "UNAUTHORIZED", "message": "authentication required", "detail": detail}
        header = {"www-authenticate": self.challenge(access, insufficient=True)}
        return Refusal(401, body=json.dumps({"errors": [error]}).encode(), headers=header)

    def limit(self, access: Access | None) -> Refused:
        """The time counts down from one answer to the next."""
        headers = {"retry-after": str(self.retry_after + 10 * self.limited)}
        return Refusal(429, "TOOMANYREQUESTS", "too many requests", headers=headers)

    def writable(self, access: Access) -> None:
        if self.read_only:
            raise self._disallowed()

    def check_quota(self, access: Access, size: int) -> None:
        if self.quota is not None and self.stored(access.name) + size > self.quota:
            raise self._disallowed()

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            raise self._disallowed()

    def _disallowed(self) -> Refused:
        return Refused(405, "REGISTRY_DISALLOWED_OPERATION", WORDS)
