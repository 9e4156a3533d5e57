"""The events of a job: its document once, then what changes, so that watching many images costs little."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.api import job_response
from app.api.job_events import JobEvents
from app.errors import RegistryDenied
from app.jobs import Job, JobImage, JobState, utc_now
from app.oci import Digest
from app.push import ImageState
from app.push.report.progress import with_images


def image(number: int) -> JobImage:
    name = f"registry.local:5000/team/application-{number}:v1.2.3"
    return JobImage("x.tar", (name,), (name,), Digest.of(name.encode()), "application/vnd.oci.image.manifest.v1+json")


def running(count: int, revision: int = 1) -> Job:
    job = Job.new(JobState.RECEIVING, utc_now()).transition_to(JobState.QUEUED, images=tuple(map(image, range(count))))
    return replace(job.transition_to(JobState.RUNNING), revision=revision)


def changed(job: Job, states: dict[int, ImageState], **changes: Any) -> Job:
    found = list(job.images)
    for number, state in states.items():
        problem = RegistryDenied("no").problem if state is ImageState.FAILED else None
        found[number] = replace(found[number], state=state, problem=problem)
    progress = with_images(job.progress, [found_item.state for found_item in found])
    return job.evolve(images=tuple(found), **{"progress": progress, **changes})


def parsed(text: bytes) -> list[tuple[str, int | None, Any]]:
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((lines["event"], int(lines["id"]) if "id" in lines else None, json.loads(lines["data"])))
    return found


class Reader:
    """A client as the documentation asks for: it has the document as the events say it is."""

    def __init__(self, after: int | None = None) -> None:
        self.events = JobEvents(after)
        self.document: dict[str, Any] = {}
        self.size = 0

    def read(self, job: Job) -> list[str]:
        text = self.events.of(job)
        self.size += len(text)
        found = parsed(text)
        for name, number, data in found:
            assert (number is not None) == (name == "job")
            if name == "job":
                self.document = data
            elif name == "progress":
                self.document |= data
            elif data["index"] < len(self.document["images"]):
                self.document["images"][data["index"]] |= data
        assert self.document == json.loads(json.dumps(job_response.job_document(job)))
        return [name for name, _, _ in found]


def test_what_changes_follows_the_document() -> None:
    reader, job = Reader(), running(3)
    assert reader.read(job) == ["job"]
    job = changed(job, {1: ImageState.PUSHING})
    assert reader.read(job) == ["image", "progress"]
    job = changed(job, {0: ImageState.FAILED, 1: ImageState.PUSHED}, notices=("one",))
    assert reader.read(job) == ["image", "image", "progress"]
    job = job.evolve(progress=replace(job.progress, percent=12.0))
    assert reader.read(job) == ["progress"]
    assert reader.read(job.transition_to(JobState.FAILED, finished_at=utc_now())) == ["job"]


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.transition_to(JobState.QUEUED),
        lambda job: job.evolve(attempt=2),
        lambda job: job.evolve(images=()),
        lambda job: job.evolve(images=(*job.images, image(9))),
    ],
)
def test_the_document_comes_again_when_it_is_another(change: Any) -> None:
    reader, job = Reader(), running(3)
    reader.read(job)
    assert reader.read(change(job)) == ["job"]


def test_of_progress_only_what_changed_is_told() -> None:
    events, job = JobEvents(), running(300)
    events.of(job)
    ((name, number, data),) = parsed(events.of(job.evolve(progress=replace(job.progress, percent=1.0))))
    assert (name, number) == ("progress", None)
    assert data.keys() <= {"revision", "updated_at", "progress"}


def test_an_image_tells_its_problem() -> None:
    events, job = JobEvents(), running(2)
    events.of(job)
    (name, _, data), _ = parsed(events.of(changed(job, {1: ImageState.FAILED})))
    assert name == "image"
    assert data.keys() == {"index", "state", "problem", "digest"}
    assert (data["index"], data["state"], data["problem"]["code"]) == (1, "failed", "registry_denied")


def test_who_comes_back_has_the_document_again_while_the_job_goes_on() -> None:
    job = running(2, revision=7)
    assert Reader(after=7).read(job) == ["job"]
    ended = job.transition_to(JobState.SUCCEEDED)
    assert JobEvents(after=ended.revision).of(ended) == b""
    assert Reader(after=7).read(ended) == ["job"]


def test_images_beyond_the_document_are_told_one_by_one() -> None:
    events, job = JobEvents(), running(1_200)
    events.of(job)
    told = parsed(events.of(changed(job, {1_100: ImageState.PUSHED})))
    assert [data.get("index") for _, _, data in told] == [1_100, None]
    cancelled = changed(job, {3: ImageState.CANCELLED, 1_150: ImageState.CANCELLED}).transition_to(JobState.CANCELLED)
    (name, _, document), *rest = parsed(events.of(cancelled))
    assert (name, len(document["images"])) == ("job", 1_000)
    assert [data["index"] for _, _, data in rest] == [1_100, 1_150]


def push_of(count: int, every: int) -> int:
    """The bytes of all events of a push of so many images, `every` of which change between two events."""
    reader, job = Reader(), running(count)
    reader.read(job)
    for state in (ImageState.PUSHING, ImageState.PUSHED):
        for start in range(0, count, every):
            job = changed(job, dict.fromkeys(range(start, min(start + every, count)), state))
            reader.read(job)
    reader.read(job.transition_to(JobState.SUCCEEDED))
    return reader.size


def test_300_images_cost_below_2_mb() -> None:
    assert push_of(300, 5) < 2_000_000
