"""LocalJobQueue: order, bound, cancel, stop."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from app.jobs.queue import QueueSchedule, local
from app.jobs.queue.local import LocalJobQueue


class Work:
    """Runs that end when they are told to."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.stubborn = False

    async def run(self, job_id: str) -> None:
        self.began.append(job_id)
        gate = self.gates[job_id] = asyncio.Event()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            if not self.stubborn:
                raise
            await gate.wait()
        finally:
            self.ended.append(job_id)

    async def finish(self, job_id: str) -> None:
        self.gates[job_id].set()
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_jobs_run_in_order_and_so_many_at_a_time() -> None:
    queue, work = LocalJobQueue(2), Work()
    for job_id in "abcd":
        await queue.put(job_id)
    await turns()
    assert work.began == [], "nothing runs before the start"
    await queue.start(work.run)
    await turns()
    assert work.began == ["a", "b"]
    await work.finish("b")
    assert work.began == ["a", "b", "c"]
    await queue.stop(0)
    assert work.began == ["a", "b", "c"]


async def test_a_token_begins_though_the_jobs_of_another_take_all_places() -> None:
    queue, work = LocalJobQueue(2), Work()
    await queue.start(work.run)
    for job_id in ("a1", "a2", "a3"):
        await queue.put(job_id, QueueSchedule(share="a"))
    await turns()
    assert work.began == ["a1", "a2"]
    for job_id, share in (("b1", "b"), ("b2", "b"), ("c1", "c")):
        await queue.put(job_id, QueueSchedule(share=share))
    await turns()
    assert work.began == ["a1", "a2", "b1"]  # one more than two, and only one
    await work.finish("a1")
    assert work.began == ["a1", "a2", "b1", "c1"]
    await work.finish("a2")
    assert work.began == ["a1", "a2", "b1", "c1", "a3"]
    await work.finish("c1")
    assert work.began == ["a1", "a2", "b1", "c1", "a3"]  # two run, and b has one of them
    await queue.stop(0)


async def test_a_waiting_job_is_not_taken_twice() -> None:
    queue, work = LocalJobQueue(1), Work()
    await queue.start(work.run)
    for job_id in ("a", "b", "b"):
        await queue.put(job_id)
    await turns()
    await work.finish("a")
    await work.finish("b")
    assert work.began == ["a", "b"]
    await queue.stop(0)


async def test_a_job_put_while_it_runs_runs_again_afterwards() -> None:
    queue, work = LocalJobQueue(2), Work()
    await queue.start(work.run)
    await queue.put("a")
    await turns()
    await queue.put("a")
    await turns()
    assert work.began == ["a"]
    await work.finish("a")
    assert work.began == ["a", "a"]
    await queue.stop(0)


async def test_cancel_takes_out_what_waits_and_ends_what_runs() -> None:
    queue, work = LocalJobQueue(1), Work()
    await queue.start(work.run)
    await queue.put("a")
    await queue.put("b")
    await turns()
    await queue.cancel("b")
    await queue.cancel("a")
    assert work.ended == ["a"]
    await turns()
    assert work.began == ["a"]
    await queue.cancel("nothing")
    await queue.stop(0)


async def test_cancel_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CANCEL_SECONDS", 0)
    queue, work = LocalJobQueue(1), Work()
    work.stubborn = True
    await queue.start(work.run)
    await queue.put("a")
    await turns()
    await queue.cancel("a")
    assert work.ended == []
    await turns()
    await work.finish("a")
    assert work.ended == ["a"]
    await queue.stop(0)


async def test_stop_lets_a_job_end_within_its_grace() -> None:
    queue, work = LocalJobQueue(1), Work()
    await queue.start(work.run)
    await queue.put("a")
    await queue.put("b")
    await turns()
    stopping = asyncio.create_task(queue.stop(30))
    await turns()
    assert not stopping.done()
    await work.finish("a")
    await stopping
    assert (work.began, work.ended) == (["a"], ["a"])


async def test_a_run_that_breaks_is_logged_and_makes_room() -> None:
    seen = []

    async def run(job_id: str) -> None:
        seen.append(job_id)
        raise ValueError(job_id)

    queue = LocalJobQueue(1)
    with capture_logs() as logs:
        await queue.start(run)
        await queue.put("a")
        await queue.put("b")
        await turns()
    assert seen == ["a", "b"]
    assert [log["job"] for log in logs] == ["a", "b"]
    await queue.stop(0)
