"""The pull requirements of the distribution-spec, one by one ("Pull", "Content Discovery", "Error Codes")."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api.routes import distribution as pull
from app.api.routes.distribution import add_distribution_routes
from app.errors import RegistryFault
from app.oci import Digest
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.served import ServedLayout
from tests.registry.oci_layout.landing import land
from tests.support.archives import digest_of, image, oci_artifact, oci_image, oci_index
from tests.support.blob_content import BytesContent

APP = oci_image(image({"bin/app": b"one"}, {"etc/app": b"two"}))
OTHER = oci_image(image({"bin/app": b"another"}))
INDEX = oci_index([APP, OTHER])
SIGNATURE = oci_artifact(b"signature", artifact_type="application/vnd.example.signature", subject=APP)
SBOM = oci_artifact(b"sbom", artifact_type="application/vnd.example.sbom", subject=APP)
BLOB = bytes(range(256)) * 4
BLOB_DIGEST = digest_of(BLOB)
ABSENT = digest_of(b"hello world")


@pytest.fixture
async def layout(tmp_path: Path) -> LayoutRegistry:
    layout = LayoutRegistry(tmp_path / "layout")
    await land(layout, "team/app", INDEX, "multi")
    await land(layout, "team/app", APP, "1.0")
    await layout.push_blob("team/app", BytesContent(BLOB))
    return layout


@pytest.fixture
async def client(layout: LayoutRegistry) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    add_distribution_routes(app, ServedLayout(layout))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://registry") as client:
        yield client


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The message of an error in the form that the distribution-spec gives."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    (error,) = response.json()["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert error["code"] == code
    message: str = error["message"]
    assert message
    return message


@pytest.mark.parametrize(("method", "path"), [("GET", "/v2/"), ("HEAD", "/v2/"), ("GET", "/v2")])
async def test_the_base_says_that_this_is_a_registry(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert response.status_code == 200
    assert response.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/team/app/manifests/1.0", "/v2/no/such/manifests/1", "/v2/x/blobs/uploads/"]
)
async def test_every_answer_says_what_it_is_and_is_never_guessed_at(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("reference", ["1.0", APP.digest])
async def test_a_manifest_is_pulled_byte_for_byte(client: httpx.AsyncClient, reference: str) -> None:
    response = await client.get(f"/v2/team/app/manifests/{reference}")
    assert response.status_code == 200
    assert response.content == APP.raw
    assert response.headers["Content-Type"] == APP.media_type
    assert response.headers["Content-Length"] == str(len(APP.raw))
    assert response.headers["Docker-Content-Digest"] == APP.digest
    assert response.headers["ETag"] == f'"{APP.digest}"'


@pytest.mark.parametrize("reference", ["1.0", APP.digest])
async def test_head_of_a_manifest_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient, reference: str) -> None:
    head = await client.head(f"/v2/team/app/manifests/{reference}")
    get = await client.get(f"/v2/team/app/manifests/{reference}")
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.docker.distribution.manifest.v2+json", "*/*", ""])
async def test_what_is_stored_is_served_whatever_is_accepted(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.get("/v2/team/app/manifests/multi", headers={"Accept": accept})
    assert (response.status_code, response.content) == (200, INDEX.raw)
    assert response.headers["Content-Type"] == INDEX.media_type


async def test_only_a_digest_may_be_cached_for_ever(client: httpx.AsyncClient) -> None:
    assert "immutable" in (await client.get(f"/v2/team/app/manifests/{APP.digest}")).headers["Cache-Control"]
    assert "Cache-Control" not in (await client.get("/v2/team/app/manifests/1.0")).headers


async def test_the_child_of_an_index_is_pulled_by_digest(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v2/team/app/manifests/{OTHER.digest}")).content == OTHER.raw


@pytest.mark.parametrize("reference", ["2.0", ABSENT, ".INVALID_MANIFEST_NAME", "a" * 200])
async def test_a_manifest_that_is_not_there_is_not_found(client: httpx.AsyncClient, reference: str) -> None:
    path = f"/v2/team/app/manifests/{reference}"
    assert reference in refused(await client.get(path), 404, "MANIFEST_UNKNOWN")
    assert (await client.head(path)).status_code == 404


@pytest.mark.parametrize("path", ["manifests/1.0", f"manifests/{APP.digest}", f"blobs/{BLOB_DIGEST}", "tags/list"])
async def test_a_repository_that_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert "GET /v2/_catalog" in refused(await client.get(f"/v2/no/such/{path}"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("name", ["Team/App", "team//app", "-team", "a..b", "a%00b", "%2e%2e/app", "a" * 300])
@pytest.mark.parametrize("path", ["manifests/1", f"blobs/{BLOB_DIGEST}", "tags/list", f"referrers/{ABSENT}"])
async def test_a_name_that_can_be_none_is_refused(client: httpx.AsyncClient, name: str, path: str) -> None:
    refused(await client.get(httpx.URL(f"http://registry/v2/{name}/{path}")), 400, "NAME_INVALID")


@pytest.mark.parametrize("path", ["manifests/sha256:abc", "blobs/sha256:abc", "blobs/latest", "referrers/sha256:abc"])
async def test_a_digest_that_can_be_none_is_refused(client: httpx.AsyncClient, path: str) -> None:
    refused(await client.get(f"/v2/team/app/{path}"), 400, "DIGEST_INVALID")


async def test_a_blob_is_pulled_byte_for_byte(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}")
    assert (response.status_code, response.content) == (200, BLOB)
    assert response.headers["Content-Length"] == str(len(BLOB))
    assert response.headers["Docker-Content-Digest"] == BLOB_DIGEST
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Accept-Ranges"] == "bytes"


async def test_head_of_a_blob_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient) -> None:
    head = await client.head(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers={"Range": "bytes=0-1"})
    get = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}")
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


async def test_a_blob_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    path = f"/v2/team/app/blobs/{ABSENT}"
    assert ABSENT in refused(await client.get(path), 404, "BLOB_UNKNOWN")
    assert (await client.head(path)).status_code == 404


async def test_an_empty_blob_is_pulled(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    await layout.push_blob("team/app", BytesContent(b""))
    response = await client.get(f"/v2/team/app/blobs/{digest_of(b'')}")
    assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000-", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=5-9999", 5, 1024),
    ],
)
async def test_a_range_of_a_blob_is_pulled(client: httpx.AsyncClient, header: str, start: int, end: int) -> None:
    response = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers={"Range": header})
    assert (response.status_code, response.content) == (206, BLOB[start:end])
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/1024"
    assert response.headers["Content-Length"] == str(end - start)
    assert response.headers["Docker-Content-Digest"] == BLOB_DIGEST


async def test_a_range_outside_of_a_blob_is_refused_with_its_size(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers={"Range": "bytes=1024-"})
    assert "1024 bytes" in refused(response, 416, "SIZE_INVALID")
    assert response.headers["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "bytes=0-0" + ",0-0" * 10_000, "lines=1-2", "bytes=9-1"])
async def test_other_ranges_get_the_whole_blob_once(client: httpx.AsyncClient, header: str) -> None:
    response = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers={"Range": header})
    assert (response.status_code, response.content) == (200, BLOB)


@pytest.mark.parametrize(("validator", "status"), [(f'"{BLOB_DIGEST}"', 206), (f'"{ABSENT}"', 200), ("yesterday", 200)])
async def test_a_range_is_resumed_only_of_the_same_content(
    client: httpx.AsyncClient, validator: str, status: int
) -> None:
    headers = {"Range": "bytes=1-", "If-Range": validator}
    assert (await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers=headers)).status_code == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("path", "digest"), [("manifests/1.0", APP.digest), (f"blobs/{BLOB_DIGEST}", BLOB_DIGEST)])
@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
async def test_what_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, method: str, path: str, digest: str, known: str
) -> None:
    headers = {"If-None-Match": known.format(digest)}
    response = await client.request(method, f"/v2/team/app/{path}", headers=headers)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == f'"{digest}"'


async def test_a_tag_that_moved_is_sent_again(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    await land(layout, "team/app", OTHER, "1.0")
    response = await client.get("/v2/team/app/manifests/1.0", headers={"If-None-Match": f'"{APP.digest}"'})
    assert (response.status_code, response.content) == (200, OTHER.raw)


async def test_a_large_blob_is_read_piece_by_piece(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "CHUNK", 100)
    assert (await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}")).content == BLOB
    part = await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}", headers={"Range": "bytes=50-349"})
    assert part.content == BLOB[50:350]


async def test_a_blob_that_was_cut_off_on_disk_ends_the_connection(
    client: httpx.AsyncClient, layout: LayoutRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout.files, "read_blob", lambda digest, offset, size: BLOB[offset:100])
    with pytest.raises(RegistryFault, match="ends at byte 100"):
        await client.get(f"/v2/team/app/blobs/{BLOB_DIGEST}")


async def test_damage_on_disk_is_told_in_the_registrys_form(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    layout.files.blob_path(Digest.parse(APP.digest)).write_bytes(b"{}")
    assert "damaged" in refused(await client.get("/v2/team/app/manifests/1.0"), 503, "UNAVAILABLE")


async def test_tags_are_listed_in_order(client: httpx.AsyncClient) -> None:
    response = await client.get("/v2/team/app/tags/list")
    assert response.json() == {"name": "team/app", "tags": ["1.0", "multi"]}
    assert "Link" not in response.headers


async def test_tags_are_paged_by_following_the_link(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    names = [f"v{number}" for number in range(7)]
    await land(layout, "paged", APP, *names)
    seen: list[str] = []
    pages, path = 0, "/v2/paged/tags/list?n=3"
    while path:
        response = await client.get(path)
        seen += response.json()["tags"]
        pages += 1
        path = str(response.links.get("next", {}).get("url", ""))
    assert (seen, pages) == (names, 3)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("n=0", []),
        ("n=1", ["a"]),
        ("n=2&last=a", ["b", "d"]),
        ("last=b", ["d"]),
        ("last=c", ["d"]),
        ("last=d", []),
        ("n=3", ["a", "b", "d"]),
        ("n=99999999999999999999999999", ["a", "b", "d"]),
    ],
)
async def test_a_page_starts_after_last_and_holds_at_most_n(
    client: httpx.AsyncClient, layout: LayoutRegistry, query: str, expected: list[str]
) -> None:
    await land(layout, "abc", APP, "a", "b", "d")
    response = await client.get(f"/v2/abc/tags/list?{query}")
    assert response.json()["tags"] == expected
    assert ("Link" in response.headers) == (query == "n=1")


@pytest.mark.parametrize("n", ["-1", "x", "", "1.5", "²"])
async def test_a_page_size_that_is_no_count_is_refused(client: httpx.AsyncClient, n: str) -> None:
    refused(await client.get("/v2/team/app/tags/list", params={"n": n}), 400, "UNSUPPORTED")


async def test_a_listing_without_n_is_cut_where_it_gets_large(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "MAX_PAGE", 1)
    response = await client.get("/v2/team/app/tags/list")
    assert response.json()["tags"] == ["1.0"]
    assert response.headers["Link"] == '</v2/team/app/tags/list?n=1&last=1.0>; rel="next"'


async def test_repositories_are_listed(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    await land(layout, "another", APP, "1")
    assert (await client.get("/v2/_catalog")).json() == {"repositories": ["another", "team/app"]}
    paged = await client.get("/v2/_catalog?n=1")
    assert paged.headers["Link"] == '</v2/_catalog?n=1&last=another>; rel="next"'


async def referrers(client: httpx.AsyncClient, path: str) -> tuple[httpx.Response, list[dict[str, Any]]]:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    document = json.loads(response.content)
    assert (document["schemaVersion"], document["mediaType"]) == (2, "application/vnd.oci.image.index.v1+json")
    found: list[dict[str, Any]] = document["manifests"]
    return response, found


async def test_referrers_are_an_index(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    annotated = oci_index([], subject=APP.descriptor, annotations={"a": "b"})
    for node in (SIGNATURE, SBOM, annotated):
        await land(layout, "team/app", node)
    response, found = await referrers(client, f"/v2/team/app/referrers/{APP.digest}")
    expected = [SIGNATURE.descriptor, SBOM.descriptor, annotated.descriptor | {"annotations": {"a": "b"}}]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert "OCI-Filters-Applied" not in response.headers


async def test_referrers_are_filtered_by_artifact_type(client: httpx.AsyncClient, layout: LayoutRegistry) -> None:
    await land(layout, "team/app", SIGNATURE)
    await land(layout, "team/app", SBOM)
    response, found = await referrers(
        client, f"/v2/team/app/referrers/{APP.digest}?artifactType=application/vnd.example.sbom"
    )
    assert found == [SBOM.descriptor]
    assert response.headers["OCI-Filters-Applied"] == "artifactType"


@pytest.mark.parametrize("name", ["team/app", "no/such"])
async def test_no_referrers_are_an_empty_index_and_never_not_found(client: httpx.AsyncClient, name: str) -> None:
    assert (await referrers(client, f"/v2/{name}/referrers/{ABSENT}"))[1] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "team/app/blobs/uploads/"),
        ("PUT", "team/app/manifests/1.0"),
        ("PATCH", "team/app/blobs/uploads/1"),
        ("DELETE", "team/app/tags/list"),
        ("POST", ""),
    ],
)
async def test_a_push_is_refused_with_the_right_way(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, f"/v2/{path}")
    assert "POST /push" in refused(response, 405, "UNSUPPORTED")
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["team/app", "team/app/blobs/uploads/1", "manifests/1", "tags/list"])
async def test_what_is_no_endpoint_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/v2/{path}")).status_code == 404


@pytest.mark.parametrize("name", ["manifests/blobs", "tags/list", "a/referrers", "a/tags"])
async def test_a_repository_may_be_called_as_an_endpoint_is(
    client: httpx.AsyncClient, layout: LayoutRegistry, name: str
) -> None:
    await land(layout, name, APP, "1.0")
    assert (await client.get(f"/v2/{name}/manifests/1.0")).content == APP.raw
    assert (await client.get(f"/v2/{name}/blobs/{BLOB_DIGEST}")).status_code == 404  # it is another repository's
    await layout.push_blob(name, BytesContent(BLOB))
    assert (await client.get(f"/v2/{name}/blobs/{BLOB_DIGEST}")).content == BLOB
    assert (await client.get(f"/v2/{name}/tags/list")).json()["tags"] == ["1.0"]


def test_the_document_shows_the_pulls_and_not_the_refusals(tmp_path: Path) -> None:
    app = FastAPI()
    add_distribution_routes(app, ServedLayout(LayoutRegistry(tmp_path / "layout")))
    paths = app.openapi()["paths"]
    assert set(paths) == {
        "/v2/",
        "/v2/_catalog",
        "/v2/{name}/manifests/{reference}",
        "/v2/{name}/blobs/{digest}",
        "/v2/{name}/tags/list",
        "/v2/{name}/referrers/{digest}",
    }
    deletable = {"/v2/{name}/manifests/{reference}", "/v2/{name}/blobs/{digest}"}
    for path, methods in paths.items():
        assert set(methods) == ({"get", "delete"} if path in deletable else {"get"})
