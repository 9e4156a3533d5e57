"""Whose turn it is: time, priority, fair share, order."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from app.jobs.queue import QueueSchedule
from app.jobs.queue.fair_queue import FairQueue
from app.jobs.queue.local import LocalJobQueue
from tests.jobs.queue.test_local import Work, turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DUE = 3600.0


def order(waiting: FairQueue, now: float = 0.0) -> str:
    """One at a time, each ended before the next."""
    taken = []
    while (job_id := waiting.pop(now, ())) is not None:
        taken.append(job_id)
        waiting.release(job_id)
    return "".join(taken)


def filled(**given: QueueSchedule) -> FairQueue:
    waiting = FairQueue()
    for job_id, schedule in given.items():
        waiting.put(job_id, schedule, DUE)
    return waiting


def test_the_highest_priority_goes_first_and_equals_in_order() -> None:
    assert (
        order(
            filled(
                a=QueueSchedule(),
                b=QueueSchedule(priority=5),
                c=QueueSchedule(),
                d=QueueSchedule(priority=5),
                e=QueueSchedule(priority=-1),
            )
        )
        == "bdace"
    )


def test_who_sends_many_does_not_keep_out_who_sends_one() -> None:
    many = {name: QueueSchedule(share="many") for name in "abcd"}
    assert order(filled(**many, z=QueueSchedule(share="one"))) == "azbcd"


def test_the_share_with_the_fewest_running_is_next() -> None:
    waiting = filled(
        a=QueueSchedule(share="x"), b=QueueSchedule(share="x"), c=QueueSchedule(share="y"), d=QueueSchedule(share="y")
    )
    assert [waiting.pop(0.0, ()) for _ in range(3)] == ["a", "c", "b"]
    waiting.release("c")
    waiting.put("e", QueueSchedule(share="x"))
    assert waiting.pop(0.0, ()) == "d"


def test_nothing_runs_before_its_time() -> None:
    waiting = filled(a=QueueSchedule(not_before=LATER), b=QueueSchedule())
    assert order(waiting) == "b"
    assert waiting.seconds_to_next(0.0) == DUE
    assert order(waiting, DUE) == "a"
    assert waiting.seconds_to_next(DUE) is None


def test_a_newer_turn_counts_and_the_same_one_keeps_its_place() -> None:
    waiting = filled(a=QueueSchedule(), b=QueueSchedule(), c=QueueSchedule(not_before=LATER))
    waiting.put("a", QueueSchedule())
    waiting.put("c", QueueSchedule())
    assert order(waiting) == "abc"
    waiting = filled(a=QueueSchedule())
    waiting.put("a", QueueSchedule(not_before=LATER), DUE)
    assert order(waiting) == ""
    waiting.discard("a")
    assert waiting.seconds_to_next(0.0) is None


def test_a_busy_job_waits_while_others_pass() -> None:
    assert filled(a=QueueSchedule(), b=QueueSchedule()).pop(0.0, {"a"}) == "b"


def test_taking_one_of_many_costs_a_step_for_each_share() -> None:
    waiting = FairQueue()
    for number in range(20_000):
        waiting.put(str(number), QueueSchedule(share=str(number % 10)))
    began = time.process_time()
    for _ in range(500):
        job_id = waiting.pop(0.0, ())
        assert job_id is not None
        waiting.release(job_id)
    assert time.process_time() - began < 0.5


async def test_the_queue_wakes_up_when_a_time_has_come() -> None:
    now, work = 0.0, Work()
    queue = LocalJobQueue(1, lambda: NOW, lambda: now)
    await queue.start(work.run)
    await queue.put("a", QueueSchedule(not_before=NOW + timedelta(milliseconds=1)))
    await turns()
    assert work.began == []
    now = DUE
    while not work.began:
        await asyncio.sleep(0)
    await queue.put("b", QueueSchedule(not_before=LATER))
    await work.finish("a")
    assert work.began == ["a"]
    await queue.stop(0)
