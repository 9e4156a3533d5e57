"""Existence, size and digest of blobs at a registry, and how far its statements are trusted.

Presence is not integrity: a registry may store the part that it received of an interrupted request under the digest of
the whole.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from app.errors import RegistryError, RegistryLost
from app.net.client import Request
from app.net.response import Response
from app.net.warnings import add_notice
from app.oci import Digest
from app.registry.distribution.endpoints import DistributionEndpoints, expect, is_not_found, refuse_page
from app.registry.distribution.responses import to_registry_error
from app.registry.uploads.unverified_blobs import Doubt, UnprovenBlobs

READ_AT_ONCE = 4  # blobs of one registry read back concurrently; each needs some MiB
MAX_PROVED = 10_000  # blobs remembered as complete
PIECE = 1 << 20  # bytes hashed at once, in a thread
_FIRST_BYTE = {"Range": "bytes=0-0"}
_CONTENT_RANGE = re.compile(r"bytes (?:\d{1,19}-\d{1,19}|\*)/(\d{1,19})")

Blob = tuple[Digest, int]


@dataclass(frozen=True, slots=True)
class Stated:
    """The registry's statement about a blob; each field is None if unknown.

    `size` in bytes. `digest`: that of its bytes, if they were read.
    """

    is_there: bool | None
    size: int | None = None
    digest: Digest | None = None


ABSENT = Stated(False)


class StoredBlobs:
    """The blobs of one registry."""

    def __init__(self, endpoint: DistributionEndpoints, unproven: UnprovenBlobs) -> None:
        self.endpoint, self.unproven = endpoint, unproven
        self._proved: dict[Digest, set[str]] = {}  # values: repositories
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    async def has(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        """Return whether a push may rely on the blob.

        A blob with another size does not count. If the registry does not state the size, the blob counts unless a
        request of this service with its bytes was interrupted.
        """
        doubt = None if size is None else await self.unproven.doubt_of(digest)
        if doubt is Doubt.LOST:
            return False
        stated = await self._state(repository, digest)
        if stated.is_there and size and (stated.size == 0 or (doubt and stated.size is None)):
            stated = await self._measure(repository, digest)  # 0: some servers state this for the body of every HEAD
        if not stated.is_there or size is None:
            return bool(stated.is_there)
        if stated.size is not None and stated.size != size:
            self.unproven.add(digest, Doubt.CUT)
            return False
        if stated.size == size:
            self._prove(repository, digest)
        return stated.size == size or doubt is None

    def is_proved(self, repository: str, digest: Digest) -> bool:
        """Return whether this process has seen the blob in `repository` or sent it there."""
        return repository in self._proved.get(digest, ())

    async def confirm(self, repository: str, blob: Blob) -> bool:
        """Return whether the blob exists, after a response that confirms it without its size."""
        if blob[0] not in self._proved:
            return await self.has(repository, *blob)
        self._prove(repository, blob[0])
        return True

    async def check_sent(self, repository: str, blob: Blob, doubt: Doubt | None) -> None:
        """Check a blob that the registry has accepted, if there was a `doubt` about the stored one.

        Raises RegistryLost.
        """
        if doubt is not None:
            await self.verify(repository, blob, read=doubt is Doubt.LOST, is_certain=True)
        self._prove(repository, blob[0])

    async def verify(self, repository: str, blob: Blob, *, read: bool, is_certain: bool = False) -> None:
        """Raise RegistryLost unless the registry has `blob` with its size.

        `read`: read it back and compare the digest. `is_certain`: do so also if the registry does not state its size.
        If the registry denies access, add a notice.
        """
        digest, size = blob
        stated = await self._read_back(repository, blob) if read else await self._size_of(repository, blob)
        if is_certain and stated == Stated(True):
            stated = await self._read_back(repository, blob)
        if stated.is_there is None:
            add_notice(
                f"{repository}: blob {digest} cannot be verified; the registry does not allow this account to read it"
            )
        elif not stated.is_there or stated.size not in {None, size} or stated.digest not in {None, digest}:
            self._proved.pop(digest, None)
            self.unproven.add(digest, Doubt.LOST)
            raise RegistryLost(_loss(repository, blob, stated), blobs=(str(digest),))
        elif stated.digest == digest or await self.unproven.doubt_of(digest) is not Doubt.LOST:
            self._prove(repository, digest)

    async def _size_of(self, repository: str, blob: Blob) -> Stated:
        digest, size = blob
        stated = await self._state(repository, digest, is_proof=True)
        return await self._measure(repository, digest) if stated.is_there and size and not stated.size else stated

    def _prove(self, repository: str, digest: Digest) -> None:
        self.unproven.remove(digest)
        self._proved.setdefault(digest, set()).add(repository)
        if len(self._proved) > MAX_PROVED:
            del self._proved[next(iter(self._proved))]

    async def _state(self, repository: str, digest: Digest, *, is_proof: bool = False) -> Stated:
        """Ask by HEAD, and then by GET if the registry redirects: its storage may accept only signed GETs.

        For a proof GET is always the second request, because some registries reject a HEAD for missing blobs.
        """
        url = await self._url(repository, digest)
        response = await self.endpoint.send(Request("HEAD", url), repository)
        if response.status == 200:
            refuse_page(response)
            return Stated(True, _length(response))
        if response.status == 404:
            return ABSENT
        if is_proof or response.url != url:
            return await self._measure(repository, digest)
        if is_not_found(response):  # then the response to the POST explains the error
            return ABSENT
        expect(response, frozenset({200}))
        return ABSENT

    async def _measure(self, repository: str, digest: Digest) -> Stated:
        """Ask by GET for the first byte, and stop reading if the whole blob is sent."""

        async def receive(chunk: bytes) -> bool:
            return len(chunk) <= 1

        request = Request("GET", await self._url(repository, digest), _FIRST_BYTE, receive=receive)
        response = await self.endpoint.send(request, repository)
        ranged = _CONTENT_RANGE.fullmatch(response.header("content-range") or "")
        if response.status == 200:
            refuse_page(response)
        if response.status in {206, 416}:
            return Stated(True, int(ranged[1]) if ranged else None)
        return Stated(True, _length(response)) if response.status == 200 else _unread(response)

    async def _read_back(self, repository: str, blob: Blob) -> Stated:
        hashing = _Hashing(blob)
        async with self._reading:
            request = Request("GET", await self._url(repository, blob[0]), receive=hashing.receive)
            response = await self.endpoint.send(request, repository)
            if response.status != 200:
                return _unread(response)
            found = await hashing.finish()
        return Stated(True, hashing.size, found)

    async def _url(self, repository: str, digest: Digest) -> str:
        return await self.endpoint.url(repository, f"blobs/{digest}")


class _Hashing:
    """Hashes a blob as it arrives, up to one byte more than its size."""

    def __init__(self, blob: Blob) -> None:
        self._digest, self._most = blob
        self._hasher = self._digest.hasher()
        self._held = bytearray()
        self.size = 0

    async def receive(self, chunk: bytes) -> bool:
        self._held += chunk
        self.size += len(chunk)
        if len(self._held) >= PIECE:
            await self._hash()
        return self.size <= self._most

    async def finish(self) -> Digest:
        await self._hash()
        return Digest(self._digest.algorithm, self._hasher.hexdigest())

    async def _hash(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        await asyncio.to_thread(self._hasher.update, held)


def _loss(repository: str, blob: Blob, stated: Stated) -> str:
    digest, size = blob
    if not stated.is_there:
        return f"the registry accepted {digest} in {repository} and does not have it"
    found = "other content" if stated.size == size else f"{stated.size} of {size} bytes"
    return f"{repository}: the registry has {found} under {digest}; delete it there"


def _unread(response: Response) -> Stated:
    """Return the meaning of a response without content. Raises an error that may be temporary."""
    if response.status == 404:
        return ABSENT
    error: RegistryError = to_registry_error(response, datetime.now(UTC))
    if error.retryable and response.status != HTTPStatus.NOT_IMPLEMENTED:
        raise error
    return Stated(None)


def _length(response: Response) -> int | None:
    stated = response.header("content-length") or ""
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None
