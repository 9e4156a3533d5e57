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
    unproven    the repositories in `placed` if only a manifest there says which blob the layer became
    under_way   the repositories that it is being sent to
    resent      repository -> the step of the run at which it was sent again, None until then
    counted     its source bytes are already in the progress
    checked     its bytes in the archive have been verified, or it is too large for a read without sending
    lost        a registry reported this blob as present and then as missing: it is sent without asking
    """

    step: BlobStep
    waiting: dict[str, list[int]] = field(default_factory=dict)
    placed: dict[str, Blob] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    under_way: set[str] = field(default_factory=set)
    resent: dict[str, int | None] = field(default_factory=dict)
    counted: bool = False
    checked: bool = False
    lost: Digest | None = None

    def mark_lost(self, repository: str) -> None:
        blob = self.placed.pop(repository, None)
        self.lost = self.lost if blob is None else blob[0]
        self.resent[repository] = None

    @property
    def mount_source(self) -> tuple[str, Blob] | None:
        """Return a repository that is known to have the blob."""
        return next((there for there in self.placed.items() if there[0] not in self.unproven), None)

    def place(self, repository: str, blob: Blob) -> None:
        """Record that `repository` has the content as `blob`."""
        self.placed[repository] = blob
        self.unproven.discard(repository)


def missing_digests(error: TarmacError) -> frozenset[str] | None:
    """Return the digests that a registry has lost (empty: it has lost the manifest), or None for other errors."""
    if isinstance(error, RegistryLost):
        return frozenset(error.blobs)
    return frozenset(error.missing) if isinstance(error, RegistryRejected) and error.missing else None


def as_lost(error: RegistryRejected) -> RegistryLost:
    """Return the error for blobs that the registry accepted twice and still misses."""
    names = ", ".join(error.missing[:MAX_NAMED])
    return RegistryLost(f"{error}. The registry accepted {names} twice and does not have it", blobs=error.missing)


def blob_transfers(plan: PushPlan) -> dict[Key, BlobTransfer]:
    """Return the transfers by key and kind.

    The key of a docker layer is a DiffID, which may also be the digest of an uncompressed blob.
    """
    return {(step.key, step.layer is not None): BlobTransfer(step) for step in plan.blobs}


def mark_present_blobs(
    landings: Mapping[Key, BlobTransfer],
    keys: Sequence[Key],
    target: ImageTarget,
    presence: DestinationState,
    recollection: PlanBlobCache,
) -> None:
    """Record the blobs `keys` as present in repositories that have the image.

    Registries accept no manifest without its blobs. But anyone with push rights to a repository can make the manifest
    there, and it alone says which blob a layer of a docker archive became. Other repositories use such a blob only if
    `recollection` knows it, too.
    """
    root = target.entry.root
    for repository, manifest in presence.held.items():
        if repository in presence.bare:
            continue  # the blobs of its referrers are unknown
        layers: dict[Digest, Blob] = {}
        if isinstance(root, DockerImage) and manifest is not None:
            layers = {layer.diff_id: blob for layer, blob in zip(root.layers, layer_descriptors(manifest), strict=True)}
        for key in keys:
            landing = landings[key]
            blob = layers[key[0]] if key[1] else (key[0], landing.step.extent.size)
            landing.place(repository, blob)
            if key[1] and not recollection.proves(landing.step, blob[0]):
                landing.unproven.add(repository)


@dataclass(frozen=True, slots=True)
class BlobSources:
    """The sources of a plan's blobs, and the knowledge about them.

    `lanes` are acquired while a blob is read and sent. With a `word`, no blob is committed before it is set, and none
    is kept in memory until then. `ready` is as in `iterate_in_threads`.
    """

    plan: PushPlan
    sources: Sequence[ReadAt]
    lanes: tuple[SemaphoreLike, ...]
    recollection: PlanBlobCache
    word: CommitSignal | None = None
    ready: Ready | None = None
    decoders: DecoderMemory = field(default_factory=DecoderMemory)

    async def open(self, step: BlobStep) -> BlobReader:
        if step.inline is not None:
            return ArchivedBlob(BlobExtent(InlineBytes(step.inline), step.extent, step.what), step.key)
        source = BlobExtent(self.sources[step.archive], step.extent, step.what)
        if step.layer is not None:
            small = SMALL if self.word is None else 0
            return await open_layer(source, step.layer, self.plan.layer_compression, small, self.decoders)
        return ArchivedBlob(source, step.key)


class BlobPusher:
    """Makes blobs available in repositories in the cheapest way: present, mounted, or sent."""

    def __init__(self, supply: BlobSources, registry: Registry, emit: Callable[[Event], None]) -> None:
        self._supply = supply
        self._registry = registry
        self._emit = emit

    @property
    def recollection(self) -> PlanBlobCache:
        return self._supply.recollection

    async def ensure_present(self, landing: BlobTransfer, repository: str) -> None:
        """Make the blob present. Raises the errors of the archive and the registry; `landing` is then unchanged."""
        with SpareSession() as spare:
            outcome, blob = await self._without_sending(landing, repository, spare)
            if outcome is None:
                absent = landing.lost or (blob and blob[0])
                async with SlotLease(*self._supply.lanes) as berth:
                    outcome, blob = await self._send(landing, repository, absent, berth, spare)
        assert blob is not None
        if outcome is not Outcome.PUSHED and not landing.checked:
            await self._check_small(landing.step)
        landing.checked = True
        landing.place(repository, blob)
        await self._supply.recollection.learn(landing.step, blob, repository)
        if landing.lost is None:  # otherwise it was already reported
            self.report(landing, repository, outcome)

    async def _without_sending(
        self, landing: BlobTransfer, repository: str, spare: SpareSession
    ) -> tuple[Outcome | None, Blob | None]:
        """Return the outcome and the blob, or no outcome if it must be sent, with the blob that was not found, if
        any.
        """
        if landing.lost is not None:
            return None, None
        there = landing.mount_source
        if there is not None:
            return await self._reuse(repository, *there, spare), there[1]
        known = self._supply.recollection.of(landing.step)
        if known is None:
            return None, None
        blob = (known.digest, known.size)
        return await self._reuse(repository, known.repository, blob, spare), blob

    async def _check_small(self, step: BlobStep) -> None:
        """Raise DigestMismatch if a small blob is wrong in the archive, even if the registry has the right one.

        The result for such an archive then does not depend on the content of the registry.
        """
        if step.layer is None and step.extent.size <= MAX_CHECKED_BYTES:
            await read_whole((await self._supply.open(step)).pieces(), ready=self._supply.ready)

    def report(self, landing: BlobTransfer, repository: str, outcome: Outcome) -> None:
        """Report the blob as present; its source counts once."""
        size = 0 if landing.counted else landing.step.extent.size
        landing.counted = True
        self._emit(BlobDone(repository, landing.step.key, outcome, size))

    async def _reuse(self, repository: str, holder: str, blob: Blob, spare: SpareSession) -> Outcome | None:
        """Reuse a stored blob, by one request if mounts work.

        Return None if it must be sent; `spare` may then contain a session.
        """
        if holder != repository and self._supply.word is not None:
            await self._supply.word.wait()  # a mount commits the blob
        if holder != repository and await self._registry.mount_blob(repository, blob[0], holder, blob[1], spare):
            return Outcome.MOUNTED
        return Outcome.EXISTS if await self._registry.blob_exists(repository, *blob) else None

    async def _reuse_stored(
        self, step: BlobStep, repository: str, content: BlobReader, berth: SlotLease, spare: SpareSession
    ) -> Outcome | None:
        """Reuse a stored blob like `_reuse`, for a layer whose digest is known now that it is open."""
        known = await self._supply.recollection.of_blob(step, _blob_of(content)[0])
        if known is None or known.repository == repository:
            return None
        if self._supply.word is not None:
            berth.release()
        return await self._reuse(repository, known.repository, _blob_of(content), spare)

    async def _send(
        self, landing: BlobTransfer, repository: str, absent: Digest | None, berth: SlotLease, spare: SpareSession
    ) -> tuple[Outcome, Blob]:
        """Send a blob; `absent` is known to be missing there."""
        content = await self._supply.open(landing.step)
        key = landing.step.key
        if content.digest not in {None, absent}:
            outcome = await self._reuse_stored(landing.step, repository, content, berth, spare)
            if outcome is not None:
                return outcome, _blob_of(content)

        def report(position: int, sent: int) -> None:
            self._emit(BlobSent(repository, key, 0 if landing.counted else position, sent))

        is_known = content.digest is not None and content.digest != absent
        waits = SendConditions(berth, self._supply.word, self._supply.ready)
        sending = BlobUpload(content, report, waits, may_be_there=is_known, spare=spare)
        try:
            blob = await self._registry.push_blob(repository, sending)
            return Outcome.EXISTS if sending.was_there else Outcome.PUSHED, blob
        finally:
            await sending.release()


def _blob_of(content: BlobReader) -> Blob:
    assert content.digest is not None
    assert content.size is not None
    return content.digest, content.size
