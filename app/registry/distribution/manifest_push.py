"""The requests that store manifests: one at a time for each repository, over all jobs of the process.

Pulp moves the blobs of a manifest from one place to another while it makes a tag. A manifest that shares some of them
and comes meanwhile finds them in neither, and is refused; more than one tag at a time fills its queue of tasks. Other
repositories go on beside it."""

from __future__ import annotations

from datetime import UTC, datetime

from app.errors import ArchiveError, RegistryFault, RegistryRejected, with_hint
from app.net.backoff import TimeSource
from app.net.cancellation import finish_or_cancel
from app.net.client import Request
from app.net.response import Response
from app.oci import Descriptor, parse_manifest
from app.oci.media_types import NON_DISTRIBUTABLE
from app.registry.distribution.digest_headers import compare
from app.registry.distribution.endpoints import expect
from app.registry.distribution.hints import hint_of_manifest
from app.registry.distribution.manifest_lock import ManifestTurn, ManifestTurns
from app.registry.distribution.responses import read_complaint, to_registry_error
from app.registry.uploads.stored_blobs import StoredBlobs

SETTLING_SECONDS = 0.5  # and up to as long again, before a manifest is sent again that lacks what the registry has
MOST_IN_VAIN = 3  # manifests of a repository in a row that it refused again; then its first answer is enough
_LACKS = frozenset({"MANIFEST_INVALID", "BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})


class ManifestPuts:
    """To one registry."""

    def __init__(self, stored: StoredBlobs, turns: ManifestTurns, pause: TimeSource) -> None:
        self._stored, self._endpoint, self._turns, self._pause = stored, stored.endpoint, turns, pause

    async def put(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> Response:
        """Return the answer of a registry that has taken the manifest. Raises RegistryError."""
        descriptor, raw = manifest
        call = Request(
            "PUT",
            await self._endpoint.url(repository, f"manifests/{reference}"),
            {"Content-Type": descriptor.media_type},
            body=raw,
            read_timeout=self._endpoint.settings.timeouts.manifest,
        )
        turn = self._turns.at(repository)
        missing: tuple[str, ...] = ()
        async with turn.lock:
            reply = await self._send(call, repository)
            if _lacks_blobs(reply):
                missing, reply = await self._send_again(turn, call, repository, (reply, manifest))
        try:
            expect(reply, frozenset({200, 201, 202}))
        except (RegistryFault, RegistryRejected) as error:
            if reply.status in {400, 500}:
                error.args = (with_hint(str(error), hint_of_manifest(descriptor, raw)),)
            if isinstance(error, RegistryRejected):
                error.missing = error.missing or missing
            raise
        compare(reply, descriptor.digest, raw)
        return reply

    async def _send(self, call: Request, repository: str) -> Response:
        """Cut off, it may be carried out all the same, after somebody was told that nothing is pushed any more."""
        sending = self._endpoint.send(call, repository)
        return await finish_or_cancel(sending, lambda: True, self._endpoint.settings.timeouts.cleanup)

    async def _send_again(
        self, turn: ManifestTurn, call: Request, repository: str, refused: tuple[Response, tuple[Descriptor, bytes]]
    ) -> tuple[tuple[str, ...], Response]:
        """After a pause, unless blobs are not there: these, and the answer that counts."""
        reply, manifest = refused
        if turn.in_vain < MOST_IN_VAIN:
            await self._pause.sleep(SETTLING_SECONDS * (1 + self._pause.chance()))
        missing = await self._missing(repository, manifest)
        if missing or turn.in_vain >= MOST_IN_VAIN:
            return missing, reply
        reply = await self._send(call, repository)
        turn.in_vain = turn.in_vain + 1 if _lacks_blobs(reply) else 0
        return (), reply

    async def _missing(self, repository: str, manifest: tuple[Descriptor, bytes]) -> tuple[str, ...]:
        """The blobs that a registry lacks which may not name them."""
        try:
            parsed = parse_manifest(manifest[1], manifest[0])
        except ArchiveError:
            return ()
        wanted = {blob for blob in parsed.blobs if not blob.urls and blob.media_type not in NON_DISTRIBUTABLE}
        return tuple(
            [str(blob.digest) for blob in wanted if not await self._stored.has(repository, blob.digest, blob.size)]
        )


def _lacks_blobs(reply: Response) -> bool:
    """Whether a manifest may have been refused because of its blobs, which were seen there just before."""
    if reply.status not in {400, 404} or read_complaint(reply.body).code not in _LACKS:
        return False
    error = to_registry_error(reply, datetime.now(UTC))
    return not (isinstance(error, RegistryRejected) and error.media_type_refused)
