"""An upload is opened and planned once; its job uses that plan if it is still the same job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.jobs import Job, JobState, preparation
from app.jobs.uploads.kept_plans import MAX_KEPT_PLANS, KeptPlans, PlannedArchives
from app.push import PushOptions
from app.push.plan.open_archives import open_archives
from app.push.plan.planning import draft_plan
from tests.jobs.bench import APP, TWO, Bench, ended, upload
from tests.push import given
from tests.support.archives import docker_save, image, tagged


class Count:
    """How often a function is called."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function, self.calls = function, 0

    def __call__(self, *args: object, **more: object) -> object:
        self.calls += 1
        return self._function(*args, **more)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> tuple[Count, Count]:
    opened, planned = Count(open_archives), Count(draft_plan)
    monkeypatch.setattr(preparation, "open_archives", opened)
    monkeypatch.setattr(preparation, "draft_plan", planned)
    return opened, planned


@pytest.mark.parametrize("archive", [APP, TWO])
async def test_an_upload_is_opened_and_planned_once(bench: Bench, counts: tuple[Count, Count], archive: bytes) -> None:
    async with bench.service() as service:
        done = await ended(service, await upload(service, archive))
    assert done.state is JobState.SUCCEEDED
    assert [count.calls for count in counts] == [1, 1]


JOB = Job.new(JobState.QUEUED, datetime(2026, 1, 1, tzinfo=UTC))
PLAN = PlannedArchives((), given.planned(APP), ())


def test_a_plan_is_returned_once() -> None:
    plans = KeptPlans()
    plans.keep(JOB, PLAN)
    assert [plans.take(JOB), plans.take(JOB)] == [PLAN, None]


def test_a_plan_of_another_request_is_dropped() -> None:
    plans = KeptPlans()
    plans.keep(JOB, PLAN)
    assert plans.take(replace(JOB, options=PushOptions(prefix="other"))) is None
    assert plans.take(JOB) is None


def test_the_oldest_plans_are_dropped() -> None:
    plans = KeptPlans()
    jobs = [replace(JOB, id=f"job-{number}") for number in range(MAX_KEPT_PLANS + 2)]
    for job in jobs:
        plans.keep(job, PLAN)
    assert [plans.take(job) is not None for job in jobs] == [False, False] + [True] * MAX_KEPT_PLANS


def test_a_plan_that_is_too_large_is_not_kept() -> None:
    plans = KeptPlans(max_bytes=1)
    plans.keep(JOB, PLAN)
    assert plans.take(JOB) is None


def test_many_names_count() -> None:
    plans = KeptPlans(max_bytes=1 << 20)
    names = [f"team/app:{number}" for number in range(900)]
    planned = given.planned(docker_save([tagged(image({"a": b"1"}), *names), tagged(image({"a": b"2"}), "team/b:1")]))
    plans.keep(JOB, PlannedArchives((), planned, ()))
    plans.keep(replace(JOB, id="other"), PlannedArchives((), planned, ()))
    assert plans.take(JOB) is None, "two have more than 1 MiB"
