from __future__ import annotations

import asyncio

from app.registry.distribution.rate_limit import MAX_CONCURRENCY, MIN_CONCURRENCY, RateLimits, RequestThrottle
from tests.support.lapse import Lapse


async def enter(
    throttle: RequestThrottle, count: int, inside: list[int], leave: asyncio.Event
) -> list[asyncio.Task[None]]:
    async def one(number: int) -> None:
        async with throttle.slot():
            inside.append(number)
            await leave.wait()

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_registry_that_is_too_busy_is_asked_half_as_much_at_once() -> None:
    throttle, inside, leave = RequestThrottle(pause=Lapse().pause), list[int](), asyncio.Event()
    tasks = await enter(throttle, 12, inside, leave)
    throttle.record_response(0, slow_down=True)
    assert throttle.concurrency == 6
    throttle.record_response(0, slow_down=True)  # one of those that were under way already
    assert throttle.concurrency == 6
    leave.set()
    await asyncio.gather(*tasks)
    leave.clear()
    inside.clear()
    tasks = await enter(throttle, 12, inside, leave)
    assert len(inside) == 6
    leave.set()
    await asyncio.gather(*tasks)
    assert len(inside) == 12


async def test_the_gate_never_closes_quite_and_opens_slowly() -> None:
    throttle = RequestThrottle(pause=Lapse().pause)
    for _ in range(9):
        async with throttle.slot() as ticket:
            throttle.record_response(ticket, slow_down=True)
    assert throttle.concurrency == MIN_CONCURRENCY
    good = 0
    while throttle.concurrency < MAX_CONCURRENCY:
        async with throttle.slot() as ticket:
            throttle.record_response(ticket, slow_down=False)
        good += 1
    assert good == sum(range(MIN_CONCURRENCY, MAX_CONCURRENCY))
    async with throttle.slot() as ticket:
        throttle.record_response(ticket, slow_down=False)
    assert throttle.concurrency == MAX_CONCURRENCY


async def test_a_retry_after_holds_everybody_but_who_cleans_up() -> None:
    lapse = Lapse()
    throttle = RequestThrottle(pause=lapse.pause)
    async with throttle.slot() as ticket:
        throttle.record_response(ticket, slow_down=True, retry_after=17.0)
        throttle.record_response(ticket, slow_down=True, retry_after=3.0)
    async with throttle.slot(urgent=True):
        assert lapse.now == 0
    async with throttle.slot():
        assert lapse.now == 17.0


async def test_nobody_is_held_for_more_than_five_minutes_at_once() -> None:
    lapse = Lapse()
    throttle = RequestThrottle(pause=lapse.pause)
    async with throttle.slot() as ticket:
        throttle.record_response(ticket, slow_down=True, retry_after=1e9)
    async with throttle.slot():
        assert lapse.now == 300.0


async def test_requests_are_spread_over_the_time() -> None:
    lapse = Lapse()
    throttle = RequestThrottle(RateLimits(requests_per_second=4), lapse.pause)
    for _ in range(9):
        async with throttle.slot():
            pass
    assert lapse.now == 2.0


async def test_bytes_are_spread_over_the_time_in_small_slices() -> None:
    lapse = Lapse()
    throttle = RequestThrottle(RateLimits(bytes_per_second=1000_000), lapse.pause)
    assert throttle.byte_quantum == 250_000
    assert RequestThrottle(RateLimits(bytes_per_second=1)).byte_quantum == 4096
    assert RequestThrottle().byte_quantum is None
    for _ in range(5):
        await throttle.spend(250_000)
    assert lapse.now == 1.0


async def test_whoever_waits_may_be_cancelled() -> None:
    throttle, inside, leave = RequestThrottle(pause=Lapse().pause), list[int](), asyncio.Event()
    tasks = await enter(throttle, MAX_CONCURRENCY + 3, inside, leave)
    assert len(inside) == MAX_CONCURRENCY
    for task in tasks[MAX_CONCURRENCY:]:
        task.cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with throttle.slot():
        pass
