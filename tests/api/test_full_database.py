"""The job database has no room, as SQLite itself says it: nothing accepted is lost, and it goes on when there is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.jobs.store import engine
from tests.api.conftest import APP, serving

NO_BOUND = 1_073_741_823  # pages
MOST_PUSHES = 300


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pages the database may have from its next transaction on; it never has fewer than it uses."""
    pages = [NO_BOUND]

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages[0]}")
        connection.exec_driver_sql("BEGIN")

    monkeypatch.setattr(engine, "_begin", begin)
    return pages


async def test_what_was_accepted_ends_and_what_is_not_stored_is_not_accepted(tmp_path: Path, room: list[int]) -> None:
    async with serving(tmp_path) as served:
        accepted: list[dict[str, Any]] = []
        room[0] = 1
        for number in range(MOST_PUSHES):
            answer = await served.client.post(f"/push?tag=a/app:{number}", content=APP)
            if answer.status_code != 202:
                break
            accepted.append(answer.json())
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"]
        assert (await served.client.get("/jobs")).status_code == 200  # reading needs no room
        ends = asyncio.gather(*map(served.ended, accepted))
        room[0] = NO_BOUND
        assert {job["state"] for job in await ends} == {"succeeded"}
        again = await served.client.post("/push?tag=a/again:1&wait=30", content=APP)
        assert (again.status_code, again.json()["state"]) == (200, "succeeded")
    async with serving(tmp_path) as served:
        known = {job["id"] for job in (await served.client.get("/jobs?limit=500")).json()["jobs"]}
        assert known >= {job["id"] for job in accepted}
        assert not list((tmp_path / "spool").glob("*.tar"))
