"""The access log: error responses by default, every response or none by `TARMAC_ACCESS_LOG`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from app.api.middleware.access_log import MAX_ERROR_LINES, MAX_PATH_CHARACTERS, AccessLogMiddleware
from app.config.types import AccessLog
from tests.api.conftest import Served, serving

PROXIED = {"X-Forwarded-For": "203.0.113.7"}


async def responses(served: Served, *requests: tuple[str, str], headers: dict[str, str] | None = None) -> list[Any]:
    with capture_logs() as lines:
        for method, path in requests:
            await served.client.request(method, path, headers=headers)
    return [line for line in lines if line["event"] == "http.response"]


async def test_by_default_only_error_responses_are_logged(served: Served) -> None:
    found = await responses(served, ("GET", "/healthz"), ("GET", "/jobs"), ("GET", "/jobs/1"), ("DELETE", "/healthz"))
    assert [(line["method"], line["path"], line["status"]) for line in found] == [
        ("GET", "/jobs/1", 404),
        ("DELETE", "/healthz", 405),
    ]


@pytest.mark.parametrize(("mode", "statuses"), [("all", [200, 404]), ("errors", [404]), ("none", [])])
async def test_the_setting_selects_the_responses(tmp_path: Path, mode: str, statuses: list[int]) -> None:
    async with serving(tmp_path, access_log=mode) as served:
        found = await responses(served, ("GET", "/healthz"), ("GET", "/jobs/1"))
    assert [line["status"] for line in found] == statuses


async def test_a_line_has_the_client_behind_the_proxy_and_not_the_query(tmp_path: Path) -> None:
    async with serving(tmp_path, trusted_proxies=("127.0.0.1",)) as served:
        (line,) = await responses(served, ("GET", "/jobs/a%0ab?token=geheim"), headers=PROXIED)
    assert (line["client"], line["path"], line["log_level"]) == ("203.0.113.7", "/jobs/a%0Ab", "info")
    assert line["seconds"] >= 0
    assert "geheim" not in str(line)


async def test_a_crash_is_logged_as_500(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(*_: Any) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr("app.jobs.service.JobService.get", break_down)
    (line,) = await responses(served, ("GET", "/jobs/1"))
    assert line["status"] == 500


async def test_strangers_cannot_fill_the_disk_with_error_lines() -> None:
    now = 7.0

    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})

    app = AccessLogMiddleware(refuse, AccessLog.ERRORS, lambda: now)
    scope = {"type": "http", "method": "GET", "path": "/ä" * 8_000, "client": ("192.0.2.1", 1)}
    with capture_logs() as lines:
        for _ in range(MAX_ERROR_LINES + 50):
            await app(scope, never, ignore)
        now = 8.5
        await app(scope, never, ignore)
    assert len(lines) == MAX_ERROR_LINES + 2
    assert lines[MAX_ERROR_LINES] == {"event": "http.responses_omitted", "count": 50, "log_level": "warning"}
    assert max(len(line.get("path", "")) for line in lines) <= MAX_PATH_CHARACTERS


async def never() -> Message:
    raise AssertionError


async def ignore(_message: Message) -> None:
    return None
