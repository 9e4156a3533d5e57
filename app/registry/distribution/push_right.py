"""Check whether an account may push to a repository, without side effects, for `tarmac check`.

An upload session creates a repository in zot and Pulp. Therefore a session is opened, and cancelled, only in a
repository that exists. Otherwise an invented session is committed: a registry checks the rights first, and then
responds that it does not know the session. Quay creates a repository when a token for pushing is requested.
"""

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
from app.registry.distribution.responses import read_error_detail, to_registry_error
from app.registry.uploads.body import NO_BODY

PROBE = "tarmac-check"  # repository below the configured path that is used if none is named
OTHER = "If only this repository or its project is missing, pass another one with --repository"
_ABSENT = re.compile(r"not found|(?<!may )not exist|unknown (?:project|namespace)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PushRight:
    """The right to push to `repository`.

    `push` is None if the registry does not report it; `remark` is then its message.
    """

    repository: str
    push: bool | None
    remark: str = ""


async def find_push_right(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    """Return what the account may do.

    Raises RegistryError if it is rejected. `endpoint` must not create repositories.
    """
    try:
        return await _find(endpoint, repository)
    except RegistryFault as error:  # Pulp's token service fails for an impossible repository
        return PushRight(repository, push=None, remark=str(error))


async def _find(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    listed = await endpoint.send(Request("GET", await endpoint.url(repository, "tags/list?n=1")), repository)
    if listed.status == HTTPStatus.OK:
        return await _open_and_end(endpoint, repository)
    unknown = await endpoint.url(repository, f"blobs/uploads/{uuid4()}")
    headers, body = NO_BODY
    request = Request("PUT", with_digest(unknown, Digest.of(secrets.token_bytes())), headers, body=body)
    response = await endpoint.send(request, repository)
    if (
        response.status == HTTPStatus.NOT_FOUND and not read_error_detail(response.body).code
    ):  # its sessions have other URLs
        return await _open_and_end(endpoint, repository)
    return _judge(response, repository)


async def _open_and_end(endpoint: DistributionEndpoints, repository: str) -> PushRight:
    opening = Request("POST", await endpoint.url(repository, "blobs/uploads/"))
    response = await endpoint.send_opening(opening, repository)
    if response.status == HTTPStatus.ACCEPTED:
        await endpoint.cancel_upload(repository, await endpoint.location(response))
    return _judge(response, repository)


def _judge(response: Response, repository: str) -> PushRight:
    refuse_page(response)
    error = to_registry_error(response, datetime.now(UTC))
    if response.status != HTTPStatus.ACCEPTED and (_is_absent(response) or isinstance(error, RegistryFault)):
        return PushRight(repository, push=None, remark=str(error))
    if isinstance(error, RegistryDenied | RegistryAuth | RegistryRateLimited):
        raise error
    return PushRight(repository, push=True)


def _is_absent(response: Response) -> bool:
    """Return whether the rejection says that the repository or its project does not exist."""
    error_detail = read_error_detail(response.body)
    if response.status == HTTPStatus.NOT_FOUND:
        return error_detail.code == "NAME_UNKNOWN" or response.method == "POST"
    return response.status in {401, 403} and _ABSENT.search(error_detail.message) is not None


@contextmanager
def advise_other() -> Iterator[None]:
    """Add to a rejection within the block how to check another repository."""
    try:
        yield
    except (RegistryDenied, RegistryAuth) as error:
        error.args = (with_hint(str(error), OTHER),)
        raise
