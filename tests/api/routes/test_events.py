"""`GET /events`: the changes of all jobs that the caller may see."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from app.jobs import Job, JobState
from app.jobs.tracking.feed import MAX_BATCH, MAX_PENDING, JobFeed
from tests.api.conftest import APP, OTHER, Served, serving
from tests.jobs.test_job import NOON
from tests.support.event_stream import reading

OWN, FOREIGN = "token-of-one", "token-of-two"


async def test_a_job_is_told_from_its_beginning_to_its_end(served: Served) -> None:
    async with reading(served.app, "/events") as events:
        assert await events.next() == ("reset", {})
        answer = await served.client.put("/push/app.tar", content=APP)
        job = answer.json()["id"]
        states = []
        while "succeeded" not in states:
            _, document = await events.next("job")
            assert (document["id"], document["images"]) == (job, [])
            states.append(document["state"])
        await served.client.delete(f"/jobs/{job}")
        assert await events.next("deleted") == ("deleted", {"id": job})


async def test_the_jobs_of_others_are_not_told(tmp_path: Path) -> None:
    lines = (
        f"{name}:{hashlib.sha256(token.encode()).hexdigest()}:push" for name, token in (("one", OWN), ("two", FOREIGN))
    )
    (tmp_path / "tokens").write_text("\n".join(lines))
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        own = {"Authorization": f"Bearer {OWN}"}
        async with reading(served.app, "/events", own) as events:
            for token, body in ((FOREIGN, OTHER), (OWN, APP)):
                fields = {"Authorization": f"Bearer {token}"}
                await served.client.put("/push/app.tar", content=body, headers=fields, params={"wait": 30})
            _, document = await events.next("job")
            assert document["submitted_by"] == "one"
        async with reading(served.app, "/events") as refused:
            assert refused.status == 401


def job(number: int, revision: int = 1) -> Job:
    return replace(Job(str(number), JobState.RUNNING, NOON), revision=revision)


async def test_of_each_job_the_newest_state_is_told_once() -> None:
    feed = JobFeed()
    for revision in range(1, 50):
        feed.put(job(1, revision))
    changes = await feed.next()
    assert [item.revision for item in changes.jobs] == [49]
    assert not changes.is_incomplete


async def test_a_reader_that_is_far_behind_lists_the_jobs_anew() -> None:
    feed = JobFeed()
    for number in range(MAX_PENDING + 1):
        feed.put(job(number))
    changes = await feed.next()
    assert (changes.jobs, changes.is_incomplete) == ((), True)


async def test_many_changes_are_taken_in_batches() -> None:
    feed = JobFeed()
    for number in range(MAX_BATCH + 1):
        feed.put(job(number))
    assert len((await feed.next()).jobs) == MAX_BATCH
    assert len((await feed.next()).jobs) == 1


async def test_a_job_that_was_deleted_unseen_is_told_to_those_who_see_all() -> None:
    bound, whole = JobFeed("one"), JobFeed()
    for feed in (bound, whole):
        feed.put_deleted("1", None)
        feed.put_deleted("2", job(2))
    bound.mark_incomplete()
    assert (await bound.next()).deleted == ()
    assert (await whole.next()).deleted == ("1", "2")
