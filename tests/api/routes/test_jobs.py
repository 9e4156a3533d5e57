"""Looking at jobs: pages, waiting, watching, cancelling, trying again, deleting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message

from app.api import event_stream
from app.api.context import ApiContext
from app.api.routes.jobs import job_events, wait_while_connected
from app.jobs import Job
from tests.api.conftest import APP, Served


async def pushed(served: Served, query: str = "") -> dict[str, Any]:
    job: dict[str, Any] = (await served.client.post(f"/push?wait=30{query}", content=APP)).json()
    return job


def events_of(text: str) -> list[tuple[str, int, Any]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], int(lines["id"]), json.loads(lines["data"])))
    return found


async def receiving(served: Served) -> tuple[asyncio.Task[Any], asyncio.Event, dict[str, Any]]:
    """An upload that stops in its middle until the event is set, and its job."""
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield APP[:512]
        begun.set()
        await go_on.wait()
        yield APP[512:]

    headers = {"Content-Length": str(len(APP))}
    task = asyncio.create_task(served.client.post("/push", content=body(), headers=headers))
    await asyncio.wait_for(begun.wait(), 30)
    page = (await served.client.get("/jobs?state=receiving")).json()
    return task, go_on, page["jobs"][0]


async def test_no_status_request_waits_for_a_thread(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are busy with layers; a plain function among the dependencies of a route is run in one."""
    job = await pushed(served)

    async def run_sync(call: object, *_: object, **__: object) -> None:
        raise AssertionError(f"{call} is run in a thread")

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)
    for path in ("/healthz", "/readyz", "/jobs?limit=5", f"/jobs/{job['id']}", f"/jobs/{job['id']}?wait=1"):
        assert (await served.client.get(path)).status_code == 200


async def test_jobs_come_newest_first_in_pages(served: Served) -> None:
    made = [(await pushed(served))["id"] for _ in range(3)]
    first = (await served.client.get("/jobs?limit=2")).json()
    rest = (await served.client.get("/jobs", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == made[::-1]
    assert rest["next_cursor"] is None


async def test_jobs_are_found_by_state_and_label(served: Served) -> None:
    mine = await pushed(served, "&label=team=a")
    await pushed(served, "&label=team=b")
    found = (await served.client.get("/jobs?label=team=a&state=succeeded")).json()["jobs"]
    assert [job["id"] for job in found] == [mine["id"]]
    assert (await served.client.get("/jobs?state=failed")).json()["jobs"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "state=done", "cursor=zzz", "label=x"])
async def test_a_wrong_question_for_jobs_is_422(served: Served, query: str) -> None:
    answer = await served.client.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_job_that_is_not_there_is_404_for_every_verb(served: Served) -> None:
    client = served.client
    for answer in (
        await client.get("/jobs/none"),
        await client.get("/jobs/none/events"),
        await client.post("/jobs/none/cancel"),
        await client.post("/jobs/none/retry"),
        await client.delete("/jobs/none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_ended_job_is_answered_at_once_whatever_the_wait(served: Served) -> None:
    job = await pushed(served)
    assert (await served.client.get(f"/jobs/{job['id']}?wait=3600")).json() == job
    assert (await served.client.get(f"/jobs/{job['id']}?wait=never")).status_code == 422


async def test_the_job_can_be_watched_from_the_first_byte_of_its_upload(served: Served) -> None:
    task, go_on, job = await receiving(served)
    assert job["state"] == "receiving"
    assert job["progress"]["bytes_expected"] == len(APP)
    assert (await served.client.get(f"/jobs/{job['id']}?wait=0.01")).json()["state"] == "receiving"
    go_on.set()
    assert (await task).status_code == 202
    assert (await served.ended(job))["state"] == "succeeded"


async def test_a_job_can_be_cancelled_while_its_archive_is_received(served: Served) -> None:
    task, go_on, job = await receiving(served)
    answer = await served.client.post(f"/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    go_on.set()
    assert (await task).status_code == 409
    assert served.spooled() == []
    assert (await served.client.post(f"/jobs/{job['id']}/cancel")).status_code == 409


async def test_an_ended_job_can_be_deleted_once(served: Served) -> None:
    job = await pushed(served)
    assert (await served.client.delete(f"/jobs/{job['id']}")).status_code == 204
    assert (await served.client.delete(f"/jobs/{job['id']}")).status_code == 404
    assert served.spooled() == []


async def test_a_job_that_succeeded_is_not_tried_again(served: Served) -> None:
    job = await pushed(served)
    answer = await served.client.post(f"/jobs/{job['id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_events_tell_the_document_and_then_the_end(served: Served) -> None:
    job = await pushed(served)
    answer = await served.client.get(f"/jobs/{job['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    (first, revision, document), (last, _, end) = events_of(answer.text)
    assert (first, last) == ("job", "end")
    assert document == job
    assert end == {"id": job["id"], "state": "succeeded"}
    again = await served.client.get(f"/jobs/{job['id']}/events", headers={"Last-Event-ID": str(revision)})
    assert [event[0] for event in events_of(again.text)] == ["end"]


@pytest.mark.parametrize("last", ["x", "-1", "9" * 19])
async def test_an_event_id_is_one_of_ours(served: Served, last: str) -> None:
    answer = await served.client.get("/jobs/x/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def context_of(served: Served) -> ApiContext:
    context = served.app.state.context
    assert isinstance(context, ApiContext)
    return context


async def test_a_watcher_of_a_quiet_job_gets_comments(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.001)
    task, go_on, job = await receiving(served)
    async with aclosing(job_events(context_of(served), job["id"], None)) as events:
        async for event in events:
            if event.startswith(b":"):
                break
    go_on.set()
    await task


async def test_watchers_are_let_go_when_the_service_stops(served: Served) -> None:
    task, go_on, job = await receiving(served)
    events = job_events(context_of(served), job["id"], None)
    told = [await anext(events), await anext(events)]
    context_of(served).stopping.set()
    told += [event async for event in events if not event.startswith(b":")]
    assert b"event: end" not in b"".join(told)
    go_on.set()
    await task


async def test_who_waits_and_goes_away_is_waited_for_no_longer(served: Served) -> None:
    task, go_on, job = await receiving(served)
    messages: list[Message] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    request = Request({"type": "http"}, receive)
    present: Job = await context_of(served).service.get(job["id"])
    assert (await wait_while_connected(request, context_of(served), (present, 3600.0))).id == job["id"]
    go_on.set()
    await task
