"""`X-Request-Id`: on every response, in every log line of its request."""

from __future__ import annotations

import re
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.api.conftest import APP, Served

MADE = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 64, "0"])
async def test_an_id_that_is_plain_is_taken(served: Served, given: str) -> None:
    answer = await served.client.get("/jobs", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a/b", "a\tb", "ä", '{"a":1}', "a,b", "%0a"])
async def test_another_one_is_made(served: Served, given: str) -> None:
    answer = await served.client.get("/jobs", headers={b"X-Request-Id": given.encode()})
    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_of_two_ids_none_is_taken(served: Served) -> None:
    answer = await served.client.get("/jobs", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])
    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_every_response_has_an_id_of_its_own(served: Served) -> None:
    found = set()
    for method, path, headers in (
        ("POST", "/push", {}),
        ("GET", "/", {}),
        ("GET", "/v2/", {}),
        ("GET", "/nothing", {}),
        ("GET", "/jobs", {"Host": "evil.example"}),
        ("GET", "/jobs", {"Host": "a b"}),
        ("OPTIONS", "/uploads", {}),
    ):
        answer = await served.client.request(method, path, headers=headers)
        found.add(answer.headers["x-request-id"])
    assert len(found) == 7


async def test_a_fault_of_the_service_has_it_in_its_response_and_its_log_line(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(*_: Any) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr("app.jobs.service.JobService.get", break_down)
    with capture_logs([merge_contextvars]) as lines:
        answer = await served.client.get("/jobs/1", headers={"X-Request-Id": "of-a-fault"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "of-a-fault")
    assert [line["request_id"] for line in lines if line["event"] == "request.crashed"] == ["of-a-fault"]


async def test_a_push_has_it(served: Served) -> None:
    answer = await served.client.post("/push?wait=30", content=APP, headers={"X-Request-Id": "push-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "push-1")
