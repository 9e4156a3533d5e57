"""What lasts ends with its token: event streams, and waits; and what a token sees goes by its bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from app.api.middleware import auth as security
from app.auth import token_file as tokens
from tests.api.conftest import Served, serving
from tests.api.test_two_tokens import TUS, by, code, line

ANNA, ROOT = "canary-token-of-anna", "canary-token-of-root"
LINES = line("anna", ANNA, ":push:team/a") + line("root", ROOT, ":admin")
CHANGED = (
    line("root", ROOT, ":admin"),
    line("anna", ANNA, ":push:team/b") + line("root", ROOT, ":admin"),
    line("anna", ANNA, ":read:team/a") + line("root", ROOT, ":admin"),
)


@pytest.fixture
async def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(security, "LAPSE_SECONDS", 0.01)
    monkeypatch.setattr(tokens, "CHECK_SECONDS", 0.0)
    (tmp_path / "tokens").write_text(LINES)
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as running:
        yield running


async def receiving(served: Served) -> str:
    """Return the path of a job of anna's that does not end."""
    answer = await served.client.post("/uploads", headers=by(ANNA, **TUS, **{"Upload-Length": "9"}))
    path: str = answer.headers["tarmac-job"]
    return path


@asynccontextmanager
async def watched(served: Served, path: str) -> AsyncIterator[asyncio.Queue[Message]]:
    """What the service sends for a request of anna's that stays connected."""
    sent: asyncio.Queue[Message] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": b""}
    fields = by(ANNA, Host="tarmac.test")
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    scope |= {"query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http", "root_path": ""}
    first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if first:
            return first.pop()
        await asyncio.Event().wait()
        raise AssertionError

    request = asyncio.create_task(served.app(scope, receive, sent.put))
    try:
        yield sent
    finally:
        request.cancel()
        await asyncio.wait([request])


@pytest.mark.parametrize("lines", CHANGED)
async def test_an_event_stream_ends_with_its_token(shared: Served, lines: str) -> None:
    path = await receiving(shared)
    async with watched(shared, f"{path}/events") as sent:
        assert (await sent.get())["status"] == 200
        while b"event: job" not in (await sent.get())["body"]:
            continue
        (shared.data.parent / "tokens").write_text(lines)
        async with asyncio.timeout(30):
            while (last := await sent.get()).get("more_body"):
                assert b"event: end" not in last["body"]


@pytest.mark.parametrize("lines", CHANGED)
async def test_a_wait_ends_with_its_token(shared: Served, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, lapse = asyncio.Event(), security._lapse

    async def told(*arguments: Any) -> None:
        begun.set()
        await lapse(*arguments)

    monkeypatch.setattr(security, "_lapse", told)
    path = await receiving(shared)
    waiting = asyncio.create_task(shared.client.get(f"{path}?wait=60", headers=by(ANNA)))
    await begun.wait()
    (shared.data.parent / "tokens").write_text(lines)
    async with asyncio.timeout(30):
        assert code(await waiting) == (401, "unauthorized")


async def test_a_token_that_stays_as_it_is_goes_on_waiting(shared: Served) -> None:
    path = await receiving(shared)
    waiting = asyncio.create_task(shared.client.get(f"{path}?wait=60", headers=by(ANNA)))
    (shared.data.parent / "tokens").write_text(LINES + line("other", "another-token"))
    for _ in range(20):
        assert (await shared.client.get("/registries", headers=by(ANNA))).status_code == 200
    assert not waiting.done()
    await shared.client.post(f"{path}/cancel", headers=by(ANNA))
    assert (await waiting).json()["state"] == "cancelled"


async def test_a_bound_token_sees_names_of_registries_and_no_counts(shared: Served) -> None:
    listed = (await shared.client.get("/registries", headers=by(ANNA))).json()["registries"]
    assert listed == [{"name": "default", "url": None, "reachable": True, "problem": None, "details": None}]
    assert (await shared.client.get("/registries", headers=by(ROOT))).json()["registries"][0]["details"]["software"]
    assert code(await shared.client.get("/metrics", headers=by(ANNA))) == (403, "forbidden")
    assert (await shared.client.get("/metrics", headers=by(ROOT))).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"paths": ["a"] * 20_000}),
        '{"paths": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"paths": ' + '{"a":' * 9_000 + "1" + "}" * 9_000 + "}",
        json.dumps({"paths": ["x" * 100_000], "labels": {str(number): 1 for number in range(9_000)}}),
        json.dumps(["x" * 100_000]),
        "[" + "1" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["/push", "/uploads/0/push"])
async def test_a_large_document_is_refused_with_a_reason(served: Served, path: str, body: str) -> None:
    refused = await served.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code in (400, 403, 422), refused.text


async def test_many_paths_are_read_apart_from_the_event_loop(served: Served, tmp_path: Path) -> None:
    document = json.dumps({"paths": [f"/{'x' * 100}{number}" for number in range(900)]})
    answer = await served.client.post("/push", content=document, headers={"Content-Type": "application/json"})
    assert len(document) > 64 << 10
    assert answer.json()["code"] == "path_not_allowed"
