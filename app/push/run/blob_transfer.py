"""Transfer of each blob of a plan: its location, the images that wait for it, and its upload to further
repositories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.archive.model import DockerImage, ReadAt
from app.errors import RegistryLost, RegistryRejected, TarmacError
from app.oci import Digest
from app.push.blob_cache.cache import PlanBlobCache
from app.push.decoder_memory import DecoderMemory
from app.push.plan.docker_manifest import Blob, layer_descriptors
from app.push.plan.values import BlobStep, ImageTarget, PushPlan
from app.push.report.events import BlobDone, BlobSent, Event, Outcome
from app.push.run.blob_content import SMALL, ArchivedBlob, BlobReader, BlobUpload, open_layer, read_whole
from app.push.run.chunks import BlobExtent, InlineBytes
from app.push.run.presence import DestinationState
from app.push.run.slots import CommitSignal, Ready, SemaphoreLike, SendConditions, SlotLease
from app.registry import Registry
from app.registry.uploads.spare_session import SpareSession

Key = tuple[Digest, bool]
MAX_NAMED = 3  # digests in one message
MAX_CHECKED_BYTES = 64 << 10  # nearly every config; reading it is faster than the registry's response


@dataclass(slots=True)
class BlobTransfer:
    """One BlobStep during a run.

    waiting     repository -> the images that need it there
    placed      repository -> the blob as it is known there
    unproven    the repositories in `present` if only a manifest there says which blob the layer became
    under_way   the repositories that it is being sent to
    resent      repository -> the step of the run at which it was sent again, None until then
    counted     its source bytes are already in the progress
    checked     its bytes in the archive have been verified, or it is too large for a read without sending
    lost        a registry reported this blob as present and then as missing: it is sent without asking
    """

    step: BlobStep
    waiting: dict[str, list[int]] = field(default_factory=dict)
    present: dict[str, Blob] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    under_way: set[str] = field(default_factory=set)
    resent: dict[str, int | None] = field(default_factory=dict)
    counted: bool = False
    checked: bool = False
    lost: Digest | None = None

    def mark_lost(self, repository: str) -> None:
        blob = self.present.pop(repository, None)
        self.lost = self.lost if blob is None else blob[0]
        self.resent[repository] = None

    @property
    def mount_source(self) -> tuple[str, Blob] | None:
        """Return a repository that is known to have the blob."""
        return next((mount for mount in self.present.items() if mount[0] not in self.unproven), None)

    def place(self, repository: str, blob: Blob) -> None:
        """Record that `repository` has the content as `blob`."""
        self.present[repository] = blob
        self.unproven.discard(repository)


def missing_digests(error: TarmacError) -> frozenset[str] | None:
    """Return the digests that a registry has lost (empty: it has lost the manifest), or None for other errors."""
    if isinstance(error, RegistryLost):
        return frozenset(error.blobs)
    return frozenset(error.missing) if isinstance(error, RegistryRejected) and error.missing else None


def to_lost_error(error: RegistryRejected) -> RegistryLost:
    """Return the error for blobs that the registry accepted twice and still misses."""
    names = ", ".join(error.missing[:MAX_NAMED])
    return RegistryLost(f"{error}. The registry accepted {names} twice and does not have it", blobs=error.missing)


def blob_transfers(plan: PushPlan) -> dict[Key, BlobTransfer]:
    """Return the transfers by key and kind.

    The key of a docker layer is a DiffID, which may also be the digest of an uncompressed blob.
    """
    return {(step.key, step.layer is not None): BlobTransfer(step) for step in plan.blobs}


def mark_present_blobs(
    transfers: Mapping[Key, BlobTransfer],
    keys: Sequence[Key],
    target: ImageTarget,
    presence: DestinationState,
    cache: PlanBlobCache,
) -> None:
    """Record the blobs `keys` as present in repositories that have the image.

    Registries accept no manifest without its blobs. But anyone with push rights to a repository can make the manifest
    there, and it alone says which blob a layer of a docker archive became. Other repositories use such a blob only if
    `cache` knows it, too.
    """
    root = target.entry.root
    for repository, manifest in presence.held.items():
        if repository in presence.without_referrers:
            continue  # the blobs of its referrers are unknown
        layers: dict[Digest, Blob] = {}
        if isinstance(root, DockerImage) and manifest is not None:
            layers = {layer.diff_id: blob for layer, blob in zip(root.layers, layer_descriptors(manifest), strict=True)}
        for key in keys:
            transfer = transfers[key]
            blob = layers[key[0]] if key[1] else (key[0], transfer.step.extent.size)
            transfer.place(repository, blob)
            if key[1] and not cache.proves(transfer.step, blob[0]):
                transfer.unproven.add(repository)


@dataclass(frozen=True, slots=True)
class BlobSources:
    """The sources of a plan's blobs, and the knowledge about them.

    `slots` are acquired while a blob is read and sent. With a `commit_signal`, no blob is committed before it is set,
    and none is kept in memory until then. `ready` is as in `iterate_in_threads`.
    """

    plan: PushPlan
    sources: Sequence[ReadAt]
    slots: tuple[SemaphoreLike, ...]
    cache: PlanBlobCache
    commit_signal: CommitSignal | None = None
    ready: Ready | None = None
    decoders: DecoderMemory = field(default_factory=DecoderMemory)

    async def open(self, step: BlobStep) -> BlobReader:
        if step.inline is not None:
            return ArchivedBlob(BlobExtent(InlineBytes(step.inline), step.extent, step.what), step.key)
        source = BlobExtent(self.sources[step.archive], step.extent, step.what)
        if step.layer is not None:
            small = SMALL if self.commit_signal is None else 0
            return await open_layer(source, step.layer, self.plan.layer_compression, small, self.decoders)
        return ArchivedBlob(source, step.key)


class BlobPusher:
    """Makes blobs available in repositories in the cheapest way: present, mounted, or sent."""

    def __init__(self, sources: BlobSources, registry: Registry, emit: Callable[[Event], None]) -> None:
        self._sources = sources
        self._registry = registry
        self._emit = emit

    @property
    def cache(self) -> PlanBlobCache:
        return self._sources.cache

    async def ensure_present(self, transfer: BlobTransfer, repository: str) -> None:
        """Make the blob present. Raises the errors of the archive and the registry; `transfer` is then unchanged."""
        with SpareSession() as spare:
            outcome, blob = await self._without_sending(transfer, repository, spare)
            if outcome is None:
                absent = transfer.lost or (blob and blob[0])
                async with SlotLease(*self._sources.slots) as lease:
                    outcome, blob = await self._send(transfer, repository, absent, lease, spare)
        assert blob is not None
        if outcome is not Outcome.PUSHED and not transfer.checked:
            await self._check_small(transfer.step)
        transfer.checked = True
        transfer.place(repository, blob)
        await self._sources.cache.learn(transfer.step, blob, repository)
        if transfer.lost is None:  # otherwise it was already reported
            self.report(transfer, repository, outcome)

    async def _without_sending(
        self, transfer: BlobTransfer, repository: str, spare: SpareSession
    ) -> tuple[Outcome | None, Blob | None]:
        """Return the outcome and the blob, or no outcome if it must be sent, with the blob that was not found, if
        any.
        """
        if transfer.lost is not None:
            return None, None
        mount = transfer.mount_source
        if mount is not None:
            return await self._reuse(repository, *mount, spare), mount[1]
        known = self._sources.cache.of(transfer.step)
        if known is None:
            return None, None
        blob = (known.digest, known.size)
        return await self._reuse(repository, known.repository, blob, spare), blob

    async def _check_small(self, step: BlobStep) -> None:
        """Raise DigestMismatch if a small blob is wrong in the archive, even if the registry has the right one.

        The result for such an archive then does not depend on the content of the registry.
        """
        if step.layer is None and step.extent.size <= MAX_CHECKED_BYTES:
            await read_whole((await self._sources.open(step)).pieces(), ready=self._sources.ready)

    def report(self, transfer: BlobTransfer, repository: str, outcome: Outcome) -> None:
        """Report the blob as present; its source counts once."""
        size = 0 if transfer.counted else transfer.step.extent.size
        transfer.counted = True
        self._emit(BlobDone(repository, transfer.step.key, outcome, size))

    async def _reuse(self, repository: str, holder: str, blob: Blob, spare: SpareSession) -> Outcome | None:
        """Reuse a stored blob, by one request if mounts work.

        Return None if it must be sent; `spare` may then contain a session.
        """
        if holder != repository and self._sources.commit_signal is not None:
            await self._sources.commit_signal.wait()  # a mount commits the blob
        if holder != repository and await self._registry.mount_blob(repository, blob[0], holder, blob[1], spare):
            return Outcome.MOUNTED
        return Outcome.EXISTS if await self._registry.blob_exists(repository, *blob) else None

    async def _reuse_stored(
        self, step: BlobStep, repository: str, content: BlobReader, lease: SlotLease, spare: SpareSession
    ) -> Outcome | None:
        """Reuse a stored blob like `_reuse`, for a layer whose digest is known now that it is open."""
        known = await self._sources.cache.of_blob(step, _blob_of(content)[0])
        if known is None or known.repository == repository:
            return None
        if self._sources.commit_signal is not None:
            lease.release()
        return await self._reuse(repository, known.repository, _blob_of(content), spare)

    async def _send(
        self, transfer: BlobTransfer, repository: str, absent: Digest | None, lease: SlotLease, spare: SpareSession
    ) -> tuple[Outcome, Blob]:
        """Send a blob; `absent` is known to be missing there."""
        content = await self._sources.open(transfer.step)
        key = transfer.step.key
        if content.digest not in {None, absent}:
            outcome = await self._reuse_stored(transfer.step, repository, content, lease, spare)
            if outcome is not None:
                return outcome, _blob_of(content)

        def report(position: int, sent: int) -> None:
            self._emit(BlobSent(repository, key, 0 if transfer.counted else position, sent))

        is_known = content.digest is not None and content.digest != absent
        conditions = SendConditions(lease, self._sources.commit_signal, self._sources.ready)
        sending = BlobUpload(content, report, conditions, might_exist=is_known, spare=spare)
        try:
            blob = await self._registry.push_blob(repository, sending)
            return Outcome.EXISTS if sending.existed else Outcome.PUSHED, blob
        finally:
            await sending.release()


def _blob_of(content: BlobReader) -> Blob:
    assert content.digest is not None
    assert content.size is not None
    return content.digest, content.size
