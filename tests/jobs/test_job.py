"""The job as a value: its ways, its document, its row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.archive import Compression
from app.errors import Conflict, InvalidRequest, Problem, RegistryDenied
from app.jobs import TRANSITIONS, ArchiveSource, Job, JobArchive, JobImage, JobRequest, JobState, utc_now
from app.jobs.request import parse_label
from app.jobs.serialization import dump_job, load_job
from app.jobs.sources.server_archives import unique_name
from app.oci import Digest
from app.push import ImageState, Progress, PushOptions
from app.push.report.progress import BlobProgress
from app.spool import SpooledFile

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Life(RuleBasedStateMachine):
    """Whatever is tried in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.job = Job.new(JobState.RECEIVING, NOON)
        self.revisions = [self.job.revision]

    @rule(state=st.sampled_from(JobState))
    def go(self, state: JobState) -> None:
        before = self.job
        if state in TRANSITIONS[before.state]:
            self.job = before.transition_to(state)
            self.revisions.append(self.job.revision)
            assert self.job.state is state
        else:
            with pytest.raises(Conflict, match=f"is {before.state} and cannot become {state}"):
                before.transition_to(state)

    @invariant()
    def revisions_grow(self) -> None:
        assert self.revisions == sorted(set(self.revisions))

    @invariant()
    def success_is_final(self) -> None:
        assert not TRANSITIONS[JobState.SUCCEEDED]


test_a_job_goes_only_the_ways_of_the_table = Life.TestCase


def test_every_state_has_its_ways() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {state for state in JobState if state.ended} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    assert not any(JobState.RECEIVING in ways for ways in TRANSITIONS.values())


def test_the_time_of_day_knows_its_zone() -> None:
    assert utc_now().utcoffset() == timedelta(0)


def test_an_id_is_128_random_bits() -> None:
    ids = {Job.new(JobState.QUEUED, NOON).id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(id_)) == 16 for id_ in ids)


def test_the_document_is_the_contract_s() -> None:
    job = Job(
        id="1" * 32,
        state=JobState.FAILED,
        created_at=datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        labels={"a": "b"},
        archives=(
            JobArchive(
                "x.tar",
                ArchiveSource.UPLOAD,
                5,
                Digest.of(b"x"),
                "oci-archive",
                Compression.NONE,
                SpooledFile("/spool/secret-place", 5, owned=True, identity=(1, 2, 5, 4)),
            ),
        ),
        images=(JobImage("x.tar", ("a:1",), ("r/a:1",), None, None, ("linux/amd64",), ImageState.PENDING),),
        problem=RegistryDenied("no").problem,
        idempotency_key="secret-key",
        fingerprint="secret-print",
    )
    document = job.document()
    assert document == {
        "id": "1" * 32,
        "state": "failed",
        "revision": 1,
        "created_at": "2026-01-01T12:00:00.000Z",
        "updated_at": "2026-01-01T12:00:00.000Z",
        "started_at": None,
        "finished_at": None,
        "next_attempt_at": None,
        "waiting_for": None,
        "attempt": 1,
        "priority": 0,
        "labels": {"a": "b"},
        "registry": "default",
        "submitted_by": None,
        "delivery": None,
        "options": job.options.members(),
        "dry_run": False,
        "archives": [
            {
                "name": "x.tar",
                "path": None,
                "source": "upload",
                "size": 5,
                "digest": str(Digest.of(b"x")),
                "format": "oci-archive",
                "compression": "none",
                "problem": None,
            }
        ],
        "archives_total": 1,
        "images": [
            {
                "index": 0,
                "archive": "x.tar",
                "names": ["a:1"],
                "destinations": ["r/a:1"],
                "targets": [{"name": "a:1", "destination": "r/a:1"}],
                "digest": None,
                "source_digest": None,
                "media_type": None,
                "platforms": ["linux/amd64"],
                "state": "pending",
                "problem": None,
            }
        ],
        "progress": {
            "bytes_received": 0,
            "bytes_expected": None,
            "bytes_total": 0,
            "bytes_done": 0,
            "bytes_sent": 0,
            "blobs_total": 0,
            "blobs_done": 0,
            "blobs_reused": 0,
            "images_total": 0,
            "images_done": 0,
            "images_pushed": 0,
            "images_present": 0,
            "images_skipped": 0,
            "images_failed": 0,
            "percent": 0.0,
            "bytes_per_second": 0,
            "eta_seconds": None,
        },
        "blobs_under_way": [],
        "inspection": None,
        "notices": [],
        "problem": {
            "title": "The registry denies this",
            "detail": "no",
            "code": "registry_denied",
            "retryable": False,
        },
    }
    assert "secret" not in str(document)


def test_the_api_may_describe_problems_in_its_own_way() -> None:
    def describe(problem: Problem) -> dict[str, object]:
        return {"code": problem.code, "status": 502}

    job = Job.new(JobState.QUEUED, NOON).evolve(problem=RegistryDenied("no").problem)
    assert job.document(describe)["problem"] == {"code": "registry_denied", "status": 502}


def test_what_is_under_way_is_told_of_a_job_that_runs_alone() -> None:
    blob = BlobProgress("team/app", f"sha256:{'0' * 64}", 1, 2)
    running = replace(Job("1", JobState.RUNNING, NOON), progress=Progress(blobs_under_way=(blob,)))
    assert load_job(json.loads(json.dumps(dump_job(running)))) == running
    assert running.document()["blobs_under_way"] == [
        {"repository": "team/app", "digest": f"sha256:{'0' * 64}", "bytes_done": 1, "bytes_total": 2}
    ]
    assert "blobs_under_way" not in running.document()["progress"]
    assert running.transition_to(JobState.CANCELLED).document()["blobs_under_way"] == []


def test_a_row_of_an_earlier_release_is_read_with_defaults() -> None:
    members = {"id": "1", "state": "queued", "created_at": NOON.isoformat()}
    assert load_job(members) == Job("1", JobState.QUEUED, NOON)


def test_a_row_of_a_later_release_is_read_without_what_is_not_known() -> None:
    members = dump_job(Job("1", JobState.QUEUED, NOON))
    members["options"]["sign"] = True
    members["progress"]["mood"] = "good"
    assert load_job(members | {"more": 1}) == Job("1", JobState.QUEUED, NOON)


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"labels": {"": "x"}},
        {"labels": {"a b": "x"}},
        {"labels": {"a": "line\nbreak"}},
        {"labels": {"a": "x" * 257}},
        {"labels": {str(number): "x" for number in range(65)}},
        {"checksum": "abc"},
        {"checksum": "sha512:" + "0" * 128},
    ],
)
def test_a_request_that_cannot_be_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        JobRequest(PushOptions(), **members)  # type: ignore[arg-type]


def test_a_request_is_told_by_all_it_asks_for() -> None:
    plain = JobRequest(PushOptions())
    others = [
        JobRequest(PushOptions(tag="a:1")),
        JobRequest(PushOptions(), registry="other"),
        JobRequest(PushOptions(), labels={"a": "b"}),
        JobRequest(PushOptions(), checksum="sha256:" + "0" * 64),
        JobRequest(PushOptions(), paths=("/a",)),
    ]
    prints = {request.fingerprint() for request in [plain, *others]} | {plain.fingerprint([Digest.of(b"")])}
    assert len(prints) == len(others) + 2
    assert plain.fingerprint() == JobRequest(PushOptions()).fingerprint()


def test_a_label_to_look_for_is_a_pair() -> None:
    assert parse_label("a=b=c") == ("a", "b=c")
    assert parse_label("a=") == ("a", "")


@given(st.lists(st.text(max_size=3), max_size=20))
def test_names_within_a_job_are_never_the_same(names: list[str]) -> None:
    given_names: set[str] = set()
    for name in names:
        unique = unique_name(name, given_names)
        assert unique not in given_names
        assert unique.startswith(name)
        given_names.add(unique)
