"""Cross-repository blob mounts, at registries that support them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from http import HTTPStatus

from app.errors import RegistryError
from app.net.client import Request
from app.oci import Digest
from app.registry.distribution.endpoints import mount_query
from app.registry.uploads.capability_file import LearnedCapabilities
from app.registry.uploads.spare_session import SpareSession
from app.registry.uploads.stored_blobs import StoredBlobs

MAX_REFUSALS = 2  # in a row, for blobs that the source is known to have
MAX_FAILURES = 2  # in a row, with 5xx
SKIPPED_MOUNTS = 20  # mounts that are skipped then: the registry may be down, or fail at mounts only
_REFUSALS = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED})


class Mounts:
    """Mounts at one registry.

    A registry that refuses to mount blobs it is known to have is not asked again. Its upload POST is then not used to
    test for a blob either.
    """

    def __init__(self, stored: StoredBlobs, learnt: LearnedCapabilities) -> None:
        self._stored, self._endpoint, self._learnt = stored, stored.endpoint, learnt
        self._refused = self._failed = self._skipped = 0
        self._works = False

    async def mount(
        self, repository: str, digest: Digest, source: str, size: int | None, spare: SpareSession | None
    ) -> bool:
        """Return whether the blob exists now.

        If the registry opens a session instead, it is stored in `spare`. No rejection is fatal.
        """
        if not await self._is_possible():
            return False
        request = Request("POST", await self._endpoint.url(repository, f"blobs/uploads/?{mount_query(digest, source)}"))
        try:
            response = await self._endpoint.send_opening(request, repository, f"repository:{source}:pull")
            if response.status == HTTPStatus.ACCEPTED:
                cancel = partial(self._endpoint.abandon_later, repository, await self._endpoint.location(response))
                if spare is None:
                    cancel()
                else:
                    spare.give(response, cancel)
            await self._learn(response.status, is_there=self._stored.is_proved(source, digest))
            is_mounted = response.status == HTTPStatus.CREATED
            return is_mounted and (size is None or await self._stored.confirm(repository, (digest, size)))
        except RegistryError:
            return False

    async def _is_possible(self) -> bool:
        if self._failed >= MAX_FAILURES:
            self._skipped += 1
            if self._skipped <= SKIPPED_MOUNTS:
                return False
            self._skipped, self._failed = 0, MAX_FAILURES - 1
        return (await self._learnt.current()).mount

    async def _learn(self, status: int, *, is_there: bool) -> None:
        """Record a response. `is_there`: whether the source is known to have the blob."""
        is_answer = status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.NOT_IMPLEMENTED
        self._failed = 0 if is_answer else self._failed + 1
        if status == HTTPStatus.CREATED:
            self._works, self._refused = True, 0
        elif status in _REFUSALS and is_there:
            self._refused += 1
        if status == HTTPStatus.NOT_IMPLEMENTED or (self._refused >= MAX_REFUSALS and not self._works):
            await self._learnt.learn(replace(await self._learnt.current(), mount=False, ask=False))
