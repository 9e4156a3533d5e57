"""What one token or address may ask in a time, and how many long requests it may have at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import CALLER
from app.api.middleware import rates
from app.api.middleware.limits import LongRequest
from app.api.middleware.rates import DEFAULT_RATES, Buckets, Kind, Rate, Rates, kind_of, rates_of
from app.auth.model import Caller, Submitter
from app.errors import RateLimited
from app.telemetry.metrics import Metrics
from tests.api.conftest import serving
from tests.api.middleware.test_auth import PUSHER, READER, bearer, line


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def buckets(clock: Clock, per_second: float = 2, at_once: int = 3, metrics: Metrics | None = None) -> Buckets:
    return Buckets(dict.fromkeys(Kind, Rate(per_second, at_once)), clock, metrics)


def test_a_bucket_holds_some_at_once_and_fills_by_the_rate() -> None:
    clock = Clock()
    made = buckets(clock)
    for _ in range(3):
        made.take(Kind.REQUESTS, "anna")
    with pytest.raises(RateLimited) as limited:
        made.take(Kind.REQUESTS, "anna")
    assert limited.value.retry_after == 1
    made.take(Kind.REQUESTS, "bert")
    made.take(Kind.UPLOADS, "anna")
    clock.now += 0.5
    made.take(Kind.REQUESTS, "anna")
    with pytest.raises(RateLimited):
        made.take(Kind.REQUESTS, "anna")
    clock.now += 1000
    for _ in range(3):
        made.take(Kind.REQUESTS, "anna")
    with pytest.raises(RateLimited):
        made.take(Kind.REQUESTS, "anna")


def test_a_rate_of_none_is_no_limit_and_a_slow_one_says_how_long_to_wait() -> None:
    made = Buckets({**DEFAULT_RATES, Kind.PULLS: Rate(0, 1), Kind.JOBS: Rate(0.1, 1)}, Clock())
    for _ in range(10_000):
        made.take(Kind.PULLS, "anna")
    made.take(Kind.JOBS, "anna")
    with pytest.raises(RateLimited) as limited:
        made.take(Kind.JOBS, "anna")
    assert limited.value.retry_after == 10


def test_shares_without_end_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_SHARES", 10)
    made = buckets(Clock())
    for number in range(1000):
        made.take(Kind.FAILURES, f"192.0.2.{number}")
    assert len(made._levels[Kind.FAILURES]) == 10


def test_what_is_refused_is_counted() -> None:
    metrics = Metrics()
    made = buckets(Clock(), at_once=0, metrics=metrics)
    with pytest.raises(RateLimited):
        made.take(Kind.FAILURES, "192.0.2.1")
    assert b'tarmac_rate_limited_total{kind="failures"} 1.0' in metrics.render({})


def test_rates_by_settings_have_as_much_room_as_the_defaults() -> None:
    assert rates_of({kind: rate.per_second for kind, rate in DEFAULT_RATES.items()}) == DEFAULT_RATES
    assert rates_of({Kind.REQUESTS: 1, Kind.FAILURES: 0})[Kind.FAILURES].per_second == 0


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ("GET /healthz", None),
        ("GET /readyz", None),
        ("GET /", Kind.REQUESTS),
        ("GET /jobs", Kind.REQUESTS),
        ("HEAD /uploads/x", Kind.REQUESTS),
        ("PATCH /uploads/x", Kind.REQUESTS),
        ("POST /push", Kind.UPLOADS),
        ("PUT /push/x.tar", Kind.UPLOADS),
        ("POST /uploads", Kind.UPLOADS),
        ("POST /v1.43/images/load", Kind.UPLOADS),
        ("POST /images/load", Kind.UPLOADS),
        ("POST /uploads/x/push", Kind.JOBS),
        ("POST /jobs/x/retry", Kind.JOBS),
        ("POST /jobs/x/cancel", Kind.JOBS),
        ("DELETE /jobs/x", Kind.JOBS),
        ("DELETE /uploads/x", Kind.JOBS),
        ("POST /deliveries", Kind.JOBS),
        ("POST /store/prune", Kind.JOBS),
        ("GET /deliveries", Kind.REQUESTS),
        ("GET /v2/", Kind.PULLS),
        ("DELETE /v2/a/manifests/1", Kind.PULLS),
    ],
)
def test_each_request_is_of_one_kind(request_: str, kind: Kind | None) -> None:
    method, path = request_.split()
    assert kind_of({"type": "http", "method": method, "path": path}) == kind


class Lasting:
    """An application whose requests last until they are let go."""

    def __init__(self) -> None:
        self.begun, self._end = 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self._end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def let_go(self) -> None:
        self._end.set()


async def status(app: ASGIApp, token: str, path: str = "/push") -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    caller = Caller(Submitter(token, "192.0.2.1"))
    method = "POST" if path == "/push" else "GET"
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], CALLER: caller}
    await app(scope, receive, send)
    code: int = sent[0]["status"]
    return code


async def test_a_token_has_at_most_half_of_the_places_that_the_others_leave() -> None:
    lasting = Lasting()
    app = Rates(lasting, buckets(Clock(), at_once=1000), {LongRequest.UPLOADS: 8, LongRequest.WATCHERS: 8})
    tasks = []

    async def fill(token: str) -> int:
        taken = 0
        while True:
            before = lasting.begun
            task = asyncio.create_task(status(app, token))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if lasting.begun == before:
                assert await task == 503
                return taken
            tasks.append(task)
            taken += 1

    assert [await fill(token) for token in ("anna", "bert", "carl", "dora")] == [4, 2, 1, 1]
    watcher = asyncio.create_task(status(app, "anna", "/jobs/x/events"))
    anonymous = [asyncio.create_task(status(app, "")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    lasting.let_go()
    assert {await task for task in (*tasks, watcher, *anonymous)} == {200}
    assert await status(app, "anna") == 200


async def test_failed_authentications_are_limited_and_good_tokens_are_not(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(line("ci", PUSHER) + line("dashboard", READER, ":read"))
    async with serving(tmp_path / "data", tokens_file=file, rate_failures=0.01) as guarded:
        bad = [await guarded.client.get("/jobs", headers=bearer("wrong")) for _ in range(5)]
        assert [answer.status_code for answer in bad] == [401, 429, 429, 429, 429]
        assert bad[-1].json()["code"] == "rate_limited"
        assert int(bad[-1].headers["retry-after"]) > 1
        assert (await guarded.client.get("/jobs", headers=bearer(READER))).status_code == 200
        assert (await guarded.client.get("/jobs")).status_code == 401
        assert (await guarded.client.get("/healthz")).status_code == 200


async def test_one_token_that_asks_too_much_stops_no_other(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(line("ci", PUSHER) + line("dashboard", READER, ":read"))
    async with serving(tmp_path / "data", tokens_file=file, rate_requests=0.1) as guarded:
        greedy = [(await guarded.client.get("/jobs", headers=bearer(READER))).status_code for _ in range(3)]
        assert greedy == [200, 429, 429]
        assert (await guarded.client.get("/jobs", headers=bearer(PUSHER))).status_code == 200
        pull = await guarded.client.get("/v2/_catalog", headers=bearer(READER))
        assert pull.status_code == 200
