"""JobLog: one line for each accepted, retried and ended job, each failed attempt, and each outage of a registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.auth.model import Submitter
from app.errors import MalformedArchive, Problem, RegistryDenied, RegistryUnreachable
from app.jobs.model import ArchiveSource, Job, JobArchive, JobState
from app.jobs.outage import pause_for_outage, recover_running, requeue_for_leases, resumed
from app.telemetry.job_log import JobLog

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AWAY = RegistryUnreachable("r.example does not answer").problem
DENIED = RegistryDenied("r.example denies the push").problem
BAD = MalformedArchive("x.tar is damaged").problem

RECEIVING = Job(
    id="1" * 32,
    state=JobState.RECEIVING,
    created_at=NOW,
    registry="edge",
    archives=(JobArchive("x.tar", ArchiveSource.UPLOAD, size=7),),
    submitter=Submitter("ci"),
)
QUEUED = RECEIVING.transition_to(JobState.QUEUED)
RUNNING = QUEUED.transition_to(JobState.RUNNING, started_at=NOW, starts=1)
PAUSED = pause_for_outage(RUNNING, AWAY, NOW, timedelta(seconds=5))
RESUMED = PAUSED.transition_to(JobState.RUNNING, started_at=NOW, problem=None)
DONE = RUNNING.transition_to(JobState.SUCCEEDED, finished_at=NOW + timedelta(seconds=2))


def failed(running: Job, problem: Problem) -> Job:
    return running.transition_to(JobState.FAILED, finished_at=NOW, problem=problem)


def logged(*steps: tuple[Job | None, Job], log: JobLog | None = None) -> list[dict[str, Any]]:
    log = log or JobLog()
    with capture_logs() as lines:
        for before, job in steps:
            log.record(before, job)
    return [dict(line) for line in lines]


def events(*steps: tuple[Job | None, Job]) -> list[str]:
    return [line["event"] for line in logged(*steps)]


@pytest.mark.parametrize("before", [None, RECEIVING])
def test_an_accepted_job_is_logged(before: Job | None) -> None:
    (line,) = logged((before, QUEUED))
    assert line == {
        "event": "job.accepted",
        "log_level": "info",
        "job": QUEUED.id,
        "registry": "edge",
        "source": "upload",
        "archives": 1,
        "bytes": 7,
        "submitter": "ci",
    }


def test_an_ended_job_is_logged_with_its_counts_and_time() -> None:
    (line,) = logged((RUNNING, DONE))
    assert (line["event"], line["state"], line["code"], line["reason"]) == ("job.ended", "succeeded", None, None)
    assert (line["job"], line["registry"], line["submitter"], line["attempt"]) == (DONE.id, "edge", "ci", 1)
    assert (line["seconds"], line["images_pushed"], line["bytes_sent"]) == (2.0, 0, 0)


def test_a_failed_job_is_logged_with_its_problem() -> None:
    (line,) = logged((RUNNING, failed(RUNNING, BAD)))
    assert (line["event"], line["state"], line["code"]) == ("job.ended", "failed", "malformed_archive")
    assert line["reason"] == BAD.detail


def test_a_job_that_fails_during_its_upload_is_logged() -> None:
    (line,) = logged((RECEIVING, failed(RECEIVING, BAD)))
    assert (line["event"], line["seconds"]) == ("job.ended", None)


def test_a_long_reason_is_cut() -> None:
    (line,) = logged((RUNNING, failed(RUNNING, replace(BAD, detail="x" * 100_000))))
    assert len(line["reason"]) == 1_000


def test_a_retry_is_logged() -> None:
    ended = failed(RUNNING, BAD)
    assert events((ended, ended.transition_to(JobState.QUEUED, attempt=2, problem=None))) == ["job.retried"]


def test_a_failed_attempt_is_logged_with_the_time_of_the_next() -> None:
    lost, attempt = sorted(logged((RUNNING, PAUSED)), key=lambda line: str(line["event"]), reverse=True)
    assert (lost["event"], lost["registry"], lost["code"]) == ("registry.lost", "edge", "registry_unreachable")
    assert (attempt["event"], attempt["attempt"], attempt["code"]) == ("job.attempt_failed", 1, "registry_unreachable")
    assert attempt["next_attempt_at"] == "2026-01-02T03:04:10+00:00"


@pytest.mark.parametrize(
    ("before", "job"),
    [
        (RUNNING, recover_running(RUNNING, NOW)),
        (RUNNING, recover_running(RUNNING, NOW).transition_to(JobState.RUNNING, started_at=NOW)),
    ],
    ids=["requeued", "taken over by another replica"],
)
def test_an_attempt_that_a_crash_ended_is_logged(before: Job, job: Job) -> None:
    (line,) = logged((before, job))
    assert (line["event"], line["attempt"], line["code"]) == ("job.attempt_failed", 1, "interrupted")


@pytest.mark.parametrize(
    ("before", "job"),
    [(None, RECEIVING), (QUEUED, RUNNING), (PAUSED, resumed(PAUSED, NOW)), (RUNNING, requeue_for_leases(RUNNING))],
    ids=["receiving", "running", "resumed", "waiting for its tags"],
)
def test_other_transitions_are_not_logged(before: Job | None, job: Job) -> None:
    assert events((before, job)) == []


def registry_events(*steps: tuple[Job | None, Job]) -> list[str]:
    return [event for event in events(*steps) if event.startswith("registry.")]


AGAIN = pause_for_outage(RESUMED, AWAY, NOW, timedelta(seconds=5))
BACK = RESUMED.transition_to(JobState.SUCCEEDED, finished_at=NOW)


def test_an_outage_is_logged_once_at_its_begin_and_at_its_end() -> None:
    steps = (
        (RUNNING, PAUSED),
        (RUNNING, PAUSED),
        (PAUSED, RESUMED),
        (RESUMED, AGAIN),
        (RESUMED, BACK),
        (RUNNING, DONE),
    )
    assert registry_events(*steps) == ["registry.lost", "registry.back"]
    assert registry_events(*steps, *steps) == ["registry.lost", "registry.back"] * 2


def test_an_outage_that_began_before_a_restart_ends_in_the_log() -> None:
    assert registry_events((PAUSED, RESUMED), (RESUMED, BACK)) == ["registry.back"]


def test_an_outage_that_no_job_waits_for_is_logged() -> None:
    assert registry_events((RUNNING, failed(RUNNING, AWAY)), (RUNNING, DONE)) == ["registry.lost", "registry.back"]


def test_a_refusal_shows_that_the_registry_is_back() -> None:
    assert registry_events((RUNNING, PAUSED), (RESUMED, failed(RESUMED, DENIED))) == ["registry.lost", "registry.back"]


@pytest.mark.parametrize(
    "end", [failed(RESUMED, BAD), RESUMED.transition_to(JobState.CANCELLED, finished_at=NOW)], ids=["bad", "cancelled"]
)
def test_an_end_without_the_registry_does_not_show_that_it_is_back(end: Job) -> None:
    assert registry_events((RUNNING, PAUSED), (RESUMED, end)) == ["registry.lost"]


def test_outages_of_registries_are_separate() -> None:
    other, ended = replace(RUNNING, registry="other"), replace(DONE, registry="other")
    assert registry_events((RUNNING, PAUSED), (other, ended)) == ["registry.lost"]
