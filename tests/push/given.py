"""What the tests of the push begin with: archives opened by the real reader, a registry in memory, events kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.archive import Archive, TarIndexer
from app.archive.formats import open_archive
from app.errors import Problem
from app.push import (
    BlobDone,
    BlobSent,
    Destination,
    Event,
    ImageChanged,
    ImageState,
    NoticeAdded,
    Outcome,
    Progress,
    PushOptions,
    PushPlan,
    apply_event,
    dry_run,
    execute,
    make_plan,
    start_progress,
)
from app.registry import Registry
from tests.support.fake_registry import FakeRegistry

LOCAL = Destination("default", "registry.local:5000")


@dataclass(slots=True)
class Memory:
    """A ReadAt over bytes that counts what is read."""

    data: bytes
    bytes_read: int = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.bytes_read += size
        assert offset + size <= len(self.data)
        return self.data[offset : offset + size]


def opened(tar: bytes) -> Archive:
    indexer = TarIndexer()
    indexer.feed(tar)
    return open_archive(indexer.finish(), Memory(tar))


def planned(*tars: bytes, destination: Destination = LOCAL, **options: str | Sequence[str]) -> PushPlan:
    """A plan with options as they are typed: `tag="team/app:1"`, `rename=["a=b:1"]`."""
    texts = {name: [value] if isinstance(value, str) else list(value) for name, value in options.items()}
    return make_plan([opened(tar) for tar in tars], PushOptions.parse(texts), destination)


@dataclass(slots=True)
class Run:
    plan: PushPlan
    events: list[Event] = field(default_factory=list)
    sources: list[Memory] = field(default_factory=list)

    @property
    def states(self) -> list[ImageState]:
        """The last state of every image."""
        return [self.last(number).state for number in range(len(self.plan.images))]

    def last(self, number: int = 0) -> ImageChanged:
        return [event for event in self.events if isinstance(event, ImageChanged) and event.image == number][-1]

    def problem(self, number: int = 0) -> Problem:
        problem = self.last(number).problem
        assert problem is not None
        return problem

    def outcomes(self, outcome: Outcome) -> list[BlobDone]:
        return [event for event in self.events if isinstance(event, BlobDone) and event.outcome is outcome]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, NoticeAdded)]

    @property
    def progress(self) -> Progress:
        meter = start_progress(Progress(), self.plan)
        for event in self.events:
            before = meter.progress
            meter = apply_event(meter, event)
            assert before.percent <= meter.progress.percent
            assert before.bytes_done <= meter.progress.bytes_done <= meter.progress.bytes_total
        return meter.progress

    @property
    def sent(self) -> list[BlobSent]:
        return [event for event in self.events if isinstance(event, BlobSent)]


def prepared(*tars: bytes, destination: Destination = LOCAL, **options: str | Sequence[str]) -> Run:
    return Run(planned(*tars, destination=destination, **options), sources=[Memory(tar) for tar in tars])


async def pushed(
    registry: FakeRegistry, *tars: bytes, destination: Destination = LOCAL, **options: str | Sequence[str]
) -> Run:
    run = prepared(*tars, destination=destination, **options)
    await execute(run.plan, run.sources, registry, run.events.append)
    return run


async def surveyed(
    registry: Registry, *tars: bytes, destination: Destination = LOCAL, **options: str | Sequence[str]
) -> Run:
    run = prepared(*tars, destination=destination, **options)
    await dry_run(run.plan, run.sources, registry, run.events.append)
    return run
