"""Whether an account may push to a repository, found out without leaving anything there: what `tarmac check` asks.

Opening an upload session creates a repository at zot and Pulp. Therefore a session is opened, and ended, only in a
repository that exists. In any other a session is closed that nobody has opened: a registry looks at the rights first,
and answers that it does not know the session. Quay creates a repository when a token for pushing is asked for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

from app.errors import RegistryAuth, RegistryDenied, RegistryFault, RegistryRateLimited, with_hint
from app.net.client import Request
from app.net.response import Response
from app.net.urls import with_digest
from app.oci import Digest
from app.registry.distribution.endpoints import DistributionEndpoints, refuse_page
from app.registry.distribution.responses import read_complaint, to_registry_error
from app.registry.uploads.body import NO_BODY

PROBE = "tarmac-check"  # the repository below the configured path that is asked about if none is named
OTHER = "If only this repository or its project is missing, name another one with --repository"
_ABSENT = re.compile(r"not found|(?<!may )not exist|unknown (?:project|namespace)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PushRight:
    """`push`: whether the account may push to `repository`, None if the registry does not say; then `remark` says what
    it said."""

    repository: str
    push: bool | None
    remark: str = ""


async def find_push_right(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    """Return what the account may do, if it is not refused. Raises RegistryError if it is. `endpoint` must not create
    repositories."""
    try:
        return await _find(endpoint, repository)
    except RegistryFault as error:  # Pulp's token service fails for a repository that cannot be
        return PushRight(repository, push=None, remark=str(error))


async def _find(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    listed = await endpoint.send(Request("GET", await endpoint.url(repository, "tags/list?n=1")), repository)
    if listed.status == HTTPStatus.OK:
        return await _open_and_end(endpoint, repository)
    unknown = await endpoint.url(repository, f"blobs/uploads/{uuid4()}")
    headers, body = NO_BODY
    call = Request("PUT", with_digest(unknown, Digest.of(secrets.token_bytes())), headers, body=body)
    reply = await endpoint.send(call, repository)
    if reply.status == HTTPStatus.NOT_FOUND and not read_complaint(reply.body).code:  # its sessions are elsewhere
        return await _open_and_end(endpoint, repository)
    return _judge(reply, repository)


async def _open_and_end(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    opening = Request("POST", await endpoint.url(repository, "blobs/uploads/"))
    reply = await endpoint.send_opening(opening, repository)
    if reply.status == HTTPStatus.ACCEPTED:
        await endpoint.cancel_upload(repository, await endpoint.location(reply))
    return _judge(reply, repository)


def _judge(reply: Response, repository: str) -> PushRight:
    refuse_page(reply)
    error = to_registry_error(reply, datetime.now(UTC))
    if reply.status != HTTPStatus.ACCEPTED and (_is_absent(reply) or isinstance(error, RegistryFault)):
        return PushRight(repository, push=None, remark=str(error))
    if isinstance(error, RegistryDenied | RegistryAuth | RegistryRateLimited):
        raise error
    return PushRight(repository, push=True)


def _is_absent(reply: Response) -> bool:
    """Whether the refusal says that the repository, or the project that it would be in, does not exist."""
    complaint = read_complaint(reply.body)
    if reply.status == HTTPStatus.NOT_FOUND:
        return complaint.code == "NAME_UNKNOWN" or reply.method == "POST"
    return reply.status in {401, 403} and _ABSENT.search(complaint.words) is not None


@contextmanager
def advise_other() -> Iterator[None]:
    """Let a refusal within the block say how another repository is asked about."""
    try:
        yield
    except (RegistryDenied, RegistryAuth) as error:
        error.args = (with_hint(str(error), OTHER),)
        raise
