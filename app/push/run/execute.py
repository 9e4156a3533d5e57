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
    as_lost,
    blob_transfers,
    mark_present_blobs,
    missing_digests,
)
from app.push.run.image_states import ImageStates, state_of
from app.push.run.manifest_push import ManifestPusher
from app.push.run.task_pool import Bounded, PushResources, TaskPool, TaskPriority, task_pool
from app.push.run.unsent_content import UnsentContent
from app.registry import Registry

MOST_PUBLISHED = 3  # images of one repository at once: while a manifest of one is stored, others are checked


async def execute(
    plan: PushPlan,
    sources: Sequence[ReadAt],
    registry: Registry,
    emit: Callable[[Event], None],
    *,
    lanes: PushResources | None = None,
) -> None:
    """Push everything.

    `sources` are the archives of the plan, in order. `emit` is called on the event loop and must not block.

    Every image ends with an ImageChanged, also on cancellation (CANCELLED, then CancelledError is raised again). An
    error of the archive or the registry ends the images that need the failed content. Any other exception is a bug.
    """
    lanes = lanes or PushResources()
    images = ImageStates(plan, emit, UnsentContent(plan, sources, lanes))
    landings = blob_transfers(plan)
    publisher = ManifestPusher(plan, registry, landings, lanes.turns, emit)
    recollection = PlanBlobCache.of_plan(lanes.memory, plan)
    supply = BlobSources(plan, sources, (lanes.transfer,), recollection, decoders=lanes.decoders)
    run = _PushRun(plan, images, BlobPusher(supply, registry, emit), publisher, landings)
    try:
        async with task_pool(lanes.workers) as crew:
            for number in filter(images.is_active, range(len(plan.images))):
                crew.add(TaskPriority.IMAGE, partial(images.check_destination, number, registry))
            await crew.idle()
            if any(map(images.is_active, images.presence)):
                await supply.recollection.ask(plan.blobs)
            run.begin(crew)
            await crew.idle()
    except asyncio.CancelledError:
        images.cancel()
        raise
    finally:
        await supply.recollection.flush()


class _PushRun:
    def __init__(
        self,
        plan: PushPlan,
        images: ImageStates,
        carrier: BlobPusher,
        publisher: ManifestPusher,
        landings: Mapping[Key, BlobTransfer],
    ) -> None:
        self._plan = plan
        self._images = images
        self._carrier = carrier
        self._publisher = publisher
        self._landings = landings
        self._left = [0] * len(plan.images)  # blobs times repositories that an image still waits for
        self._step = 0  # logical clock: was a blob sent again before or after an image was published?
        self._published_at = [0] * len(plan.images)
        self._stored_again: set[int] = set()  # images whose manifests are stored again

    def begin(self, crew: TaskPool) -> None:
        self._crew = crew
        self._publishing = Bounded(crew, TaskPriority.IMAGE, MOST_PUBLISHED)
        keys = {number: self._keys(number) for number in self._images.presence}
        for number, presence in self._images.presence.items():
            target = self._plan.images[number]
            mark_present_blobs(self._landings, keys[number], target, presence, self._carrier.recollection)
        for number, presence in sorted(self._images.presence.items()):
            if self._images.is_active(number):
                landings = [self._landings[key] for key in keys[number]]
                self._await(number, [(landing, place) for landing in landings for place in presence.to_fill])
        for landing in self._landings.values():
            for repository in landing.step.repositories:
                if repository in landing.placed:
                    self._carrier.report(landing, repository, Outcome.EXISTS)
            self._dispatch(landing)

    def _next_step(self) -> int:
        self._step += 1
        return self._step

    def _keys(self, number: int) -> tuple[Key, ...]:
        target = self._plan.images[number]
        found = image_blobs(self._plan.archives[target.archive], target.entry)
        return tuple((content.key, content.layer is not None) for content in found)

    def _await(self, number: int, places: Sequence[tuple[BlobTransfer, str]]) -> None:
        for landing, repository in places:
            if repository not in landing.placed:
                landing.waiting.setdefault(repository, []).append(number)
                self._left[number] += 1
        if not self._left[number]:
            self._publish(number)

    def _dispatch(self, landing: BlobTransfer) -> None:
        """Send the blob to its first repository alone, then mount it into the others.

        Never run two transfers for one repository.
        """
        repositories = [place for place in landing.waiting if self._wanted(landing, place)]
        can_mount = landing.mount_source is not None
        rank = TaskPriority.MOUNT if can_mount else TaskPriority.TRANSFER
        for repository in repositories if can_mount else repositories[:1]:
            if repository not in landing.under_way:
                landing.under_way.add(repository)
                self._crew.add(rank, partial(self._bring, landing, repository))

    def _wanted(self, landing: BlobTransfer, repository: str) -> list[int]:
        return [number for number in landing.waiting.get(repository, ()) if self._images.is_active(number)]

    async def _bring(self, landing: BlobTransfer, repository: str) -> None:
        waiting = self._wanted(landing, repository)
        if waiting:
            for number in waiting:
                self._images.start(number)
            try:
                await self._carrier.ensure_present(landing, repository)
            except TarmacError as error:
                self._fail(landing, repository, error)
            else:
                if repository in landing.resent:
                    landing.resent[repository] = self._next_step()
                self._arrived(landing, repository)
        landing.under_way.discard(repository)
        landing.waiting.pop(repository, None)
        self._dispatch(landing)

    def _arrived(self, landing: BlobTransfer, repository: str) -> None:
        for number in landing.waiting[repository]:
            self._left[number] -= 1
            if not self._left[number] and self._images.is_active(number):
                self._publish(number)

    def _fail(self, landing: BlobTransfer, repository: str, error: TarmacError) -> None:
        """Fail the waiting images. A registry may reject one repository only; wrong content is wrong everywhere."""
        refused = (repository,) if isinstance(error, RegistryError) else tuple(landing.waiting)
        for item in refused:
            for number in landing.waiting[item]:
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
            root = await self._publisher.push_image(target, presence)
        except TarmacError as error:
            lost = missing_digests(error)
            gone = [] if lost is None else self._gone(number, lost)
            if lost is None or (lost and not gone):  # not sent by this push
                self._images.fail(number, error)
            elif not self._send_again(number, gone):
                self._images.fail(number, as_lost(error) if isinstance(error, RegistryRejected) else error)
        else:
            self._images.end(number, state_of(presence), root)

    def _gone(self, number: int, lost: frozenset[str]) -> list[tuple[BlobTransfer, str]]:
        """Return the blobs of the image that the registry has lost, with their repositories.

        Those that other images found lost are included.
        """
        presence = self._images.presence[number]
        places = dict.fromkeys((*repositories(presence.missing), *presence.to_fill))
        landings = [self._landings[key] for key in self._keys(number)]
        return [
            (landing, place)
            for landing in landings
            for place in places
            if place not in landing.placed or str(landing.placed[place][0]) in lost
        ]

    def _send_again(self, number: int, gone: Sequence[tuple[BlobTransfer, str]]) -> bool:
        """Send the blobs in `gone` again, and return whether the image is then published once more.

        A blob is sent again to a repository once, for all images that miss it there. If `gone` is empty, the manifests
        are stored again once.
        """
        began = self._published_at[number]
        if any((landing.resent.get(place) or began) < began for landing, place in gone):
            return False
        if not gone and number in self._stored_again:
            return False
        if not gone:
            self._stored_again.add(number)
        for landing, place in gone:
            if place not in landing.under_way and landing.resent.get(place) is None:
                landing.mark_lost(place)
        presence = self._images.presence[number]
        self._publisher.forget_repositories((*repositories(presence.missing), *presence.to_fill))
        self._await(number, [(landing, place) for landing, place in gone])
        for landing, _ in gone:
            self._dispatch(landing)
        return True
