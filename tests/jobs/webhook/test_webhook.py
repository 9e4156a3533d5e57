"""Whoever wants to know of ended jobs is told, at least once, and can tell who it was."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from app.errors import UnknownFormat
from app.jobs import Job, JobState, utc_now
from app.jobs.webhook import Outbox, Webhook, WebhookSettings, run_webhook, sign
from app.jobs.webhook.delivery import LONGEST_WAIT, PATIENCE
from app.jobs.webhook.outbox import MAX_WAITING
from tests.support.lapse import Lapse

SECRET = "whsec_" + base64.b64encode(b"known to both").decode()
SETTINGS = WebhookSettings("https://receiver.test/hook?of=tarmac", SECRET)


def ended(state: JobState = JobState.SUCCEEDED) -> Job:
    job = Job.new(JobState.QUEUED, utc_now()).transition_to(JobState.RUNNING)
    problem = None if state is JobState.SUCCEEDED else UnknownFormat("no archive").problem
    return job.transition_to(state, problem=problem, finished_at=utc_now())


@dataclass
class Receiver:
    """Answers with `answers` in turn, then with 204."""

    answers: list[int | Exception] = field(default_factory=list)
    got: list[httpx.Request] = field(default_factory=list)

    async def response(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.got.append(request)
        response = self.answers.pop(0) if self.answers else 204
        if isinstance(response, Exception):
            raise response
        return httpx.Response(response, headers={"location": "http://169.254.169.254/"})


def webhook(
    place: Path, receiver: Receiver, settings: WebhookSettings = SETTINGS, lapse: Lapse | None = None
) -> Webhook:
    transport = httpx.MockTransport(receiver.response)
    return Webhook(settings, Outbox(place), transport=transport, pause=(lapse or Lapse(seed=None)).pause)


async def told(hook: Webhook, job: Job) -> None:
    hook.enqueue(job)
    await hook.write_outbox()


def now_of(place: Path) -> float:
    return max(path.stat().st_mtime for path in place.iterdir())


async def test_an_ended_job_is_told_with_its_document_and_a_signature(tmp_path: Path) -> None:
    receiver, job = Receiver(), ended()
    hook = webhook(tmp_path / "box", receiver)
    await told(hook, job)
    assert await hook.deliver(1_800_000_000) is None
    (request,) = receiver.got
    assert str(request.url) == SETTINGS.url
    document = json.loads(request.content)
    assert (document["type"], document["data"]["id"]) == ("job.succeeded", job.id)
    signed = f"{job.id}-1.1800000000.".encode() + request.content
    mac = base64.b64encode(hmac.new(b"known to both", signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-id"] == f"{job.id}-1"
    assert request.headers["webhook-timestamp"] == "1800000000"
    assert request.headers["webhook-signature"] == f"v1,{mac}"
    assert list((tmp_path / "box").iterdir()) == []
    await hook.close()


@pytest.mark.parametrize("fault", [500, 404, 302, 429, httpx.ConnectError("gone"), httpx.ReadTimeout("hangs")])
async def test_what_is_not_taken_is_told_again_and_no_redirect_is_followed(
    tmp_path: Path, fault: int | Exception
) -> None:
    receiver, lapse = Receiver([fault]), Lapse(seed=None)
    hook = webhook(tmp_path, receiver, lapse=lapse)
    await told(hook, ended())
    now = now_of(tmp_path)
    with capture_logs() as logs:
        assert await hook.deliver(now) == pytest.approx(1.0)
    assert [(line["event"], line["attempts"]) for line in logs] == [("webhook.delivery_failed", 1)]
    lapse.now += 0.5
    assert await hook.deliver(now) == pytest.approx(0.5), "not before its time"
    lapse.now += 0.5
    assert await hook.deliver(now) is None
    assert [str(request.url) for request in receiver.got] == [SETTINGS.url] * 2
    assert len({request.headers["webhook-id"] for request in receiver.got}) == 1
    await hook.close()


async def test_the_waits_grow_to_five_minutes_and_end_after_a_day(tmp_path: Path) -> None:
    receiver, lapse = Receiver([500] * 10_000), Lapse(seed=None)
    hook = webhook(tmp_path, receiver, lapse=lapse)
    await told(hook, ended())
    start = now_of(tmp_path)
    waits = []
    with capture_logs() as logs:
        while (wait := await hook.deliver(start + lapse.now)) is not None:
            waits.append(wait)
            lapse.now += wait
    assert {line["event"] for line in logs[:-1]} == {"webhook.delivery_failed"}
    assert (logs[-1]["event"], logs[-1]["attempts"]) == ("webhook.delivery_abandoned", len(logs))
    assert waits[:3] == pytest.approx([1, 2, 4])
    assert max(waits) == pytest.approx(LONGEST_WAIT)
    assert lapse.now == pytest.approx(PATIENCE.total_seconds(), abs=LONGEST_WAIT)
    assert list(tmp_path.iterdir()) == []
    await hook.close()


@pytest.mark.parametrize("jump", [-365 * 86_400, 365 * 86_400])
async def test_a_clock_that_is_wrong_gives_nothing_up_and_puts_nothing_off(tmp_path: Path, jump: float) -> None:
    receiver, lapse = Receiver([500, 500, 500]), Lapse(seed=None)
    hook = webhook(tmp_path, receiver, lapse=lapse)
    await told(hook, ended())
    now = now_of(tmp_path)
    for present in (now, now + jump, now, now + jump):
        wait = await hook.deliver(present)
        lapse.now += wait or 0.0
    assert wait is None
    assert len(receiver.got) == 4
    await hook.close()


async def test_what_was_written_by_a_clock_that_was_ahead_is_given_up_as_all_is(tmp_path: Path) -> None:
    receiver, lapse = Receiver([500] * 10_000), Lapse(seed=None)
    hook = webhook(tmp_path, receiver, lapse=lapse)
    await told(hook, ended())
    now = now_of(tmp_path) - 365 * 86_400
    while (wait := await hook.deliver(now + lapse.now)) is not None:
        lapse.now += wait
    assert lapse.now == pytest.approx(PATIENCE.total_seconds(), abs=LONGEST_WAIT)
    await hook.close()


async def test_one_that_is_never_taken_does_not_hold_up_the_others(tmp_path: Path) -> None:
    bad, good = ended(), ended(JobState.FAILED)
    receiver = Receiver([500])
    hook = webhook(tmp_path, receiver)
    await told(hook, bad)
    await told(hook, good)
    await hook.deliver(now_of(tmp_path))
    assert sorted(json.loads(item.content)["type"] for item in receiver.got) == ["job.failed", "job.succeeded"]
    assert len(list(tmp_path.iterdir())) == 1
    await hook.close()


async def test_what_was_not_told_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    first = webhook(tmp_path, Receiver([500]))
    await told(first, ended())
    await first.deliver(now_of(tmp_path))
    await first.close()
    receiver = Receiver()
    second = webhook(tmp_path, receiver)
    await second.deliver(now_of(tmp_path))
    assert len(receiver.got) == 1
    await second.close()


async def test_a_stop_keeps_what_has_just_ended(tmp_path: Path) -> None:
    hook = webhook(tmp_path, Receiver([500]))
    async with run_webhook(hook):
        hook.enqueue(ended())
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_service_at_work_tells_at_once(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    class Waking(Receiver):
        async def response(self, request: httpx.Request) -> httpx.Response:
            arrived.set()
            return await super().response(request)

    hook = webhook(tmp_path, Waking())
    async with run_webhook(hook):
        hook.enqueue(ended())
        async with asyncio.timeout(30):
            await arrived.wait()


async def test_too_many_that_wait_are_refused_and_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.webhook.outbox.MAX_WAITING", 1)
    assert MAX_WAITING > 1
    receiver = Receiver()
    hook = webhook(tmp_path, receiver)
    await told(hook, ended())
    await told(hook, ended())
    await hook.deliver(now_of(tmp_path))
    assert len(receiver.got) == 1
    await hook.close()


async def test_without_a_secret_nothing_is_signed(tmp_path: Path) -> None:
    receiver = Receiver()
    hook = webhook(tmp_path, receiver, WebhookSettings(SETTINGS.url))
    await told(hook, ended())
    await hook.deliver(now_of(tmp_path))
    assert "webhook-signature" not in receiver.got[0].headers
    await hook.close()


def test_a_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    plain, marked = sign("secret", "a", 1, b""), sign("whsec_!", "a", 1, b"")
    expected = base64.b64encode(hmac.new(b"whsec_!", b"a.1.", hashlib.sha256).digest()).decode()
    assert marked["webhook-signature"] == f"v1,{expected}"
    assert plain["webhook-signature"] != marked["webhook-signature"]


async def listening(response: bytes) -> tuple[asyncio.Server, list[bytes]]:
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0), got


async def test_over_a_real_connection_a_private_address_of_the_operator_is_reached(tmp_path: Path) -> None:
    server, got = await listening(b"HTTP/1.1 204 No Content\r\n\r\n")
    port = server.sockets[0].getsockname()[1]
    async with server:
        hook = Webhook(WebhookSettings(f"http://127.0.0.1:{port}/x", SECRET), Outbox(tmp_path))
        await told(hook, ended())
        assert await hook.deliver(now_of(tmp_path)) is None
        await hook.close()
    assert got[0].startswith(b"POST /x HTTP/1.1")


async def test_webhooks_that_wait_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"x" * 100
    monkeypatch.setattr("app.jobs.webhook.outbox.MAX_WAITING_BYTES", 250)
    outbox = Outbox(tmp_path)
    assert [outbox.put(str(number), body) for number in range(3)] == [True, True, False]
    outbox.remove(outbox.waiting()[0])
    assert outbox.put("3", body)


async def test_what_waits_for_the_outbox_is_bounded_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    hook = webhook(tmp_path, receiver)
    hook.enqueue(ended())
    monkeypatch.setattr("app.jobs.webhook.delivery.MAX_HELD_BYTES", hook._bytes)
    hook.enqueue(ended())
    await hook.write_outbox()
    assert hook._bytes == 0
    await hook.deliver(now_of(tmp_path))
    assert len(receiver.got) == 1
    await hook.close()
