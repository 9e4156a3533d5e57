"""What one token may keep here: bytes in all, places among the uploads, and nothing at the cost of others."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.jobs.resumable import authorization as held
from app.jobs.resumable import service as uploads
from app.jobs.stored_bytes import StoredBytes
from tests.api.conftest import APP, Served, serving
from tests.api.test_two_tokens import TUS, by, code, line
from tests.support.archives import docker_save, image, tagged

ONE, TWO = "canary-token-of-one", "canary-token-of-two"
STREAM = TUS | {"Content-Type": "application/offset+octet-stream"}
LARGE = docker_save([tagged(image({"zeros": b"\0" * 300_000}), "team/a/app:1")])
PART, NINE = {"Upload-Concat": "partial"}, {"Upload-Length": "9"}
STORED = 4 * 100 * 1024  # of a token with one job of 100 KiB


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Served]:
    (tmp_path / "tokens").write_text(line("one", ONE, ":push::jobs=1,bytes=100KiB") + line("two", TWO))
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as running:
        yield running


async def created(served: Served, body: bytes = b"", token: str = ONE, **headers: Any) -> httpx.Response:
    fields = by(token, **TUS, **{"Upload-Length": str(len(body)), "Content-Type": STREAM["Content-Type"], **headers})
    return await served.client.post("/uploads", content=body, headers=fields)


def on_disk(served: Served) -> int:
    return sum(file.stat().st_size for file in served.data.rglob("*") if file.parent.name in ("spool", "uploads"))


async def test_complete_parts_count_until_they_are_put_together(shared: Served) -> None:
    part = b"x" * 60_000
    answers = [await created(shared, part, **PART) for _ in range(10)]
    assert [answer.status_code for answer in answers[:3]] == [201] * 3
    assert {code(answer) for answer in answers[4:]} == {(429, "quota_exceeded")}
    assert on_disk(shared) <= STORED
    paths = " ".join(answer.headers["location"] for answer in answers if answer.status_code == 201)
    for path in paths.split():
        assert (await shared.client.delete(path, headers=by(ONE, **TUS))).status_code == 204
    assert (await created(shared, part, **PART)).status_code == 201


async def test_parts_without_a_byte_count(shared: Served) -> None:
    answers = [await created(shared, b"", **PART) for _ in range(40)]
    assert sum(answer.status_code == 201 for answer in answers) <= 4
    assert code(answers[-1]) == (429, "quota_exceeded")


async def test_as_many_parts_as_a_token_may_have_become_one_upload(shared: Served) -> None:
    pieces = [APP[at : at + len(APP) // 4 + 1] for at in range(0, len(APP), len(APP) // 4 + 1)]
    parts = [(await created(shared, piece, **PART)).headers["location"] for piece in pieces]
    whole = await shared.client.post(
        "/uploads?hold=true", headers=by(ONE, **TUS, **{"Upload-Concat": f"final;{' '.join(parts)}"})
    )
    assert whole.status_code == 201, whole.text


async def test_archives_that_are_held_count_unpacked(shared: Served) -> None:
    sent = gzip.compress(LARGE)
    first = await created(shared, sent, **{"Upload-Metadata": "hold dHJ1ZQ=="})
    job = (await shared.client.get(f"{first.headers['tarmac-job']}?wait=30", headers=by(ONE))).json()
    assert job["state"] == "succeeded", job
    second = await created(shared, sent, **{"Upload-Metadata": "hold dHJ1ZQ=="})
    assert code(second) == (429, "quota_exceeded")
    assert second.headers["retry-after"]
    assert on_disk(shared) <= STORED
    assert (await shared.client.delete(first.headers["location"], headers=by(ONE, **TUS))).status_code == 204
    assert (await created(shared, sent, **{"Upload-Metadata": "hold dHJ1ZQ=="})).status_code == 201


async def test_an_archive_that_unpacks_to_more_is_refused_on_the_way(shared: Served) -> None:
    large = docker_save([tagged(image({"zeros": b"\0" * 2 * STORED}), "team/a/app:1")])
    refused = await shared.client.post("/push", content=gzip.compress(large), headers=by(ONE))
    assert code(refused) == (429, "quota_exceeded")
    assert shared.spooled() == []
    assert (await shared.client.post("/push?wait=30", content=APP, headers=by(ONE))).status_code == 200


async def test_what_is_over_is_counted_no_more(shared: Served) -> None:
    stored: StoredBytes = shared.app.state.context.uploads._runtime.stored
    for body, path in ((APP, "/push?wait=30"), (gzip.compress(APP), "/push?wait=30")):
        assert (await shared.client.post(path, content=body, headers=by(ONE))).status_code == 200
    answer = await created(shared, APP)
    await shared.client.get(f"{answer.headers['tarmac-job']}?wait=30", headers=by(ONE))
    async with asyncio.timeout(30):  # files are deleted when the job has ended, a moment later
        while stored.used("one") >= 1024:  # the file that says what the upload was
            await shared.client.get("/jobs", headers=by(ONE))  # which waits for the database
    assert (await shared.client.post("/push", content=b"junk" * 1000, headers=by(ONE))).status_code == 422
    assert stored.used("one") < 1024


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(line("one", ONE, ":push::stored=5KiB"))
    settings: dict[str, Any] = {"tokens_file": tmp_path / "tokens"}
    async with serving(tmp_path / "data", **settings) as served:
        assert (await created(served, b"x" * 4096, **PART)).status_code == 201
    async with serving(tmp_path / "data", **settings) as served:
        assert code(await created(served, b"x" * 4096, **PART)) == (429, "quota_exceeded")


async def test_one_token_never_takes_the_places_of_all(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (held, uploads):
        monkeypatch.setattr(module, "MAX_UPLOADS", 8)
    answers = [await created(shared, b"", TWO, **NINE) for _ in range(10)]
    assert [answer.status_code for answer in answers[:4]] == [201] * 4
    assert {code(answer) for answer in answers[4:]} == {(503, "busy")}
    assert answers[-1].headers["retry-after"]
    assert (await created(shared, b"", **NINE)).status_code == 201


async def test_without_tokens_the_last_place_is_taken(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 2)
    answers = [await served.client.post("/uploads", headers=TUS | {"Upload-Length": "9"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert answers[-1].headers["retry-after"]


async def test_an_upload_without_a_byte_goes_after_an_hour(served: Served) -> None:
    answers = [
        await served.client.post("/uploads", headers=STREAM | {"Upload-Length": "9000"}, content=body)
        for body in (b"", APP[:512])
    ]
    sweeper, now = served.app.state.context.uploads.sweeper, datetime.now(UTC)
    sweeper._idle._elapsed = iter([0.0] * 2 + [4000.0] * 2).__next__
    assert await sweeper.expire_uploads(now) == 0
    assert await sweeper.expire_uploads(now + timedelta(hours=1, minutes=1)) == 1
    left = [await served.client.head(answer.headers["location"], headers=TUS) for answer in answers]
    assert [answer.status_code for answer in left] == [404, 204]
    job = (await served.client.get(answers[0].headers["tarmac-job"])).json()
    assert (job["state"], job["problem"]["code"]) == ("failed", "upload_incomplete")
