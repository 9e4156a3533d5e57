"""`/store`: what the image store lists, deletes and prunes, for whom."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Served, serving
from tests.support.archives import Node, docker_save, entry, image, oci_image, oci_index, oci_layout, tagged

ONE = oci_image(image({"base": b"base"}, {"bin/app": b"one"}))
TWO = oci_image(image({"base": b"base"}, {"bin/app": b"two"}))
MULTI = oci_index([ONE, TWO])
TOKENS = {"admin": "admin", "tenant": "push:team/a", "reader": "read", "pusher": "push"}


async def push(client: httpx.AsyncClient, node: Node, tag: str, **headers: str) -> dict[str, Any]:
    archive = oci_layout([entry(node, name="example.com/app:1")])
    answer = await client.post("/push", params={"tag": tag, "wait": "30"}, content=archive, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def repositories(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/store", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["repositories"]
    return found


async def test_the_list_says_what_each_repository_has(served: Served) -> None:
    job = await push(served.client, MULTI, "team/app:1")
    await push(served.client, ONE, "team/other:1")
    multi, other = await repositories(served.client)
    (shown,) = multi["images"]
    size = sum(map(len, MULTI.content.values()))
    assert (multi["name"], multi["tags_total"], multi["untagged_total"], multi["size"]) == ("team/app", 1, 0, size)
    assert shown == {
        "tag": "1",
        "digest": MULTI.digest,
        "media_type": MULTI.media_type,
        "artifact_type": None,
        "platforms": ["linux/amd64"],
        "size": size,
        "shared_size": sum(map(len, ONE.content.values())),
        "pushed_at": shown["pushed_at"],
        "job": job["id"],
        "is_kept": True,
    }
    assert other["size"] == other["shared_size"] == other["images"][0]["shared_size"]


async def test_a_deleted_job_is_not_named(served: Served) -> None:
    job = await push(served.client, ONE, "team/app:1")
    assert (await served.client.delete(f"/jobs/{job['id']}")).status_code == 204
    assert (await repositories(served.client))[0]["images"][0]["job"] is None


async def test_a_docker_archive_has_the_platform_of_its_config(served: Served) -> None:
    archive = docker_save([tagged(image({"bin/app": b"app"}), "example.com/team/app:1")])
    await served.client.post("/push", params={"wait": "30"}, content=archive)
    (found,) = await repositories(served.client)
    assert found["images"][0]["platforms"] == ["linux/amd64"]


async def test_the_list_is_filtered_and_paged(served: Served) -> None:
    for name in ("a", "b", "c"):
        await push(served.client, ONE, f"team/{name}:1")
    await push(served.client, TWO, "team/b:2")
    assert [found["name"] for found in await repositories(served.client, q="team/b")] == ["team/b"]
    (found,) = await repositories(served.client, q="b:2")
    assert ([shown["tag"] for shown in found["images"]], found["images_total"], found["tags_total"]) == (["2"], 1, 2)
    assert [found["name"] for found in await repositories(served.client, q=ONE.digest)] == [
        "team/a",
        "team/b",
        "team/c",
    ]
    seen: list[str] = []
    cursor = None
    while cursor is not None or not seen:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await served.client.get("/store", params=query)).json()
        assert page["total"] == 3
        seen += [found["name"] for found in page["repositories"]]
        cursor = page["next_cursor"]
    assert seen == ["team/a", "team/b", "team/c"]


async def test_one_repository_is_paged(served: Served) -> None:
    for tag in ("1", "2", "3"):
        await push(served.client, ONE, f"team/app:{tag}")
    first = (await served.client.get("/store/team/app", params={"limit": 2})).json()
    then = (await served.client.get("/store/team/app", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert len(first["images"]) == 2
    assert then["next_cursor"] is None
    assert {shown["tag"] for shown in first["images"] + then["images"]} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/store?unknown=1", "invalid_request"),
        ("GET", "/store/team/app?limit=0", "invalid_request"),
        ("GET", "/store/team/app?cursor=x", "invalid_request"),
        ("GET", "/store/no/such", "not_found"),
        ("GET", "/store/Upper", "invalid_reference"),
        ("DELETE", "/store/team/app", "invalid_request"),
        ("DELETE", "/store/team/app?all=false", "invalid_request"),
        ("DELETE", "/store/team/app?tag=1&all=true", "invalid_request"),
        ("DELETE", "/store/team/app?digest=sha256:x", "invalid_request"),
        ("DELETE", "/store/team/app?tag=2", "not_found"),
        ("DELETE", f"/store/team/app?digest={TWO.digest}", "not_found"),
        ("DELETE", "/store/no/such?all=true", "not_found"),
        ("POST", "/store/prune?older_than=soon", "invalid_request"),
        ("POST", "/store/prune?keep_tags=-1", "invalid_request"),
        ("POST", "/store/prune?unknown=1", "invalid_request"),
        ("POST", "/store/prune?repository=Upper", "invalid_reference"),
    ],
)
async def test_what_cannot_be_done_has_a_code(served: Served, method: str, path: str, code: str) -> None:
    await push(served.client, ONE, "team/app:1")
    answer = await served.client.request(method, path)
    assert (answer.json()["code"], 400 <= answer.status_code < 500) == (code, True)
    assert await served.digest("team/app", "1") == ONE.digest


async def test_a_tag_is_deleted_with_what_only_it_led_to(served: Served) -> None:
    await push(served.client, ONE, "team/app:1")
    await push(served.client, TWO, "team/app:2")
    answer = await served.client.delete("/store/team/app", params={"tag": "1"})
    deleted = answer.json()
    own = {digest: data for digest, data in ONE.content.items() if digest not in TWO.content}
    assert (deleted["tags"], deleted["manifests"], deleted["blobs"]) == (1, 1, len(own))
    assert deleted["freed_bytes"] == sum(map(len, own.values()))
    assert await served.digest("team/app", "1") is None
    assert await served.digest("team/app", "2") == TWO.digest
    assert (await served.client.get(f"/v2/team/app/manifests/{ONE.digest}")).status_code == 404


async def test_a_digest_is_deleted_with_its_tags_and_a_repository_with_all(served: Served) -> None:
    for tag in ("1", "2"):
        await push(served.client, ONE, f"team/app:{tag}")
    await push(served.client, TWO, "team/app:3")
    await served.client.delete("/store/team/app", params={"digest": ONE.digest})
    assert (await served.client.get("/v2/team/app/tags/list")).json()["tags"] == ["3"]
    await served.client.delete("/store/team/app", params={"all": "true"})
    assert await repositories(served.client) == []
    assert not [path for path in (served.data / "images" / "blobs").rglob("*") if path.is_file()]


async def test_a_part_of_an_index_is_not_deleted(served: Served) -> None:
    await push(served.client, MULTI, "team/app:1")
    answer = await served.client.delete("/store/team/app", params={"digest": ONE.digest})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_an_image_that_was_pushed_by_digest_is_listed_and_kept(served: Served) -> None:
    archive = oci_layout([entry(ONE, name=f"example.com/team/app@{ONE.digest}")])
    answer = await served.client.post("/push", params={"wait": "30"}, content=archive)
    assert answer.status_code == 200, answer.text
    await served.client.post("/store/prune")
    (found,) = await repositories(served.client)
    assert [(shown["tag"], shown["digest"], shown["is_kept"]) for shown in found["images"]] == [
        (None, ONE.digest, True)
    ]


async def test_a_prune_takes_options_as_json_and_in_the_query(served: Served) -> None:
    await push(served.client, ONE, "team/app:1")
    await push(served.client, TWO, "team/app:1")
    (found,) = await repositories(served.client)
    assert [(shown["tag"], shown["is_kept"]) for shown in found["images"]] == [("1", True), (None, False)]
    planned = (await served.client.post("/store/prune", params={"dry_run": "true"})).json()
    assert planned["deleted"] == [{"repository": "team/app", "tag": None, "digest": ONE.digest}]
    done = (await served.client.post("/store/prune", json={"older_than": "1d", "keep_tags": 3})).json()
    assert done == planned | {"dry_run": False}
    assert done["freed_bytes"] > 0
    gone = (await served.client.post("/store/prune", json={"keep_tags": 0})).json()
    assert (gone["tags"], await repositories(served.client)) == (1, [])


async def test_usage_and_jobs_are_in_the_status(served: Served) -> None:
    await push(served.client, ONE, "team/app:1")
    status = (await served.client.get("/status")).json()
    assert status["usage"]["store_bytes"] == sum(map(len, ONE.content.values()))
    assert (status["usage"]["kept_bytes"], status["usage"]["free_bytes"] > 0) == (0, True)
    assert status["jobs"]["succeeded"] == 1
    assert (status["has_store"], status["registries"]) == (True, [{"name": "default", "reachable": True}])
    metrics = (await served.client.get("/metrics")).text
    assert f"tarmac_store_bytes {float(status['usage']['store_bytes'])}" in metrics


# Rights


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    lines = (f"{name}:{hashlib.sha256(name.encode()).hexdigest()}:{role}" for name, role in TOKENS.items())
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as running:
        await push(running.client, ONE, "team/a/app:1", **token("admin"))
        await push(running.client, ONE, "team/b/app:1", **token("admin"))
        yield running


def token(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


async def test_a_bound_token_sees_its_repositories_and_counts_nothing_of_others(guarded: Served) -> None:
    answer = await guarded.client.get("/store", headers=token("tenant"))
    (found,) = answer.json()["repositories"]
    assert (found["name"], found["shared_size"], found["images"][0]["shared_size"]) == ("team/a/app", 0, 0)
    assert found["images"][0]["job"] is None
    assert answer.json()["total"] == 1
    other = await guarded.client.get("/store/team/b/app", headers=token("tenant"))
    assert (other.status_code, other.json()["code"]) == (403, "forbidden")
    everything = (await guarded.client.get("/store", headers=token("reader"))).json()
    assert [found["name"] for found in everything["repositories"]] == ["team/a/app", "team/b/app"]


async def test_what_a_bound_token_frees_does_not_say_what_others_have(guarded: Served) -> None:
    deleted = (await guarded.client.delete("/store/team/a/app?all=true", headers=token("tenant"))).json()
    assert deleted["freed_bytes"] == sum(map(len, ONE.content.values()))
    pulled = await guarded.client.get(f"/v2/team/b/app/manifests/{ONE.digest}", headers=token("admin"))
    assert pulled.status_code == 200


@pytest.mark.parametrize("path", ["/store/team/a/app?all=true", "/v2/team/a/app/manifests/1"])
async def test_who_may_delete(guarded: Served, path: str) -> None:
    outside = path.replace("team/a", "team/b")
    for name, where in (("reader", path), ("pusher", path), ("tenant", outside)):
        assert (await guarded.client.delete(where, headers=token(name))).status_code == 403
    assert (await guarded.client.delete(path, headers=token("tenant"))).is_success
    assert (await guarded.client.delete(outside, headers=token("admin"))).is_success


async def test_a_bound_token_prunes_its_repositories(guarded: Served) -> None:
    for name in ("reader", "pusher"):
        assert (await guarded.client.post("/store/prune", headers=token(name))).status_code == 403
    outside = await guarded.client.post("/store/prune?repository=team/b", headers=token("tenant"))
    assert outside.status_code == 403
    answer = await guarded.client.post("/store/prune?keep_tags=0", headers=token("tenant"))
    assert {gone["repository"] for gone in answer.json()["deleted"]} == {"team/a/app"}
    left = (await guarded.client.get("/store", headers=token("admin"))).json()
    assert [found["name"] for found in left["repositories"]] == ["team/b/app"]


async def test_a_bound_token_sees_registries_only_in_the_status(guarded: Served) -> None:
    status = (await guarded.client.get("/status", headers=token("tenant"))).json()
    assert (status["jobs"], status["usage"], status["registries"]) == (
        None,
        None,
        [{"name": "default", "reachable": True}],
    )


async def test_a_service_with_a_registry_has_no_store_unless_there_is_one(tmp_path: Path) -> None:
    registries = {"default": {"url": "http://127.0.0.1:9"}}
    async with serving(tmp_path / "data", registries=registries) as running:
        assert await repositories(running.client) == []
        assert (await running.client.post("/store/prune")).json()["code"] == "not_found"
    async with serving(tmp_path / "data") as running:
        await push(running.client, ONE, "team/app:1")
    async with serving(tmp_path / "data", registries=registries) as running:
        assert [found["name"] for found in await repositories(running.client)] == ["team/app"]
        assert (await running.client.get("/v2/team/app/manifests/1")).content == ONE.raw
