"""How each cell of the table is tried: a function for each resource and action, which tells what came of it in the
table's own words."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import httpx

from tests.support.archives import entry, oci_layout
from tests.support.event_stream import reading
from tests.tenancy.scene import HOME, STREAM, TOKENS, TUS, Scene, archive

Cell = Callable[[Scene, str], Awaitable[str]]
CELLS: dict[tuple[str, str], Cell] = {}
CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "no"}


def cell(resource: str, action: str) -> Callable[[Cell], Cell]:
    def kept(tried: Cell) -> Cell:
        assert (resource, action) not in CELLS
        CELLS[resource, action] = tried
        return tried

    return kept


def outcome(answer: httpx.Response, *, is_listed: bool = True, other: str = "hidden") -> str:
    """`is_listed`: whether what the owner made is in an answer that refuses nothing."""
    if answer.status_code >= 500:
        return f"failed: {answer.status_code} {answer.text:.200}"
    if answer.is_success:
        return "yes" if is_listed else other
    if answer.status_code == 405:
        return "no"
    if "problem+json" in answer.headers.get("content-type", "") and answer.content:
        return str(answer.json()["code"])
    return CODES.get(answer.status_code, f"refused: {answer.status_code} {answer.text:.200}")


def simple(resource: str, action: str, method: str, make: Callable[[Scene], Awaitable[str]], then: str = "") -> None:
    """A cell of one request to what `make` makes: once, and again after each request that has changed it."""

    async def tried(scene: Scene, caller: str) -> str:
        path = await scene.kept((resource, action), make)
        answer = await scene.ask(caller, method, path + then, **TUS)
        if answer.is_success and method not in ("GET", "HEAD"):
            scene.use_up((resource, action))
        return outcome(answer)

    cell(resource, action)(tried)


async def receiving(scene: Scene) -> str:
    return (await scene.upload()).headers["tarmac-job"]


async def begun(scene: Scene) -> str:
    return (await scene.upload()).headers["location"]


async def manifest(scene: Scene) -> str:
    await scene.pushed("team/a/shown:1")
    return "/v2/team/a/shown/manifests/1"


async def tag_to_delete(scene: Scene) -> str:
    await scene.pushed("team/a/deleted:1")
    return "/v2/team/a/deleted/manifests/1"


async def manifest_to_delete(scene: Scene) -> str:
    answer = await scene.ask("owner", "GET", await tag_to_delete(scene))
    return f"/v2/team/a/deleted/manifests/{answer.headers['docker-content-digest']}"


async def stored(scene: Scene) -> str:
    await scene.pushed("team/a/stored:1")
    return "/store/team/a/stored"


async def blob(scene: Scene) -> str:
    _, digest = await scene.secret()
    return f"/v2/team/a/secret/blobs/{digest}"


def always(path: str) -> Callable[[Scene], Awaitable[str]]:
    async def made(_: Scene) -> str:
        return path

    return made


simple("job", "see", "GET", Scene.pushed)
simple("job", "cancel", "POST", receiving, "/cancel")
simple("job", "retry", "POST", Scene.failed, "/retry")
simple("job", "delete", "DELETE", Scene.failed)
simple("delivery", "see", "GET", Scene.delivery)
simple("delivery", "report", "GET", Scene.delivery, "/report?format=csv")
simple("delivery", "retry", "POST", Scene.delivery, "/retry")
simple("delivery", "delete", "DELETE", Scene.delivery)
simple("upload", "see", "HEAD", begun)
simple("upload", "delete", "DELETE", begun)
simple("held archive", "push", "POST", Scene.held, "/push?dry_run=true")
simple("held archive", "delete", "DELETE", Scene.held)
simple("blob", "see", "GET", blob)
simple("blob", "delete", "DELETE", blob)
simple("blob", "make", "POST", always("/v2/team/a/made/blobs/uploads/"))
simple("manifest", "see", "GET", manifest)
simple("manifest", "delete", "DELETE", manifest_to_delete)
simple("tag", "delete", "DELETE", tag_to_delete)
simple("stored image", "see", "GET", stored)
simple("stored image", "delete", "DELETE", stored, "?all=true")
simple("tag", "see", "GET", always("/v2/team/a/shown/tags/list"))
simple("repository", "list", "GET", always("/v2/_catalog"))
simple("audit entry", "delete", "DELETE", always("/audit"))
simple("watched file", "see its job", "GET", Scene.watched)
simple("watched file", "delete its job", "DELETE", Scene.watched)
simple("metrics", "see", "GET", always("/metrics"))
simple("health", "see", "GET", always("/healthz"))


@cell("job", "list")
async def list_jobs(scene: Scene, caller: str) -> str:
    path = await scene.kept(("job", "see"), Scene.pushed)
    answer = await scene.ask(caller, "GET", "/jobs?limit=500")
    return outcome(answer, is_listed=path.removeprefix("/jobs/") in answer.text)


@cell("job", "make in its own repository")
async def make_job(scene: Scene, caller: str) -> str:
    return outcome(await scene.push(caller, f"{HOME[caller]}/made:1"))


@cell("error of a job", "see")
async def see_error(scene: Scene, caller: str) -> str:
    answer = await scene.ask(caller, "GET", await scene.kept(("error", "see"), Scene.failed))
    return outcome(answer, is_listed="tag_exists" in answer.text)


@cell("event", "see")
async def see_event(scene: Scene, caller: str) -> str:
    answer = await scene.ask(caller, "GET", f"{await scene.kept(('job', 'see'), Scene.pushed)}/events")
    return outcome(answer, is_listed="event: job" in answer.text)


@cell("event of all jobs", "see")
async def see_events_of_all(scene: Scene, caller: str) -> str:
    """The owner's job comes before the caller's: once that is told, the other would have been."""
    fields = {"Authorization": f"Bearer {TOKENS[caller]}"} if caller in TOKENS else {}
    async with reading(scene.served.app, "/events", fields) as events:
        if events.status != 200:
            return CODES[events.status]
        await scene.pushed("team/a/told:1")
        while caller == "reader":  # it cannot push; jobs of others may still change
            if (await events.next("job"))[1]["submitted_by"] == "owner":
                return "yes"
        last = (await scene.push(caller, f"{HOME[caller]}/told:2")).json()["id"]
        seen: set[str] = set()
        while True:
            _, job = await events.next("job")
            seen.add(job["submitted_by"])
            if job["id"] == last:
                return "yes" if "owner" in seen else "hidden"


@cell("delivery", "list")
async def list_deliveries(scene: Scene, caller: str) -> str:
    path = await scene.kept(("delivery", "see"), Scene.delivery)
    answer = await scene.ask(caller, "GET", "/deliveries?limit=200")
    return outcome(answer, is_listed=path.removeprefix("/deliveries/") in answer.text)


@cell("delivery", "join by its name")
async def join_delivery(scene: Scene, caller: str) -> str:
    path = await scene.kept(("delivery", "see"), Scene.delivery)
    name = (await scene.ask("owner", "GET", path)).json()["name"]
    answer = await scene.push(caller, f"{HOME[caller]}/joined:1", f"&delivery={name}")
    return outcome(answer, is_listed=answer.json().get("delivery") == path.removeprefix("/deliveries/"), other="own")


@cell("report on jobs", "see")
async def see_report_on_jobs(scene: Scene, caller: str) -> str:
    path = await scene.kept(("job", "see"), Scene.pushed)
    answer = await scene.ask(caller, "GET", "/jobs/report")
    return outcome(answer, is_listed=path.removeprefix("/jobs/") in answer.text)


@cell("own name and rights", "see")
async def see_caller(scene: Scene, caller: str) -> str:
    answer = await scene.ask(caller, "GET", "/whoami")
    return outcome(answer, is_listed=answer.json().get("name") == "owner", other="own")


@cell("audit entry", "see")
async def see_audit(scene: Scene, caller: str) -> str:
    path = await scene.kept(("job", "see"), Scene.pushed)
    answer = await scene.ask(caller, "GET", "/audit?limit=500")
    return outcome(answer, is_listed=path.removeprefix("/jobs/") in answer.text)


@cell("idempotency key", "use again")
async def use_key_again(scene: Scene, caller: str) -> str:
    """Others push to their own repository: were the key shared, theirs would be taken for another request."""
    key, body = {"Idempotency-Key": "key"}, archive("key")

    async def make(scene: Scene) -> httpx.Response:
        return await scene.push("owner", "team/a/key:1", "", body, **key)

    first = await scene.kept(("key", "use"), make)
    again = await scene.push(caller, f"{HOME[caller]}/key:1", "", body, **key)
    return outcome(again, is_listed=again.json().get("id") == first.json()["id"], other="own")


@cell("upload", "make")
async def make_upload(scene: Scene, caller: str) -> str:
    return outcome(await scene.ask(caller, "POST", "/uploads", **{**TUS, "Upload-Length": "9"}))


@cell("upload", "continue")
async def continue_upload(scene: Scene, caller: str) -> str:
    content = archive("continued")
    path = (await scene.upload(**{"Upload-Length": str(len(content))})).headers["location"]
    return outcome(await scene.ask(caller, "PATCH", path, content[:600], **{**STREAM, "Upload-Offset": "0"}))


@cell("part of an upload", "put together")
async def put_together(scene: Scene, caller: str) -> str:
    path = f"/uploads?hold=true&tag={HOME[caller]}/joined:1"
    return outcome(await scene.ask(caller, "POST", path, **{**TUS, "Upload-Concat": f"final;{await scene.part()}"}))


@cell("blob", "get elsewhere by naming its digest")
async def name_digest(scene: Scene, caller: str) -> str:
    """An archive that refers to the layer and does not have it."""
    node, digest = await scene.secret()
    content = oci_layout([entry(node, ref="x:1")], without=[digest])
    return await _got(scene, caller, "named", "&allow_missing=true", content, digest)


@cell("staging blob", "get by naming its digest")
async def name_staged(scene: Scene, caller: str) -> str:
    """An archive that has other bytes of the same size in place of the layer."""
    node, digest = await scene.secret()
    other = os.urandom(len(node.blobs[digest]))
    content = oci_layout([entry(node, ref="x:1")], without=[digest], more={f"blobs/sha256/{digest[7:]}": other})
    return await _got(scene, caller, "staged", "", content, digest)


async def _got(scene: Scene, caller: str, name: str, query: str, content: bytes, digest: str) -> str:
    repository = f"{HOME[caller]}/{name}"
    answer = await scene.push(caller, f"{repository}:1", query, content)
    if answer.status_code in (401, 403):
        return outcome(answer)
    status = await scene.read(caller, repository, digest)
    return "yes" if status == 200 else CODES.get(status, str(status))


@cell("tag", "make")
async def make_tag(scene: Scene, caller: str) -> str:
    return outcome(await scene.push(caller, f"team/a/new:{scene.number()}"))


@cell("tag", "move")
async def move_tag(scene: Scene, caller: str) -> str:
    await scene.kept(("tag", "moved"), lambda scene: scene.pushed("team/a/moved:1"))
    return outcome(await scene.push(caller, "team/a/moved:1"))


async def _push_path(scene: Scene, caller: str, path: str) -> httpx.Response:
    body = f'{{"paths": ["{path}"], "tag": "{HOME[caller]}/path:1"}}'.encode()
    return await scene.ask(caller, "POST", "/push?wait=30", body, **{"Content-Type": "application/json"})


@cell("server path", "push")
async def push_path(scene: Scene, caller: str) -> str:
    file = scene.folder / "inside" / "x.tar"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(archive("path"))
    return outcome(await _push_path(scene, caller, str(file)))


@cell("server path", "push outside the roots")
async def push_outside(scene: Scene, caller: str) -> str:
    file = scene.folder / "outside.tar"
    file.write_bytes(archive("outside"))
    return outcome(await _push_path(scene, caller, str(file)))


@cell("stored image", "list")
async def list_stored(scene: Scene, caller: str) -> str:
    await scene.kept(("stored image", "see"), stored)
    answer = await scene.ask(caller, "GET", "/store?limit=500")
    return outcome(answer, is_listed="team/a/stored" in answer.text)


@cell("stored image", "prune")
async def prune_stored(scene: Scene, caller: str) -> str:
    """An image whose tag has moved on."""
    for _ in range(2):
        await scene.pushed("team/a/pruned:1")
    answer = await scene.ask(caller, "POST", "/store/prune")
    return outcome(answer, is_listed="team/a/pruned" in answer.text, other="own")


@cell("stored image", "copy")
async def copy_stored(scene: Scene, caller: str) -> str:
    await stored(scene)
    body = f'{{"to": "default", "prefix": "{HOME[caller]}", "wait": 30}}'.encode()
    answer = await scene.ask(caller, "POST", "/store/copy", body, **{"Content-Type": "application/json"})
    return outcome(answer, is_listed="team/a/stored" in answer.text, other="own")


@cell("disk usage", "see")
async def see_usage(scene: Scene, caller: str) -> str:
    answer = await scene.ask(caller, "GET", "/status")
    return outcome(answer, is_listed=answer.is_success and answer.json()["usage"] is not None)


@cell("registry", "see")
async def see_registries(scene: Scene, caller: str) -> str:
    answer = await scene.ask(caller, "GET", "/registries")
    is_named = answer.is_success and [found["name"] for found in answer.json()["registries"]] == ["default"]
    told = answer.is_success and answer.json()["registries"][0]["url"] is not None
    return outcome(answer, is_listed=told, other="names" if is_named else "hidden")
