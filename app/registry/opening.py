"""The request that opens an upload session, and asks by the way whether there is need of one."""

from __future__ import annotations

from dataclasses import replace

from app.errors import RegistryError, RegistryRejected, RegistryUnreachable
from app.oci import Digest
from app.registry.profile import Profile
from app.registry.reply import Reply
from app.registry.stored_blobs import Blob, StoredBlobs

MOST_UNANSWERED = 2  # in a row; then it is the question that is not answered, not the registry that is away


class Openings:
    """Those at one registry. A blob that may be there is mounted from where it would be: 201 where it is, else that was
    the request for a session. A registry that does not take this is asked by HEAD first."""

    def __init__(self, stored: StoredBlobs) -> None:
        self._stored, self._endpoint = stored, stored.endpoint
        self._unanswered = 0

    async def open(self, repository: str, unless: Blob | None, profile: Profile) -> tuple[Reply | None, Profile]:
        """The answer that has the session's Location, None where the blob `unless` is there; and the profile that
        proves right where the blob is stored. Raises RegistryError."""
        if unless is None:
            return await self._endpoint.open_upload(repository), profile
        if profile.ask and self._unanswered < MOST_UNANSWERED:
            try:
                reply = await self._endpoint.open_upload(repository, unless[0])
            except RegistryUnreachable:
                self._unanswered += 1
                raise
            except RegistryError as error:
                if error.retryable and not isinstance(error, RegistryRejected):
                    raise
                profile = replace(profile, ask=False)  # if that was it; else the next request says so
            else:
                self._unanswered = 0
                return reply, profile
        if await self._exists(repository, *unless):
            return None, profile
        return await self._endpoint.open_upload(repository), profile

    async def _exists(self, repository: str, digest: Digest, size: int) -> bool:
        try:
            return await self._stored.has(repository, digest, size)
        except RegistryUnreachable:
            self._unanswered = 0  # it was the registry that was away: when it is back it is asked as before
            raise
