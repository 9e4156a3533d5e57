"""What was left alone goes in time, and not because a clock was wrong for a while."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.jobs.resumable import LIFETIME
from app.jobs.retention.idle import SEEN_FOR, Idle
from tests.jobs.bench import Bench
from tests.jobs.resumable.test_early_resumable import HALF, append, at_work_early, begun, runtime_of

DAY = timedelta(days=1)
YEAR = timedelta(days=365).total_seconds()
HOUR = 3600.0
NOW = 1_800_000_000.0


class Watched:
    """Something that is looked at every hour."""

    def __init__(self, touched: float = NOW) -> None:
        self.touched, self.now, self.passed = touched, NOW, 0.0
        self.idle = Idle(lambda: self.passed)

    def is_over(self) -> bool:
        return self.idle.is_over("it", self.touched, self.now, DAY)

    def hours(self, count: float) -> list[bool]:
        seen = [self.is_over()]
        for _ in range(int(count)):
            self.now += HOUR
            self.passed += HOUR
            seen.append(self.is_over())
        return seen

    def restart(self) -> None:
        self.idle = Idle(lambda: self.passed)


def test_it_goes_after_its_time() -> None:
    assert Watched().hours(24) == [False] * 24 + [True]


def test_a_touch_begins_its_time_anew() -> None:
    watched = Watched()
    assert not any(watched.hours(23))
    watched.touched = watched.now
    assert watched.hours(24) == [False] * 24 + [True]


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_clock_that_is_wrong_for_a_while_lets_nothing_go(jump: float) -> None:
    watched = Watched()
    assert not any(watched.hours(1))
    watched.now += jump
    assert not any(watched.hours(4))
    watched.now -= jump
    assert watched.hours(19) == [False] * 19 + [True]


def test_a_start_with_a_clock_that_is_ahead_lets_nothing_go() -> None:
    watched = Watched()
    assert not any(watched.hours(2))
    watched.restart()
    watched.now += YEAR
    assert not any(watched.hours(SEEN_FOR / timedelta(hours=1) - 1))
    watched.restart()
    watched.now -= YEAR
    assert not any(watched.hours(10))


def test_what_is_old_at_a_start_goes_when_it_was_seen_for_a_while() -> None:
    hours = int(SEEN_FOR / timedelta(hours=1))
    assert Watched(touched=NOW - 2 * 86_400).hours(hours) == [False] * hours + [True]


def test_what_was_touched_by_a_clock_that_was_ahead_goes_after_its_time() -> None:
    assert Watched(touched=NOW + YEAR).hours(24) == [False] * 24 + [True]


def test_what_is_gone_is_forgotten() -> None:
    watched = Watched()
    watched.hours(23)
    watched.idle.keep(())
    assert not any(watched.hours(5))


def test_a_short_limit_is_not_made_longer() -> None:
    passed = 0.0
    idle = Idle(lambda: passed)
    assert not idle.is_over("it", NOW, NOW, timedelta(seconds=1))
    passed = 1.0
    assert idle.is_over("it", NOW, NOW + 1, timedelta(seconds=1))


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(days=-365)])
async def test_an_upload_outlives_a_clock_that_is_wrong(bench: Bench, jump: timedelta) -> None:
    runtime = replace(runtime_of(bench), elapsed=lambda: bench.passed)
    async with at_work_early(bench, runtime) as (_, resumable):
        upload = await begun(resumable)
        await append(resumable, upload, 0, HALF)
        now = datetime.now(UTC)
        for present in (now, now + jump, now):
            assert await resumable.sweeper.expire_uploads(present) == 0
            bench.let_pass(timedelta(hours=2))
        assert (await resumable.show(upload)).offset == HALF
        bench.let_pass(LIFETIME)
        assert await resumable.sweeper.expire_uploads(now) == 1
