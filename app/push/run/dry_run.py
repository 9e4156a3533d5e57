"""Dry run: the content of the destination, and the bytes that a push would send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from app.archive.model import ReadAt
from app.errors import TarmacError
from app.push.plan.image_content import image_blobs
from app.push.plan.values import BlobStep, PushPlan
from app.push.report.events import BlobDone, Event, ImageState, NoticeAdded, Outcome
from app.push.report.transfer_sizes import Key, TransferSize, transfer_sizes_after
from app.push.run.image_states import ImageStates, known_root, state_of
from app.push.run.task_pool import PushResources, TaskPriority, task_pool
from app.push.run.unsent_content import UnsentContent
from app.registry import Registry


async def dry_run(
    plan: PushPlan,
    sources: Sequence[ReadAt],
    registry: Registry,
    emit: Callable[[Event], None],
    *,
    resources: PushResources | None = None,
) -> tuple[TransferSize, ...]:
    """Check the destination without changes.

    An image ends as PLANNED, or as ALREADY_PRESENT, SKIPPED or FAILED as in a push. A notice contains the total number
    of bytes to send; the return value has it per image. Blobs whose digest is only known after compression count as to
    be sent.
    """
    resources = resources or PushResources()
    images = ImageStates(plan, emit, UnsentContent(plan, sources, resources))
    survey = _BlobSurvey(plan, images, registry, emit)
    try:
        async with task_pool(resources.workers) as pool:
            for number in filter(images.is_active, range(len(plan.images))):
                pool.add(TaskPriority.IMAGE, partial(images.check_destination, number, registry))
            await pool.idle()
            for step in survey.needed():
                pool.add(TaskPriority.TRANSFER, partial(survey.ask, step))
            await pool.idle()
    except asyncio.CancelledError:
        images.cancel()
        raise
    return survey.conclude()


class _BlobSurvey:
    def __init__(self, plan: PushPlan, images: ImageStates, registry: Registry, emit: Callable[[Event], None]) -> None:
        self._plan = plan
        self._images = images
        self._registry = registry
        self._emit = emit
        self._to_send: dict[Key, int] = {}

    def needed(self) -> tuple[BlobStep, ...]:
        """Return the blobs of images that are at no destination yet.

        The blobs of an image at one destination can be mounted from there.
        """
        keys: set[object] = set()
        held: set[object] = set()
        for number, presence in self._images.presence.items():
            target = self._plan.images[number]
            found = image_blobs(self._plan.archives[target.archive], target.entry)
            (held if presence.held else keys).update((blob.key, blob.layer is not None) for blob in found)
        return tuple(step for step in self._plan.blobs if (step.key, step.layer is not None) in keys - held)

    async def ask(self, step: BlobStep) -> None:
        repository = step.repositories[0]
        try:
            is_present = step.layer is None and await self._registry.blob_exists(repository, step.key, step.extent.size)
        except TarmacError as error:
            self._emit(NoticeAdded(f"{step.what}: {error}"))
            is_present = False
        if is_present:
            self._emit(BlobDone(repository, step.key, Outcome.EXISTS, step.extent.size))
        else:
            self._to_send[step.key, step.layer is not None] = step.extent.size

    def conclude(self) -> tuple[TransferSize, ...]:
        for number, presence in sorted(self._images.presence.items()):
            state = state_of(presence) if presence.complete else ImageState.PLANNED
            self._images.end(number, state, known_root(self._plan.images[number], presence))
        size = sum(self._to_send.values())
        self._emit(NoticeAdded(f"a push would send {len(self._to_send)} blobs of {size} bytes (before compression)"))
        return transfer_sizes_after(self._plan, self._images.presence.keys(), self._to_send.keys())
