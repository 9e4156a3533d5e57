"""`percent` never falls: whatever is told of a push, whichever replica is asked, whoever dies and takes over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.errors import Conflict, RegistryUnreachable, Unavailable
from app.jobs import Job, JobState, JobTracker
from app.jobs.outage import pause_for_outage, recover_running, requeue_on_shutdown, reset_failed_images, resumed
from app.jobs.serialization import dump_job, load_job
from app.jobs.store.memory import MemoryJobStore
from app.push import (
    BlobDone,
    BlobSent,
    Event,
    ImageChanged,
    ImageState,
    Outcome,
    PushPlan,
    apply_event,
    start_progress,
    with_received,
)
from app.push.report.events import SentEarly
from app.push.report.progress import ProgressTracker
from tests.push.given import planned
from tests.support.archives import docker_save, image, tagged

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLANS = [
    planned(docker_save([tagged(image({"a": b"1"}, {"b": b"2"}), "app:1", "other:1")])),
    planned(docker_save([tagged(image({"a": b"1" * size}, label=f"{size}"), f"app{size}:1") for size in (1, 9_000)])),
]
PLACES = st.sampled_from(["app", "other", "app1"])
KEYS = st.sampled_from([step.key for plan in PLANS for step in plan.blobs])
COUNTS = st.integers(0, 30_000)
EVENTS = st.one_of(
    st.builds(BlobSent, PLACES, KEYS, COUNTS, st.integers(-100, 30_000)),
    st.builds(BlobDone, PLACES, KEYS, st.sampled_from(Outcome), COUNTS),
    st.builds(SentEarly, COUNTS, st.integers(0, 2)),
    st.builds(ImageChanged, st.just(0), st.sampled_from(ImageState)),
)


class Rows(MemoryJobStore):
    """Rows as a database has them, which may not answer."""

    is_away = False

    async def save(self, job: Job, over: Job | None = None) -> bool:
        if self.is_away:
            raise Unavailable("no database")
        return await super().save(load_job(json.loads(json.dumps(dump_job(job)))), over)


class Silence:
    async def subscribe(self, told: Callable[[str | None], None]) -> None:
        await asyncio.Event().wait()


class Life(RuleBasedStateMachine):
    """One job, two processes at most that show it, and a client that asks now one and now the other. `is_shared`: they
    are replicas; else one process comes after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = Rows()
        self.job_id = ""
        self.meter: ProgressTracker | None = None
        self.seen = 0.0
        self.bytes_received = 0

    def teardown(self) -> None:
        self.loop.close()

    @initialize(is_shared=st.booleans())
    def start(self, is_shared: bool) -> None:
        self.is_shared = is_shared
        self.owner, self.other = self.process(), self.process()
        job = self.loop.run_until_complete(self.owner.add(Job.new(JobState.RECEIVING, NOW)))
        self.job_id = job.id

    def process(self) -> JobTracker:
        return JobTracker(self.store, Silence() if self.is_shared else None)

    @property
    def row(self) -> Job:
        return self.store._jobs[self.job_id]

    def is_in(self, state: JobState) -> bool:
        return self.row.state is state

    def change(self, tracker: JobTracker, make: Callable[[Job], Job]) -> None:
        try:
            self.loop.run_until_complete(tracker.transition(self.job_id, make))
        except (Conflict, Unavailable):
            return

    @rule(size=st.integers(0, 5_000), expected=st.sampled_from([None, 20_000]))
    def receive(self, size: int, expected: int | None) -> None:
        if self.is_in(JobState.RECEIVING):
            self.bytes_received += size
            count = self.bytes_received
            self.owner.update_progress(
                self.job_id, lambda job: replace(job, progress=with_received(job.progress, count, expected))
            )

    @rule()
    def queue(self) -> None:
        if self.is_in(JobState.RECEIVING):
            self.change(self.owner, lambda job: job.transition_to(JobState.QUEUED))

    @rule(plan=st.sampled_from(PLANS))
    def run(self, plan: PushPlan) -> None:
        if not self.is_in(JobState.QUEUED):
            return
        self.change(self.owner, lambda job: job.transition_to(JobState.RUNNING, starts=1))
        if self.is_in(JobState.RUNNING):
            job = self.loop.run_until_complete(self.owner.newest(self.job_id))
            self.meter = start_progress(job.progress, plan)
            self.show()

    @rule(events=st.lists(EVENTS, max_size=5))
    def push(self, events: list[Event]) -> None:
        if self.meter is not None and self.is_in(JobState.RUNNING):
            for event in events:
                self.meter = apply_event(self.meter, event)
                self.show()

    def show(self) -> None:
        assert self.meter is not None
        progress = self.meter.progress
        self.owner.update_progress(self.job_id, lambda job: replace(job, progress=progress))

    @rule()
    def save(self) -> None:
        self.loop.run_until_complete(self.owner._save(self.job_id))

    @rule(is_away=st.booleans())
    def lose_or_find_the_database(self, is_away: bool) -> None:
        self.store.is_away = is_away

    @rule()
    def meet_an_outage(self) -> None:
        problem = RegistryUnreachable("no route").problem
        if self.is_in(JobState.RUNNING):
            self.change(self.owner, lambda job: pause_for_outage(job, problem, NOW, NOW - NOW))

    @rule()
    def stop_in_order(self) -> None:
        if self.is_in(JobState.RUNNING):
            self.change(self.owner, requeue_on_shutdown)

    @rule(succeeds=st.booleans())
    def end(self, succeeds: bool) -> None:
        if self.is_in(JobState.RUNNING):
            state = JobState.SUCCEEDED if succeeds else JobState.FAILED
            self.change(self.owner, lambda job: job.transition_to(state, finished_at=NOW))

    @rule()
    def retry(self) -> None:
        if self.is_in(JobState.FAILED):
            again = {"attempt": self.row.attempt + 1, "images": reset_failed_images(self.row.images)}
            self.change(
                self.other if self.is_shared else self.owner, lambda job: job.transition_to(JobState.QUEUED, **again)
            )
        elif self.is_in(JobState.QUEUED):
            self.change(self.owner, lambda job: resumed(job, NOW))

    @precondition(lambda self: self.job_id)
    @rule()
    def die_and_be_succeeded(self) -> None:
        """kill -9: what was not stored is gone. The other one takes the job, a new process comes beside it."""
        self.store.is_away = False
        self.owner, self.other, self.meter = (self.other if self.is_shared else self.process()), self.process(), None
        if self.is_in(JobState.RUNNING):
            self.change(self.owner, lambda job: recover_running(job, NOW))
        elif self.is_in(JobState.RECEIVING):
            self.owner.track(self.row)

    @invariant()
    def a_client_never_sees_less(self) -> None:
        if not self.job_id:
            return
        for tracker in (self.owner, self.other) if self.is_shared else (self.owner,):
            shown = self.loop.run_until_complete(tracker.get(self.job_id)).progress.percent
            assert shown >= self.seen
            self.seen = shown


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_percent_never_falls = Life.TestCase


@given(st.lists(st.lists(EVENTS, max_size=15), max_size=4), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_further_attempt_begins_where_the_last_one_came_to(attempts: list[list[Event]], uploaded: bool) -> None:
    progress = with_received(Job.new(JobState.RUNNING, NOW).progress, 500 * uploaded, 1000)
    for number, events in enumerate(attempts):
        meter = start_progress(progress, PLANS[number % len(PLANS)])
        assert meter.progress.percent >= progress.percent
        assert meter.progress.bytes_sent == progress.bytes_sent
        for event in events:
            meter = apply_event(meter, event)
        progress = load_job(dump_job(replace(Job.new(JobState.RUNNING, NOW), progress=meter.progress))).progress
        assert progress.percent == meter.progress.percent
