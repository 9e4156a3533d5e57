"""A PushPlan becomes Events: the order of everything that is done at the destination.

1. every image: is it there already? Then it ends, and what it holds can be mounted from there
2. every blob that is still needed: sent to the first repository that needs it, mounted into the others
3. an image whose blobs are all there: its manifests, its names; it ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app.archive.model import ReadAt
from app.errors import RegistryError, TarmacError
from app.push.crew import Crew, Lanes, Rank, crew_of
from app.push.events import Event, Outcome
from app.push.graph import contents, repositories
from app.push.images import Images, state_of
from app.push.landing import Carrier, Key, Landing, Supply, landings_of, lost_content, place_held
from app.push.memory import Recollection
from app.push.plan import PushPlan
from app.push.publish import Publisher
from app.registry import Registry

MOST_RESENDS = 2  # of an image: a registry that has lost its manifest may have lost its blobs, and says so one by one


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
    landings = landings_of(plan)
    publisher = Publisher(plan, registry, landings, lanes.turns, emit)
    supply = Supply(plan, sources, (lanes.transfer,), Recollection.of_plan(lanes.memory, plan))
    run = _Run(plan, images, Carrier(supply, registry, emit), publisher, landings)
    try:
        async with crew_of(lanes.workers) as crew:
            for number in range(len(plan.images)):
                crew.add(Rank.IMAGE, partial(images.look, number, registry))
            await crew.idle()
            if any(map(images.open, images.presence)):
                await supply.recollection.ask(plan.blobs)
            run.begin(crew)
            await crew.idle()
    except asyncio.CancelledError:
        images.cancel()
        raise
    finally:
        await supply.recollection.flush()


class _Run:
    def __init__(
        self,
        plan: PushPlan,
        images: Images,
        carrier: Carrier,
        publisher: Publisher,
        landings: Mapping[Key, Landing],
    ) -> None:
        self._plan = plan
        self._images = images
        self._carrier = carrier
        self._publisher = publisher
        self._landings = landings
        self._left = [0] * len(plan.images)  # places that an image still waits for
        self._resent = [0] * len(plan.images)

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
            if not self._send_again(number, lost_content(error)):
                self._images.fail(number, error)
        else:
            self._images.end(number, state_of(presence), root)

    def _send_again(self, number: int, lost: frozenset[str] | None) -> bool:
        """Whether the image is on its way once more, with those of its blobs that the registry has `lost`."""
        if lost is None or self._resent[number] >= MOST_RESENDS:
            return False
        presence = self._images.presence[number]
        filled = dict.fromkeys((*repositories(presence.missing), *presence.to_fill))
        gone = [
            (key, place)
            for key in self._keys(number)
            for place in filled
            if place not in self._landings[key].placed or str(self._landings[key].placed[place][0]) in lost
        ]
        if lost and not gone:  # nothing that this push has brought
            return False
        self._resent[number] += 1
        self._publisher.forget(filled)
        for key, place in gone:
            self._landings[key].lose(place)
        self._await(number, gone)
        for key in dict.fromkeys(key for key, _ in gone):
            self._dispatch(self._landings[key])
        return True
