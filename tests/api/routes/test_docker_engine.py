"""Docker's doors in this process: what is streamed, what is found, and how errors are told."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import __version__
from app.api import RegistryView
from app.api.routes import docker_engine as docker_doors
from app.api.routes.docker_engine_stream import final_lines, progress_lines
from app.errors import RegistryUnreachable
from app.jobs import Job, JobState
from app.jobs.model import JobImage
from app.jobs.tracking.waiting_for import WaitingFor
from app.push import ImageState
from app.registry.distribution.probe import RegistryReport
from tests.api.conftest import APP, Served, serving
from tests.support.archives import docker_save, entry, image, oci_image, oci_index, oci_layout, tagged

NAME = "example.com/team/app:1"


def stream_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return [json.loads(line) for line in answer.text.splitlines() if line.strip()]


def refused(answer: httpx.Response, status: int) -> str:
    """The message of an error as Docker's clients read it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    message: str = answer.json()["message"]
    return message


@pytest.mark.parametrize("version", ["", "/v1.24", "/v1.43", "/v1.51"])
async def test_an_archive_is_loaded_and_its_push_is_told_with_and_without_a_version(
    served: Served, version: str
) -> None:
    loaded = stream_of(await served.client.post(f"{version}/images/load", content=APP))
    assert loaded[-1] == {"stream": f"Loaded image: {NAME}\n"}
    digest = await served.digest("team/app", "1")
    *_, words, aux = stream_of(await served.client.post(f"{version}/images/team/app/push?tag=1"))
    assert words["status"].startswith(f"1: digest: {digest} size: ")
    assert aux["aux"] == {"Tag": "1", "Digest": digest, "Size": int(words["status"].rpartition(" ")[2])}
    assert (await served.client.get(f"{version}/images/{NAME}/json")).json()["Id"] == digest


async def test_the_stream_begins_with_the_job_and_tells_its_bytes(served: Served) -> None:
    first, *others = stream_of(await served.client.post("/images/load", content=APP))
    job = (await served.client.get(first["status"].partition("GET ")[2])).json()
    assert (job["state"], job["archives"][0]["name"]) == ("succeeded", "docker load")
    done = [other["progressDetail"] for other in others if other.get("id") == job["id"][:12]]
    assert done[-1] == {"current": job["progress"]["bytes_total"], "total": job["progress"]["bytes_total"]}
    assert {"status": "Pushed", "id": NAME, "progressDetail": {}} in others


@pytest.mark.parametrize("quiet", ["1", "true", "True"])
async def test_quiet_leaves_the_progress_out(served: Served, quiet: str) -> None:
    lines = stream_of(await served.client.post(f"/images/load?quiet={quiet}", content=APP))
    assert [next(iter(line)) for line in lines] == ["status", "stream"]


async def test_every_name_of_every_image_is_told(served: Served) -> None:
    archive = docker_save([tagged(image({"a": b"a"}), "a:1", "b:1"), tagged(image({"c": b"c"}), "c:1")])
    lines = stream_of(await served.client.post("/images/load", content=archive))
    assert [line["stream"] for line in lines if "stream" in line] == [f"Loaded image: {n}:1\n" for n in "abc"]


async def test_what_goes_wrong_with_an_archive_is_told_with_the_code(served: Served) -> None:
    nameless = docker_save([tagged(image({"a": b"a"}))])
    assert "missing_tag" in str((await served.client.post("/images/load", content=nameless)).json())
    assert "unknown_format" in str((await served.client.post("/images/load", content=b"no archive")).json())


@pytest.mark.parametrize("query", ["", "?tag=latest"])
async def test_a_name_without_a_tag_is_the_latest(served: Served, query: str) -> None:
    archive = docker_save([tagged(image({"a": b"a"}), "busybox:latest")])
    await served.client.post("/images/load", content=archive)
    aux = stream_of(await served.client.post(f"/images/busybox/push{query}"))[-1]["aux"]
    assert (aux["Tag"], aux["Digest"]) == ("latest", await served.digest("library/busybox", "latest"))


@pytest.mark.parametrize("path", ["team/none/push?tag=1", "team/app/push?tag=2", "team/app/push"])
async def test_the_push_of_what_has_not_landed_is_not_found(served: Served, path: str) -> None:
    await served.client.post("/images/load", content=APP)
    assert refused(await served.client.post(f"/images/{path}"), 404).startswith("No such image: team/")


async def test_an_image_is_shown_with_what_its_config_tells(served: Served) -> None:
    await served.client.post("/images/load", content=APP)
    digest = await served.digest("team/app", "1")
    shown = (await served.client.get("/images/team/app:1/json")).json()
    assert (shown["Architecture"], shown["Os"]) == ("amd64", "linux")
    assert shown["RepoTags"] == ["127.0.0.1:8080/team/app:1"]
    assert shown["RepoDigests"] == [f"127.0.0.1:8080/team/app@{digest}"]
    assert len(shown["RootFS"]["Layers"]) == 1
    manifest = (await served.client.get("/v2/team/app/manifests/1")).json()
    assert shown["Size"] == manifest["config"]["size"] + sum(item["size"] for item in manifest["layers"])


async def test_an_index_is_shown_without_a_config_and_by_its_digest(served: Served) -> None:
    index = oci_index([oci_image(image({"a": b"a"})), oci_image(image({"b": b"b"}))])
    archive = oci_layout([entry(index, name="team/multi:1")])
    await served.client.post("/images/load", content=archive)
    shown = (await served.client.get(f"/images/team/multi@{index.digest}/json")).json()
    assert (shown["Id"], shown["Os"], shown["RepoTags"]) == (index.digest, "", [])
    assert shown["Descriptor"]["mediaType"] == index.media_type


@pytest.mark.parametrize(("path", "status"), [("Team/App/json", 422), ("a:b:c/json", 422), ("nothing/json", 404)])
async def test_a_name_that_can_be_none_is_refused_with_a_message(served: Served, path: str, status: int) -> None:
    assert refused(await served.client.get(f"/images/{path}"), status)


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [("", b"", 422), ("?platform=linux", APP, 422), ("?quiet=perhaps", APP, 422)],
)
async def test_a_load_that_cannot_be_taken_is_refused_with_a_message(
    served: Served, query: str, body: bytes, status: int
) -> None:
    assert refused(await served.client.post(f"/images/load{query}", content=body), status)


@pytest.mark.parametrize(("method", "path"), [("GET", "/images/load"), ("POST", "/version"), ("POST", "/v1.43/_ping")])
async def test_a_method_that_a_door_does_not_have_is_told_with_a_message(
    served: Served, method: str, path: str
) -> None:
    assert "not possible" in refused(await served.client.request(method, path), 405)


async def test_registry_credentials_of_a_request_are_not_looked_at(served: Served) -> None:
    await served.client.post("/images/load", content=APP)
    answer = await served.client.post("/images/team/app/push?tag=1", headers={"X-Registry-Auth": "%%%"})
    assert "aux" in stream_of(answer)[-1]


@pytest.mark.parametrize("path", ["/_ping", "/v1.43/_ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_tells_the_version_of_the_api(served: Served, method: str, path: str) -> None:
    answer = await served.client.request(method, path)
    assert (answer.status_code, answer.headers["API-Version"], answer.headers["OSType"]) == (200, "1.43", "linux")


@pytest.mark.parametrize("path", ["/version", "/v1.43/version"])
async def test_the_version_is_tarmacs_and_dockers(served: Served, path: str) -> None:
    document = (await served.client.get(path)).json()
    assert (document["name"], document["version"]) == ("tarmac", __version__)
    assert (document["Version"], document["ApiVersion"], document["MinAPIVersion"]) == (__version__, "1.43", "1.24")


async def test_a_token_is_needed_and_its_bounds_hold(tmp_path: Path) -> None:
    hashed = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("other", "team")}
    lines = (f"other:{hashed['other']}:push:other\n", f"team:{hashed['team']}:push:team\n")
    (tmp_path / "tokens").write_text("".join(lines))
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        other, team = ({"Authorization": f"Bearer {name}"} for name in hashed)
        for method, path in (("POST", "/images/load"), ("GET", "/version"), ("GET", "/_ping")):
            assert "token" in refused(await served.client.request(method, path, content=APP), 401)
        assert "stream" in stream_of(await served.client.post("/images/load", content=APP, headers=team))[-1]
        assert "below other" in refused(await served.client.post("/images/load", content=APP, headers=other), 403)
        assert (await served.client.post("/images/team/app/push?tag=1", headers=team)).status_code == 200
        for method, path in (("POST", "/images/team/app/push?tag=1"), ("GET", "/images/team/app:1/json")):
            assert "below other" in refused(await served.client.request(method, path, headers=other), 403)


async def test_a_stop_ends_the_stream_and_says_where_the_job_is(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = served.app.state.context
    running = replace(Job.new(JobState.QUEUED, datetime.now(UTC)), id="a-job")

    async def wait(job_id: str, seconds: float) -> Job:
        context.stopping.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(context.service, "wait", wait)
    lines = [item async for item in docker_doors._told(context, running, quiet=False)]
    assert "goes on when it is back: GET /jobs/a-job" in json.loads(lines[-1])["error"]
    assert "stop" in refused(await served.client.post("/images/load", content=APP), 503)


async def test_without_a_default_registry_the_doors_say_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> RegistryReport:
        raise AssertionError

    context = replace(served.app.state.context, registries={"default": RegistryView("http://x", check)})
    monkeypatch.setitem(served.app.state._state, "context", context)
    assert "`default`" in refused(await served.client.post("/images/load", content=APP), 422)


def test_a_job_that_waits_or_failed_in_part_is_told() -> None:
    problem = RegistryUnreachable("nobody answers").problem
    waiting = replace(Job.new(JobState.QUEUED, datetime.now(UTC)), problem=problem)
    assert any(b"Waiting for the registry: nobody answers" in line for line in progress_lines(waiting))
    told = WaitingFor("default", waiting.created_at, 2, "registry_unreachable: no route")
    trying = replace(waiting, state=JobState.RUNNING, problem=None, waiting_for=told)
    assert any(b"Waiting for the registry: registry_unreachable: no route" in line for line in progress_lines(trying))
    images = (
        JobImage("x.tar", ("a:1",), ("r/a:1",), state=ImageState.PUSHED),
        JobImage("x.tar", ("b:1",), ("r/b:1",), state=ImageState.FAILED, problem=problem),
    )
    loaded, error = map(json.loads, final_lines(replace(waiting, problem=None, images=images)))
    assert loaded == {"stream": "Loaded image: a:1\n"}
    assert error["errorDetail"] == {"message": error["error"]}
    assert "nobody answers [registry_unreachable;" in error["error"]
    (cancelled,) = map(json.loads, final_lines(replace(waiting, state=JobState.CANCELLED, problem=None)))
    assert "cancelled" in cancelled["status"]


def test_what_was_skipped_is_not_told_to_be_loaded() -> None:
    names = {ImageState.PUSHED: "a:1", ImageState.ALREADY_PRESENT: "b:1", ImageState.SKIPPED: "c:1"}
    images = tuple(JobImage("x.tar", (name,), (f"r/{name}",), state=state) for state, name in names.items())
    lines = [
        json.loads(line) for line in final_lines(replace(Job.new(JobState.SUCCEEDED, datetime.now(UTC)), images=images))
    ]
    assert [line["stream"] for line in lines if "stream" in line] == ["Loaded image: a:1\n", "Loaded image: b:1\n"]
    assert [line["id"] for line in lines if "id" in line] == ["c:1"]
    assert not any("error" in line for line in lines)
