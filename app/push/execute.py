"""A PushPlan becomes Events: the order of everything that is done at the destination.

1. every image: is it there already? Then it ends, and what it holds can be mounted from there
2. every blob that is still needed: sent to the first repository that needs it, mounted into the others
3. an image whose blobs are all there: its manifests, its names; it ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from app.archive.model import ReadAt
from app.errors import RegistryError, TarmacError
from app.push.crew import Crew, Lanes, Rank, crew_of
from app.push.events import Event, ImageState, Outcome
from app.push.graph import contents
from app.push.images import Images
from app.push.landing import Carrier, Key, Landing, Supply, landings_of, place_held
from app.push.plan import PushPlan
from app.push.publish import Publisher
from app.registry import Registry


async def execute(
    plan: PushPlan,
    sources: Sequence[ReadAt],
    registry: Registry,
    emit: Callable[[Event], None],
    *,
    lanes: Lanes | None = None,
) -> None:
    """Push everything. `sources` are the archives of the plan, in order; `emit` is called on the event loop and must
    not block.

    Every image ends with an ImageChanged, also when this is cancelled (CANCELLED, then CancelledError goes on): an
    error of the archive or the registry ends the images that need what failed. What is raised is a bug."""
    lanes = lanes or Lanes()
    images = Images(plan, emit)
    run = _Run(plan, images, Carrier(Supply(plan, sources, lanes.transfer), registry, emit), registry)
    try:
        async with crew_of(lanes.workers) as crew:
            for number in range(len(plan.images)):
                crew.add(Rank.IMAGE, partial(images.look, number, registry))
            await crew.idle()
            run.begin(crew)
            await crew.idle()
    except asyncio.CancelledError:
        images.cancel()
        raise


class _Run:
    def __init__(self, plan: PushPlan, images: Images, carrier: Carrier, registry: Registry) -> None:
        self._plan = plan
        self._images = images
        self._carrier = carrier
        self._landings = landings_of(plan)
        self._publisher = Publisher(plan, registry, self._landings)
        self._left = [0] * len(plan.images)  # places that an image still waits for

    def begin(self, crew: Crew) -> None:
        self._crew = crew
        keys = {number: self._keys(number) for number in self._images.presence}
        for number, presence in self._images.presence.items():
            place_held(self._landings, keys[number], self._plan.images[number], presence)
        for number, presence in sorted(self._images.presence.items()):
            if self._images.open(number):
                self._await(number, [(key, place) for key in keys[number] for place in presence.to_fill])
        for landing in self._landings.values():
            for repository in landing.step.repositories:
                if repository in landing.placed:
                    self._carrier.tell(landing, repository, Outcome.EXISTS)
            self._dispatch(landing)

    def _keys(self, number: int) -> tuple[Key, ...]:
        target = self._plan.images[number]
        found = contents(self._plan.archives[target.archive], target.entry)
        return tuple((content.key, content.layer is not None) for content in found)

    def _await(self, number: int, places: Sequence[tuple[Key, str]]) -> None:
        for key, repository in places:
            landing = self._landings[key]
            if repository not in landing.placed:
                landing.waiting.setdefault(repository, []).append(number)
                self._left[number] += 1
        if not self._left[number]:
            self._crew.add(Rank.IMAGE, partial(self._finish, number))

    def _dispatch(self, landing: Landing) -> None:
        """The first repository alone; the others when it is there, for then they are mounts."""
        repositories = [place for place in landing.waiting if self._wanted(landing, place)]
        if landing.placed:
            for repository in repositories:
                self._crew.add(Rank.MOUNT, partial(self._bring, landing, repository))
        elif repositories:
            self._crew.add(Rank.TRANSFER, partial(self._bring, landing, repositories[0]))

    def _wanted(self, landing: Landing, repository: str) -> list[int]:
        return [number for number in landing.waiting.get(repository, ()) if self._images.open(number)]

    async def _bring(self, landing: Landing, repository: str) -> None:
        waiting = self._wanted(landing, repository)
        alone = not landing.placed
        if waiting:
            for number in waiting:
                self._images.start(number)
            try:
                await self._carrier.carry(landing, repository)
            except TarmacError as error:
                self._fail(landing, repository, error)
            else:
                self._arrived(landing, repository)
        landing.waiting.pop(repository, None)
        if alone:
            self._dispatch(landing)

    def _arrived(self, landing: Landing, repository: str) -> None:
        for number in landing.waiting[repository]:
            self._left[number] -= 1
            if not self._left[number] and self._images.open(number):
                self._crew.add(Rank.IMAGE, partial(self._finish, number))

    def _fail(self, landing: Landing, repository: str, error: TarmacError) -> None:
        """A registry may refuse one repository only; wrong content is wrong everywhere."""
        refused = (repository,) if isinstance(error, RegistryError) else tuple(landing.waiting)
        for each in refused:
            for number in landing.waiting[each]:
                self._images.fail(number, error)

    async def _finish(self, number: int) -> None:
        target, presence = self._plan.images[number], self._images.presence[number]
        self._images.start(number)
        try:
            root = await self._publisher.publish(target, presence)
        except TarmacError as error:
            self._images.fail(number, error)
        else:
            self._images.end(number, ImageState.PUSHED, root)
