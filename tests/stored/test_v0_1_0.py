"""What 0.1.0 stored is read by this release as 0.1.0 served it, and goes on where 0.1.0 was killed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.problems import problem_document
from app.archive.model import Compression
from app.config.settings import RegistrySettings
from app.jobs.model import JobState
from app.jobs.resumable.model import UploadState
from app.jobs.store import JobQuery
from app.jobs.store.sql import SqlJobStore
from app.jobs.webhook import Outbox, Webhook, WebhookSettings
from app.oci import Digest
from app.push.blob_cache.sqlite import SqliteBlobInfoCache
from app.registry.uploads.capabilities import UploadCapabilities
from app.registry.uploads.capability_file import CapabilityFile
from tests.api.conftest import Served, serving
from tests.stored.archives import ARCHIVES, EMBEDDED, INDEX, LAYER, SIGNATURE
from tests.stored.golden import (
    Copy,
    Document,
    kinds,
    missing,
    served,
    unpack,
    unpack_postgres,
    unpack_sqlite,
)
from tests.stored.make import ADMIN, CI
from tests.support.archives import sha256
from tests.support.docker_registry import DockerRegistry
from tests.support.postgres import Postgres

AUTHORIZED = {"Authorization": f"Bearer {ADMIN}"}
PATCH = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DRAFT = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}
UNDER_WAY = {
    "tus-half.tar": "one.tar",
    "tus-held-half.tar": "one.tar",
    "tus-gzip-half.tar": "gzipped.tar.gz",
    "tus-checksum-half.tar": "other.tar",
    "tus-deferred.tar": "one.tar",
    "tus-empty.tar": "one.tar",
    "draft.tar": "one.tar",
    "unproven.tar": "other.tar",
}
QUEUED = {"outage", "queued", "queued-path", "tus-queued", "held-queued", "running"}
AHEAD = "2100-01-01"  # a day on which the clock was decades ahead
WORDS = ("title", "type", "status", "help")  # of a problem: they follow from its code


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@asynccontextmanager
async def going_on(copy: Copy, registry: DockerRegistry, **settings: Any) -> AsyncIterator[Served]:
    """A service that takes over; every registry that the release knew is the one that is there now."""
    names = ("default", "narrow", "stalled", "away")
    registries = {name: RegistrySettings(url=registry.url) for name in names}
    async with serving(copy.data, registries=registries, **copy.settings, **settings) as running:
        running.client.headers.update(AUTHORIZED)
        yield running


async def ended(running: Served, job: Document) -> Document:
    document: Document = (await running.client.get(f"/jobs/{job['id']}", params={"wait": 30})).json()
    return document


def without_words(document: Any) -> Any:
    if isinstance(document, list):
        return [without_words(item) for item in document]
    if not isinstance(document, dict):
        return document
    is_problem = "code" in document and "detail" in document
    return {key: without_words(value) for key, value in document.items() if not (is_problem and key in WORDS)}


async def read_again(store: SqlJobStore, name: str) -> None:
    """Every row, against what the release said it was."""
    expected = served(name)["jobs"]
    listed = {job.id: job for job in await store.page(JobQuery(states=frozenset(JobState), limit=500))}
    assert listed.keys() == {document["id"] for document in expected}
    for document in expected:
        job = await store.get(document["id"])
        assert job is not None
        assert job.brief() == listed[job.id]
        assert job.progress.images_total == len(job.images)
        found = json.loads(json.dumps(job.document(problem_document)))
        transient = {"progress"} if document["state"] in ("receiving", "running") else set()
        wanted = {key: value for key, value in document.items() if key not in transient}
        assert missing(without_words(wanted), found) == []
    entries = await store.entries(None, 0, 500)
    assert missing(served(name)["audit"], [dict(entry.entry) for entry in entries]) == []


@pytest.mark.parametrize("name", ["sqlite", "embedded"])
async def test_every_row_of_sqlite_reads_as_it_was_served(tmp_path: Path, name: str) -> None:
    store = await SqlJobStore.open(f"sqlite:///{unpack(name, tmp_path).database}")
    try:
        await read_again(store, name)
    finally:
        await store.close()


async def test_every_row_of_postgresql_reads_as_it_was_served(tmp_path: Path, postgres: Postgres) -> None:
    store = await SqlJobStore.open(unpack_postgres(tmp_path, postgres)[1])
    try:
        await read_again(store, "postgres")
    finally:
        await store.close()


def test_the_rows_show_every_state_and_outcome_there_was() -> None:
    jobs = served("sqlite")["jobs"]
    assert {job["state"] for job in jobs} == {"receiving", "queued", "running", "succeeded", "failed", "cancelled"}
    states = {image["state"] for job in jobs for image in job["images"]}
    assert states == {"pending", "pushed", "already_present", "skipped", "planned", "failed", "cancelled"}


async def test_the_audit_trail_still_refuses_to_be_changed(tmp_path: Path) -> None:
    copy = unpack("sqlite", tmp_path)
    await (await SqlJobStore.open(f"sqlite:///{copy.database}")).close()
    with sqlite3.connect(copy.database) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute("UPDATE audit SET job = ''")
    database.close()


async def go_on(running: Served, name: str) -> None:
    """Jobs that were queued, or ran, run to their end; a request that was cut off has failed."""
    jobs = kinds(name)
    for kind in QUEUED:
        for job in jobs[kind]:
            found = await ended(running, job)
            assert (kind, found["state"], found["problem"]) == (kind, "succeeded", None)
            # a job that was accepted later may have written the tag of the one that met an outage
            assert {image["state"] for image in found["images"]} <= {"pushed", "already_present", "skipped"}
            assert found["attempt"] == job["attempt"] + (kind == "running")
    cut_off = await ended(running, jobs["raw.tar"][0])
    assert (cut_off["state"], cut_off["problem"]["code"]) == ("failed", "upload_incomplete")
    unchanged = [job for job in served(name)["jobs"] if job["state"] in ("succeeded", "failed", "cancelled")]
    assert len(unchanged) >= 9
    for job in unchanged:
        assert missing(without_words(job), await ended(running, job)) == []


async def test_jobs_of_sqlite_go_on_where_they_were_killed(tmp_path: Path, registry: DockerRegistry) -> None:
    async with going_on(unpack_sqlite("sqlite", tmp_path), registry) as running:
        await go_on(running, "sqlite")


async def test_jobs_of_postgresql_go_on_where_they_were_killed(
    tmp_path: Path, registry: DockerRegistry, postgres: Postgres
) -> None:
    copy, url = unpack_postgres(tmp_path, postgres)
    async with going_on(copy, registry, database_url=url, replica_timeout="1s") as running:
        await go_on(running, "postgres")


async def go_on_with_the_clock_put_right(running: Served, name: str) -> None:
    """No job waits for a time that is decades away, and what is sent now has the last word."""
    jobs = kinds(name)
    for job in [job for kind in QUEUED for job in jobs[kind]]:
        assert (await ended(running, job))["state"] == "succeeded"
    sent = await running.client.put("/push/other.tar?tag=team/one:1", content=ARCHIVES["other.tar"])
    newest = await ended(running, sent.json())
    assert [image["state"] for image in newest["images"]] == ["pushed"]
    (entry,) = [one for one in await audit_of(running) if one["job"] == newest["id"]]
    assert entry["accepted_at"] <= entry["at"] < AHEAD
    assert len((await running.client.get("/jobs?limit=500")).json()["jobs"]) == len(served(name)["jobs"]) + 1


async def audit_of(running: Served) -> list[Document]:
    entries: list[Document] = (await running.client.get("/audit?limit=500")).json()["entries"]
    return entries


async def test_what_sqlite_has_of_a_clock_that_was_ahead_waits_for_nothing(
    tmp_path: Path, registry: DockerRegistry
) -> None:
    async with going_on(unpack_sqlite("sqlite", tmp_path, AHEAD), registry) as running:
        await go_on_with_the_clock_put_right(running, "sqlite")


async def test_what_postgresql_has_of_a_clock_that_was_ahead_waits_for_nothing(
    tmp_path: Path, registry: DockerRegistry, postgres: Postgres
) -> None:
    copy, url = unpack_postgres(tmp_path, postgres, AHEAD)
    async with going_on(copy, registry, database_url=url, replica_timeout="1s") as running:
        await go_on_with_the_clock_put_right(running, "postgres")


def test_every_upload_state_is_read(tmp_path: Path) -> None:
    states = unpack("sqlite", tmp_path).uploads()
    assert len(states) >= 13
    for document in states.values():
        written = json.loads(UploadState.read(json.dumps(document).encode()).write())
        assert missing(document, written) == []


@pytest.mark.parametrize(("upload", "archive"), UNDER_WAY.items())
async def test_an_upload_under_way_is_completed(
    tmp_path: Path, registry: DockerRegistry, upload: str, archive: str
) -> None:
    copy = unpack_sqlite("sqlite", tmp_path)
    state = copy.uploads()[upload]
    path, content = f"/uploads/{state['id']}", ARCHIVES[archive]
    async with going_on(copy, registry) as running:
        told = await running.client.head(path)
        offset = int(told.headers["upload-offset"])
        assert offset < len(content)
        if upload == "unproven.tar":
            assert offset == 1000  # what came of the request with a checksum was never proven
        headers = DRAFT if state["explicit"] else PATCH
        length = {"Upload-Length": str(len(content))} if state["length"] is None and not state["explicit"] else {}
        answer = await running.client.patch(
            path, headers=headers | length | {"Upload-Offset": str(offset)}, content=content[offset:]
        )
        assert answer.is_success, answer.text
        job = await ended(running, {"id": state["job"]})
        assert (job["state"], job["problem"]) == ("succeeded", None)
        assert job["archives"][0]["digest"] == sha256(content)
        if state["hold"]:
            pushed = await running.client.post(f"{path}/push", json={"prefix": "once-more"})
            assert (await ended(running, pushed.json()))["state"] == "succeeded"


async def test_parts_of_a_concatenation_are_put_together(tmp_path: Path, registry: DockerRegistry) -> None:
    copy = unpack_sqlite("sqlite", tmp_path)
    one = ARCHIVES["one.tar"]
    first, second = (copy.uploads()[f"part {size}"] for size in (1536, len(one) - 1536))
    async with going_on(copy, registry) as running:
        path = f"/uploads/{second['id']}"
        offset = int((await running.client.head(path)).headers["upload-offset"])
        rest = await running.client.patch(
            path, headers=PATCH | {"Upload-Offset": str(offset)}, content=one[1536 + offset :]
        )
        assert rest.status_code == 204
        whole = f"final;/uploads/{first['id']} {path}"
        made = await running.client.post("/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Concat": whole})
        job = await ended(running, {"id": made.headers["tarmac-job"].rpartition("/")[2]})
        assert (job["state"], job["archives"][0]["digest"]) == ("succeeded", sha256(one))


async def test_what_is_held_is_pushed_under_another_name(tmp_path: Path, registry: DockerRegistry) -> None:
    copy = unpack_sqlite("sqlite", tmp_path)
    held, nameless = copy.uploads()["held.tar"], copy.uploads()["nameless-held.tar"]
    assert len(held["pushes"]) == 1
    async with going_on(copy, registry) as running:
        for upload, options in ((held, {"prefix": "third"}), (nameless, {"tag": "named:1"})):
            pushed = await running.client.post(f"/uploads/{upload['id']}/push", json=options)
            assert (await ended(running, pushed.json()))["state"] == "succeeded"


async def test_idempotency_keys_still_give_their_jobs(tmp_path: Path, registry: DockerRegistry) -> None:
    jobs = kinds("sqlite")
    async with going_on(unpack_sqlite("sqlite", tmp_path), registry) as running:
        for token, key, kind, archive in (
            (CI, "golden-1", "pushed", "one.tar"),
            (ADMIN, "golden-2", "queued", "two.tar"),
        ):
            labels = [f"{name}={value}" for name, value in jobs[kind][0]["labels"].items()]
            query: dict[str, Any] = {"label": labels}
            query |= {"prefix": "later", "priority": "1"} if kind == "queued" else {}
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
            again = await running.client.put(
                f"/push/{archive}", headers=headers, params=query, content=ARCHIVES[archive]
            )
            assert (again.status_code, again.json()["id"]) == (202, jobs[kind][0]["id"])


async def test_failed_and_cancelled_jobs_are_tried_again(tmp_path: Path, registry: DockerRegistry) -> None:
    jobs = kinds("sqlite")
    async with going_on(unpack_sqlite("sqlite", tmp_path), registry) as running:
        for kind in ("partly", "cancelled", "cancelled-running"):
            retried = await running.client.post(f"/jobs/{jobs[kind][0]['id']}/retry")
            assert retried.status_code == 202, retried.text
            found = await ended(running, jobs[kind][0])
            assert (found["state"], found["attempt"]) == ("succeeded", 2)


async def test_lists_filter_and_page_over_rows_of_before(tmp_path: Path, registry: DockerRegistry) -> None:
    async with going_on(unpack_sqlite("sqlite", tmp_path), registry) as running:
        labelled = (await running.client.get("/jobs", params={"label": "team=a"})).json()
        assert [job["id"] for job in labelled["jobs"]] == [kinds("sqlite")["pushed"][0]["id"]]
        first = (await running.client.get("/jobs", params={"limit": 10})).json()
        assert (len(first["jobs"]), bool(first["next_cursor"])) == (10, True)
        audit = (await running.client.get("/audit", params={"limit": 500})).json()["entries"]
        before = served("sqlite")["audit"]
        assert missing(before, audit[: len(before)]) == []


async def test_everything_in_the_outbox_is_told(tmp_path: Path) -> None:
    place = unpack("sqlite", tmp_path).data / "webhook"
    written = {path.stem: json.loads(path.read_bytes()) for path in place.glob("*.json")}
    told: dict[str, Document] = {}

    async def receive(request: httpx.Request) -> httpx.Response:
        document = json.loads(await request.aread())
        told[document["data"]["id"]] = document
        return httpx.Response(204)

    settings = WebhookSettings("https://receiver.test/hook")
    hook = Webhook(settings, Outbox(place), transport=httpx.MockTransport(receive))
    now = max(path.stat().st_mtime for path in place.iterdir())
    assert await hook.deliver(now) is None
    await hook.close()
    assert len(told) == len(written) >= 15
    assert {f"{job_id}-{document['data']['attempt']}": document for job_id, document in told.items()} == written


async def test_what_was_learnt_of_a_registry_is_known(tmp_path: Path) -> None:
    file = unpack("sqlite", tmp_path).data / "profiles.json"
    ((registry, entry),) = json.loads(file.read_bytes()).items()
    assert await CapabilityFile(file, lambda: entry["learnt"] + 60).lookup(registry) == UploadCapabilities(most=76_800)


async def test_what_a_layer_was_stored_as_is_known(tmp_path: Path) -> None:
    file = unpack("sqlite", tmp_path).data / "layers.sqlite"
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT registry, digest FROM layers_1 WHERE diff_id = ?", (LAYER,)).fetchall()
    database.close()
    assert rows
    for registry, digest in rows:
        known = await SqliteBlobInfoCache(file).lookup(registry, Compression.GZIP, [Digest.parse(LAYER)])
        assert [str(remembered.digest) for remembered in known.values()] == [digest]


async def test_the_embedded_destination_serves_its_images(tmp_path: Path) -> None:
    copy = unpack_sqlite("embedded", tmp_path)
    async with serving(copy.data, **copy.settings) as running:
        running.client.headers.update(AUTHORIZED)
        jobs = served("embedded")["jobs"]
        assert len(jobs) == len(EMBEDDED)
        for destination, digest in [
            (name.partition("/")[2], image["digest"])
            for job in jobs
            for image in job["images"]
            for name in image["destinations"]
        ]:
            repository, _, tag = destination.rpartition(":")
            await pull(running, repository, tag, digest)
        referrers = (await running.client.get(f"/v2/library/multi/referrers/{INDEX.digest}")).json()["manifests"]
        assert [(one["digest"], one["artifactType"]) for one in referrers] == [
            (SIGNATURE.digest, "application/vnd.example.signature.v1")
        ]
        catalog = (await running.client.get("/v2/_catalog")).json()["repositories"]
        assert catalog == ["library/multi", "team/a", "team/b", "team/one", "team/other"]


async def pull(running: Served, repository: str, reference: str, digest: str) -> None:
    """All of an image, each by its digest."""
    answer = await running.client.get(f"/v2/{repository}/manifests/{reference}", headers={"Accept": "*/*"})
    assert (answer.status_code, sha256(answer.content)) == (200, digest)
    manifest = answer.json()
    for child in manifest.get("manifests", ()):
        await pull(running, repository, child["digest"], child["digest"])
    for blob in [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", ())]:
        content = (await running.client.get(f"/v2/{repository}/blobs/{blob['digest']}")).content
        assert (len(content), sha256(content)) == (blob["size"], blob["digest"])


async def test_the_embedded_destination_takes_more_beside_what_it_has(tmp_path: Path) -> None:
    copy = unpack_sqlite("embedded", tmp_path)
    async with serving(copy.data, **copy.settings) as running:
        running.client.headers.update(AUTHORIZED)
        for archive, state in (("one.tar", "already_present"), ("random.tar", "pushed")):
            sent = await running.client.put(f"/push/{archive}", content=ARCHIVES[archive])
            job = await ended(running, sent.json())
            assert [image["state"] for image in job["images"]] == [state]
        assert (await running.client.get("/v2/library/multi/tags/list")).json()["tags"] == ["1.0"]
