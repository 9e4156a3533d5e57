"""Amazon ECR. Its source is closed: scripted are its user guide (errors, tag immutability, blob mounting, quotas) and
what clients' issues quote of its answers (aws/containers-roadmap#1970, #2159, #2831, dotnet/sdk#33019,
apple/containerization#790). What a DELETE of an upload session gets is documented nowhere; here it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from app.registry.auth import Credentials, FixedCredentials
from tests.registry.vendors.vendor import GUEST, Access, Expected, Fault, Refusal, Vendor
from tests.support.memory_registry import PASSWORD, USER, Answer, Manners, Refused, Request, basic

REGISTRY_ID = "123456789012"
STALE = "a password of twelve hours ago"
PRINCIPAL = f"arn:aws:iam::{REGISTRY_ID}:user/guest"


class Ecr(Vendor):
    """Basic authentication as the user AWS, with a password that GetAuthorizationToken gives for 12 hours; an expired
    one is 403 `DENIED`, not 401. A repository has to exist. A layer is mounted only if the account has switched
    BLOB_MOUNTING on. A PATCH is answered 201, the `Range` stays that of the first chunk, and a session cannot be asked
    by GET. A full repository is 403 `DENIED`, an immutable tag 400 `TAG_INVALID`."""

    name = "Amazon ECR"
    sources = "AWS user guide and issues of clients, as of 2026-09"
    style = Manners(auth="basic", absolute_locations=True, mounts=False, range="stale")
    service = f"https://{REGISTRY_ID}.dkr.ecr.eu-west-1.amazonaws.com/"
    retry_after = 0  # the answer names no time
    expected: ClassVar[Mapping[Fault, Expected]] = {
        Fault.WRONG_CREDENTIALS: Expected("registry_auth"),
        Fault.NO_RIGHTS: Expected("registry_denied", words="is not authorized to perform: ecr:InitiateLayerUpload"),
        Fault.QUOTA: Expected("registry_denied", words="already has the maximum allowed number of images"),
        Fault.IMMUTABLE: Expected("registry_rejected", words="cannot be overwritten because the tag is immutable"),
        Fault.MISSING_PROJECT: Expected("registry_denied", words="does not exist in the registry"),
        Fault.RATE_LIMIT: Expected("registry_rate_limited", retryable=True),
    }
    absent: ClassVar[Mapping[Fault, str]] = {Fault.READ_ONLY: "it has no such mode"}

    def credentials(self, user: str = USER) -> FixedCredentials:
        """AWS's user has one name; who it is, the password says."""
        return FixedCredentials(Credentials("AWS", PASSWORD if user == USER else user))

    def _user_of(self, authorization: str) -> str | None:
        if authorization == basic("AWS", STALE):
            words = "Your authorization token has expired. Reauthenticate and try again."
            raise Refused(403, "DENIED", words)
        return {basic("AWS", PASSWORD): USER, basic("AWS", GUEST): GUEST}.get(authorization)

    def challenge(self, access: Access | None, *, insufficient: bool = False) -> str:
        return f'{super().challenge(access)},service="ecr.amazonaws.com"'

    def unknown_account(self) -> Refused:
        header = {"www-authenticate": self.challenge(None)}
        return Refusal(401, body=b"Not Authorized\n", content_type="text/plain; charset=utf-8", headers=header)

    def lacking(self, access: Access) -> Refused:
        action = "BatchGetImage" if access.action == "pull" else "InitiateLayerUpload"
        words = (
            f"User: {PRINCIPAL} is not authorized to perform: ecr:{action} on resource: arn:aws:ecr:eu-west-1:"
            f"{REGISTRY_ID}:repository/{access.name} because no identity-based policy allows the ecr:{action} action"
        )
        return Refused(403, "DENIED", words)

    def limit(self, access: Access | None) -> Refused:
        return Refused(429, "TOOMANYREQUESTS", "Rate exceeded")

    def check_name(self, access: Access) -> None:
        if not self.is_home(access.name):
            words = f"The repository with name '{access.name}' does not exist in the registry with id '{REGISTRY_ID}'"
            raise Refused(404, "NAME_UNKNOWN", words)

    def check_quota(self, access: Access, size: int) -> None:
        """Of images, not of bytes."""
        if self.quota is not None and access.kind == "manifests":
            words = (
                f"The repository with name '{access.name}' in registry with id '{REGISTRY_ID}' already has the maximum "
                "allowed number of images which is '10000'"
            )
            raise Refused(403, "DENIED", words)

    def check_tag(self, access: Access, digest: str) -> None:
        if self.immutable and access.rest in self.repository(access.name).tags:
            words = (
                f"The image tag '{access.rest}' already exists in the '{access.name}' repository and cannot be "
                "overwritten because the tag is immutable."
            )
            raise Refused(400, "TAG_INVALID", words)

    async def _upload(self, request: Request, name: str, session: str) -> Answer:
        if request.method == "GET":
            raise Refused(404, "BLOB_UPLOAD_UNKNOWN", "upload not found")
        answer = await super()._upload(request, name, session)
        return Answer(201, answer.headers) if request.method == "PATCH" else answer
