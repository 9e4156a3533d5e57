"""`tarmac doctor`, in places that are well and in places that are not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.jobs.model import Job, JobState, utc_now
from app.jobs.store.sql import SqlJobStore


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "TOKENS_FILE", "DATABASE_URL", "REGISTRY_URL", "HOST", "PATH_ROOTS"):
        monkeypatch.delenv(f"TARMAC_{name}", raising=False)
    monkeypatch.setenv("TARMAC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = main(["doctor", "--json"])
    return status, {load["about"]: load for load in json.loads(capsys.readouterr().out)}


def test_a_place_that_was_never_used_is_well_and_stays_as_it_is(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = told(capsys)
    assert status == 0
    assert {found[about]["state"] for about in ("settings", "database", "leftovers", "registry default")} == {"ok"}
    assert "never" in found["database"]["words"] or "not used yet" in found["database"]["words"]
    assert main(["doctor"]) == 0
    assert "ok       settings: " in capsys.readouterr().out


def test_a_data_directory_that_others_may_write_to_is_warned_of(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "data").mkdir()
    (place / "data").chmod(0o777)
    status, found = told(capsys)
    assert (status, found["data directory"]["state"]) == (0, "warning")
    (place / "data").chmod(0o700)
    assert "data directory" not in told(capsys)[1]


def test_what_no_job_has_any_more_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = place / "data" / "spool"
    spool.mkdir(parents=True)
    job = Job.new(JobState.QUEUED, utc_now())

    async def keep() -> None:
        store = await SqlJobStore.open(f"sqlite:///{place / 'data' / 'jobs.sqlite'}")
        await store.add(job)
        await store.close()

    asyncio.run(keep())
    (spool / f"{job.id}-0").write_bytes(b"x")
    assert told(capsys)[1]["leftovers"]["state"] == "ok"
    (spool / f"{'0' * 32}-0").write_bytes(b"x")
    status, found = told(capsys)
    assert (status, found["leftovers"]["state"]) == (0, "warning")
    assert found["leftovers"]["words"].startswith("1 files")
    assert (spool / f"{'0' * 32}-0").exists()


def test_a_damaged_database_is_a_problem(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").mkdir()
    (place / "data" / "jobs.sqlite").write_bytes(b"no database" * 1000)
    status, found = told(capsys)
    assert (status, found["database"]["state"]) == (1, "problem")


def test_a_registry_that_does_not_answer_is_a_problem(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARMAC_REGISTRY_URL", "http://127.0.0.1:1")
    status, found = told(capsys)
    assert (status, found["registry default"]["state"]) == (1, "problem")
    assert "registry_unreachable" in found["registry default"]["words"]


def test_tokens_without_tls_beyond_loopback_are_warned_of(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "tokens").write_text("ci:zz\n")
    monkeypatch.setenv("TARMAC_TOKENS_FILE", str(place / "tokens"))
    monkeypatch.setenv("TARMAC_HOST", "0.0.0.0")
    status, found = told(capsys)
    assert status == 1
    assert "line 1" in found["tokens"]["words"]
    assert found["certificate"]["state"] == "warning"
