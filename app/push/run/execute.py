"""Execution of a PushPlan as Events: the order of all operations at the destination.

1. Every image: is it present? Then it ends, and its blobs can be mounted from there.

2. Every blob that is still needed: sent to the first repository that needs it, mounted into the others.

3. An image whose blobs are all present: its manifests, then its tags; it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app.archive.model import ReadAt
from app.errors import RegistryError, RegistryRejected, TarmacError
from app.push.blob_cache.cache import PlanBlobCache
from app.push.plan.image_content import image_blobs, repositories
from app.push.plan.values import PushPlan
from app.push.report.events import Event, Outcome
from app.push.run.blob_transfer import (
    BlobPusher,
    BlobSources,
    BlobTransfer,
    Key,
    blob_transfers,
    mark_present_blobs,
    missing_digests,
    to_lost_error,
)
from app.push.run.image_states import ImageStates, state_of
from app.push.run.manifest_push import ManifestPusher
from app.push.run.task_pool import Bounded, PushResources, TaskPool, TaskPriority, task_pool
from app.push.run.unsent_content import UnsentContent
from app.registry import Registry

MAX_PUBLISHED = 3  # images of one repository at once: while a manifest of one is stored, others are checked


async def execute(
    plan: PushPlan,
    sources: Sequence[ReadAt],
    registry: Registry,
    emit: Callable[[Event], None],
    *,
    resources: PushResources | None = None,
) -> None:
    """Push everything.

    `sources` are the archives of the plan, in order. `emit` is called on the event loop and must not block.

    Every image ends with an ImageChanged, also on cancellation (CANCELLED, then CancelledError is raised again). An
    error of the archive or the registry ends the images that need the failed content. Any other exception is a bug.
    """
    resources = resources or PushResources()
    images = ImageStates(plan, emit, UnsentContent(plan, sources, resources))
    transfers = blob_transfers(plan)
    manifest_pusher = ManifestPusher(plan, registry, transfers, resources.tag_locks, emit)
    cache = PlanBlobCache.of_plan(resources.blob_cache, plan)
    blob_sources = BlobSources(plan, sources, (resources.transfer_slots,), cache, decoders=resources.decoders)
    run = _PushRun(plan, images, BlobPusher(blob_sources, registry, emit), manifest_pusher, transfers)
    try:
        async with task_pool(resources.workers) as pool:
            for number in filter(images.is_active, range(len(plan.images))):
                pool.add(TaskPriority.IMAGE, partial(images.check_destination, number, registry))
            await pool.idle()
            if any(map(images.is_active, images.presence)):
                await blob_sources.cache.ask(plan.blobs)
            run.begin(pool)
            await pool.idle()
    except asyncio.CancelledError:
        images.cancel()
        raise
    finally:
        await blob_sources.cache.flush()


class _PushRun:
    def __init__(
        self,
        plan: PushPlan,
        images: ImageStates,
        pusher: BlobPusher,
        manifest_pusher: ManifestPusher,
        transfers: Mapping[Key, BlobTransfer],
    ) -> None:
        self._plan = plan
        self._images = images
        self._pusher = pusher
        self._manifest_pusher = manifest_pusher
        self._transfers = transfers
        self._left = [0] * len(plan.images)  # blobs times repositories that an image still waits for
        self._step = 0  # logical clock: was a blob sent again before or after an image was published?
        self._published_at = [0] * len(plan.images)
        self._stored_again: set[int] = set()  # images whose manifests are stored again

    def begin(self, pool: TaskPool) -> None:
        self._pool = pool
        self._publishing = Bounded(pool, TaskPriority.IMAGE, MAX_PUBLISHED)
        keys = {number: self._keys(number) for number in self._images.presence}
        for number, presence in self._images.presence.items():
            target = self._plan.images[number]
            mark_present_blobs(self._transfers, keys[number], target, presence, self._pusher.cache)
        for number, presence in sorted(self._images.presence.items()):
            if self._images.is_active(number):
                transfers = [self._transfers[key] for key in keys[number]]
                self._wait_for(
                    number, [(transfer, destination) for transfer in transfers for destination in presence.to_fill]
                )
        for transfer in self._transfers.values():
            for repository in transfer.step.repositories:
                if repository in transfer.present:
                    self._pusher.report(transfer, repository, Outcome.EXISTS)
            self._dispatch(transfer)

    def _next_step(self) -> int:
        self._step += 1
        return self._step

    def _keys(self, number: int) -> tuple[Key, ...]:
        target = self._plan.images[number]
        found = image_blobs(self._plan.archives[target.archive], target.entry)
        return tuple((content.key, content.layer is not None) for content in found)

    def _wait_for(self, number: int, needed: Sequence[tuple[BlobTransfer, str]]) -> None:
        for transfer, repository in needed:
            if repository not in transfer.present:
                transfer.waiting.setdefault(repository, []).append(number)
                self._left[number] += 1
        if not self._left[number]:
            self._publish(number)

    def _dispatch(self, transfer: BlobTransfer) -> None:
        """Send the blob to its first repository alone, then mount it into the others.

        Never run two transfers for one repository.
        """
        repositories = [destination for destination in transfer.waiting if self._wanted(transfer, destination)]
        can_mount = transfer.mount_source is not None
        rank = TaskPriority.MOUNT if can_mount else TaskPriority.TRANSFER
        for repository in repositories if can_mount else repositories[:1]:
            if repository not in transfer.under_way:
                transfer.under_way.add(repository)
                self._pool.add(rank, partial(self._ensure_present, transfer, repository))

    def _wanted(self, transfer: BlobTransfer, repository: str) -> list[int]:
        return [number for number in transfer.waiting.get(repository, ()) if self._images.is_active(number)]

    async def _ensure_present(self, transfer: BlobTransfer, repository: str) -> None:
        waiting = self._wanted(transfer, repository)
        if waiting:
            for number in waiting:
                self._images.start(number)
            try:
                await self._pusher.ensure_present(transfer, repository)
            except TarmacError as error:
                self._fail(transfer, repository, error)
            else:
                if repository in transfer.resent:
                    transfer.resent[repository] = self._next_step()
                self._mark_arrived(transfer, repository)
        transfer.under_way.discard(repository)
        transfer.waiting.pop(repository, None)
        self._dispatch(transfer)

    def _mark_arrived(self, transfer: BlobTransfer, repository: str) -> None:
        for number in transfer.waiting[repository]:
            self._left[number] -= 1
            if not self._left[number] and self._images.is_active(number):
                self._publish(number)

    def _fail(self, transfer: BlobTransfer, repository: str, error: TarmacError) -> None:
        """Fail the waiting images. A registry may reject one repository only; wrong content is wrong everywhere."""
        refused = (repository,) if isinstance(error, RegistryError) else tuple(transfer.waiting)
        for item in refused:
            for number in transfer.waiting[item]:
                self._images.fail(number, error)

    def _publish(self, number: int) -> None:
        """Queue the image.

        Manifests of one repository are stored one after the other; other repositories do not wait.
        """
        repository = self._plan.images[number].destinations[0].repository
        self._publishing.add(repository, partial(self._finish, number))

    async def _finish(self, number: int) -> None:
        target, presence = self._plan.images[number], self._images.presence[number]
        self._images.start(number)
        self._published_at[number] = self._next_step()
        try:
            root = await self._manifest_pusher.push_image(target, presence)
        except TarmacError as error:
            lost = missing_digests(error)
            lost_blobs = [] if lost is None else self._find_lost_blobs(number, lost)
            if lost is None or (lost and not lost_blobs):  # not sent by this push
                self._images.fail(number, error)
            elif not self._send_again(number, lost_blobs):
                self._images.fail(number, to_lost_error(error) if isinstance(error, RegistryRejected) else error)
        else:
            self._images.end(number, state_of(presence), root)

    def _find_lost_blobs(self, number: int, lost: frozenset[str]) -> list[tuple[BlobTransfer, str]]:
        """Return the blobs of the image that the registry has lost, with their repositories.

        Those that other images found lost are included.
        """
        presence = self._images.presence[number]
        needed = dict.fromkeys((*repositories(presence.missing), *presence.to_fill))
        transfers = [self._transfers[key] for key in self._keys(number)]
        return [
            (transfer, destination)
            for transfer in transfers
            for destination in needed
            if destination not in transfer.present or str(transfer.present[destination][0]) in lost
        ]

    def _send_again(self, number: int, lost_blobs: Sequence[tuple[BlobTransfer, str]]) -> bool:
        """Send the blobs in `lost_blobs` again, and return whether the image is then published once more.

        A blob is sent again to a repository once, for all images that miss it there. If `lost_blobs` is empty, the
        manifests are stored again once.
        """
        began = self._published_at[number]
        if any((transfer.resent.get(destination) or began) < began for transfer, destination in lost_blobs):
            return False
        if not lost_blobs and number in self._stored_again:
            return False
        if not lost_blobs:
            self._stored_again.add(number)
        for transfer, destination in lost_blobs:
            if destination not in transfer.under_way and transfer.resent.get(destination) is None:
                transfer.mark_lost(destination)
        presence = self._images.presence[number]
        self._manifest_pusher.forget_repositories((*repositories(presence.missing), *presence.to_fill))
        self._wait_for(number, [(transfer, destination) for transfer, destination in lost_blobs])
        for transfer, _ in lost_blobs:
            self._dispatch(transfer)
        return True
