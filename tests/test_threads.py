"""Work that a request's text makes never takes the threads that everything else needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.threads import PLANNING_THREADS, FairThreads, hash_in_thread, plan_in_thread, resolving


class Blocker:
    """Work that ends when it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self._end = threading.Event()

    def __call__(self) -> None:
        self.begun += 1
        self._end.wait()

    def let_go(self) -> None:
        self._end.set()


@pytest.fixture
async def blocker() -> AsyncIterator[Blocker]:
    made = Blocker()
    yield made
    made.let_go()


async def test_one_token_takes_one_planning_thread(blocker: Blocker) -> None:
    greedy = [asyncio.create_task(plan_in_thread("greedy", blocker)) for _ in range(PLANNING_THREADS * 5)]
    await asyncio.sleep(0)
    assert await plan_in_thread("other", lambda: "planned") == "planned"
    assert blocker.begun == 1
    blocker.let_go()
    await asyncio.gather(*greedy)


async def test_the_share_that_has_used_the_least_is_next() -> None:
    now, order = [0.0], list[str]()
    threads = FairThreads(lambda: now[0])
    threads._used = {"greedy": (9.0, 0.0), "idle": (0.5, 0.0)}
    gate = threading.Event()
    first = threads.start("other", gate.wait)
    threads._used["other"] = (1.0, 0.0)
    waiting = [threads.start(share, partial(order.append, share)) for share in ("greedy", "greedy", "idle", "new")]
    await waiting[-1]
    assert order == ["new"], "the second thread is for shares that have used little"
    gate.set()
    await asyncio.gather(first, *waiting)
    assert order[:2] == ["new", "idle"]
    now[0] = 10_000.0
    assert threads._seconds("greedy") == pytest.approx(0.0)


async def test_what_work_raises_is_raised_and_the_next_begins() -> None:
    def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await plan_in_thread("one", broken)
    assert await plan_in_thread("one", lambda: "planned") == "planned"


async def test_what_is_cancelled_before_its_turn_is_never_begun(blocker: Blocker) -> None:
    first = asyncio.create_task(plan_in_thread("one", blocker))
    second = asyncio.create_task(plan_in_thread("one", blocker))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    blocker.let_go()
    await first
    assert blocker.begun == 1


async def test_planning_that_hangs_stops_neither_files_nor_hashing(blocker: Blocker) -> None:
    hanging = [asyncio.create_task(plan_in_thread(f"token {n}", blocker)) for n in range(PLANNING_THREADS * 3)]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: "read") == "read"
    assert await hash_in_thread(lambda: "hashed") == "hashed"
    blocker.let_go()
    await asyncio.gather(*hanging)


async def test_names_that_do_not_resolve_take_no_thread_that_others_need(blocker: Blocker) -> None:
    loop = asyncio.get_running_loop()
    hanging = [loop.run_in_executor(resolving(), blocker) for _ in range(100)]
    assert await asyncio.to_thread(lambda: "read") == "read"
    assert await loop.run_in_executor(resolving(), lambda: "resolved") == "resolved"
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "resolve"), "nobody waits for them"
    for future in hanging:
        future.cancel()


async def test_what_breaks_while_a_name_is_resolved_is_raised() -> None:
    with pytest.raises(OSError, match="no such name"):
        await asyncio.get_running_loop().run_in_executor(resolving(), _fail)


def _fail() -> None:
    raise OSError("no such name")
