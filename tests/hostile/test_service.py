"""The same archives through HTTP: a refusal is a problem document, never a fault of the service, and leaves no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Served, serving
from tests.hostile.case import Accepted, Case
from tests.hostile.catalogue import GROUPS

EVERY = 4  # fourth case; test_verdicts has all of them


@pytest.mark.parametrize("group", GROUPS)
async def test_the_service_refuses_what_it_should_and_keeps_nothing_of_it(group: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for case in sorted(GROUPS[group][::EVERY], key=lambda case: isinstance(case.verdict, Accepted)):
            await decided(served, case)  # the honest ones last: what is there already is not read again
        assert (await served.client.get("/healthz")).status_code == 200
        await forgotten(served)
        assert served.spooled() == []
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert {name.partition("-")[0] for name in written} <= {
        "spool",
        "uploads",
        "images",
        "jobs.sqlite",
        "layers.sqlite",
        "profiles.json",
    }


async def decided(served: Served, case: Case) -> None:
    data = case.build()
    if not data:
        return  # refused before it is an archive
    answer = await served.client.post("/push", content=data, params={"wait": 30})
    document: dict[str, Any] = answer.json()
    assert answer.status_code < 500, (case.name, document)
    assert "Traceback" not in answer.text, case.name
    if isinstance(case.verdict, Accepted):
        assert document.get("state") == "succeeded", (case.name, document)
    else:
        assert answer.status_code in {413, 422}, (case.name, document)
        assert codes_of(document) <= set(case.verdict.codes), (case.name, document)


async def forgotten(served: Served) -> None:
    """A job that failed at the destination keeps its archive for a retry, until it is deleted."""
    while jobs := (await served.client.get("/jobs", params={"state": "failed"})).json()["jobs"]:
        for job in jobs:
            assert (await served.client.delete(f"/jobs/{job['id']}")).status_code < 300


def codes_of(document: dict[str, Any]) -> set[str]:
    """Of the problem document; of a job that failed, those of its images."""
    failed = {image["problem"]["code"] for image in document.get("images", ()) if image["problem"]}
    return failed or {document["code"]}


async def test_a_name_from_an_archive_is_never_a_path(tmp_path: Path) -> None:
    """Members that climb, absolute ones and links are refused or are keys; the only files are the service's own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    async with serving(tmp_path / "data") as served:
        for case in GROUPS["members"]:
            if "path" in case.name or "link" in case.name:
                await decided(served, case)
    assert os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path)) == ["data", "outside"]
