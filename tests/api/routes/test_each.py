"""`each=true`: a job for each archive of `paths`, all in one delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import APP, OTHER, Served, serving

PATHS = {"a.tar": APP, "b.tar": OTHER, "s.tar.000": APP[:9_000], "s.tar.001": APP[9_000:]}


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Served]:
    (tmp_path / "in").mkdir()
    for name, content in PATHS.items():
        (tmp_path / "in" / name).write_bytes(content)
    async with serving(tmp_path / "data", path_roots=str(tmp_path / "in")) as served:
        yield served


async def push(served: Served, query: str = "", key: str | None = None, **options: object) -> httpx.Response:
    body = {"paths": [f"{served.data.parent}/in/*"], "each": True, **options}
    headers = {} if key is None else {"Idempotency-Key": key}
    return await served.client.post(f"/push{query}", json=body, headers=headers)


async def test_each_archive_is_a_job_of_one_delivery(station: Served) -> None:
    answer = await push(station)
    assert answer.status_code == 202
    delivery = answer.json()["delivery"]["id"]
    assert answer.headers["location"] == f"/deliveries/{delivery}"
    jobs = [await station.ended(job) for job in answer.json()["jobs"]]
    assert [job["archives"][0]["name"] for job in jobs] == ["a.tar", "b.tar", "s.tar"]
    assert {job["delivery"] for job in jobs} == {delivery}
    assert {job["state"] for job in jobs} == {"succeeded"}


async def test_the_numbered_files_of_oc_mirror_stay_one(station: Served) -> None:
    for number in range(2):
        (station.data.parent / f"in/mirror_seq1_00000{number}.tar").write_bytes(APP)
    answer = await push(station)
    assert [len(job["archives"]) for job in answer.json()["jobs"]] == [1, 1, 2, 1]


async def test_a_wait_tells_how_all_of_them_ended(station: Served) -> None:
    good = await push(station, "?wait=30")
    assert (good.status_code, len(good.json()["jobs"])) == (200, 3)
    (station.data.parent / "in/c.tar").write_bytes(APP[:2_000])
    bad = await push(station, "?wait=30")
    assert (bad.status_code, bad.json()["code"]) == (422, "truncated_archive")
    assert [job["state"] for job in bad.json()["jobs"]].count("succeeded") == 3
    assert bad.json()["delivery"]["files"]["failed"] == 1
    late = await push(station, "?wait=0&wait_required=true")
    assert (late.status_code, late.json()["code"]) == (504, "wait_expired")
    assert late.json()["jobs"]


async def test_a_key_covers_the_delivery(station: Served) -> None:
    first, again = await push(station, key="k"), await push(station, key="k")
    assert [job["id"] for job in first.json()["jobs"]] == [job["id"] for job in again.json()["jobs"]]
    assert first.json()["delivery"]["id"] == again.json()["delivery"]["id"]
    other = await push(station, key="k", prefix="mirror")
    assert (other.status_code, other.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("options", [{"tag": "a:1"}, {"checksum": f"sha256:{'0' * 64}"}, {"each": "maybe"}])
async def test_what_is_for_one_archive_is_refused_for_several(station: Served, options: dict[str, str]) -> None:
    answer = await push(station, **options)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await station.client.get("/deliveries")).json()["deliveries"] == []


async def test_uploads_name_a_delivery_instead(station: Served) -> None:
    answer = await station.client.put("/push/x.tar?each=true", content=APP)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
