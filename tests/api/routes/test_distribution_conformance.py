"""What the distribution-spec asks of a registry that is pulled from, a test for each line, in its order: "Pull",
"Content Discovery", "Determining Support", "Error Codes"; and what its conformance suite checks of those. Against the
whole application, so that every layer's answers count. `test_pull.py` holds what goes beyond."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.registry.oci_layout.registry import LayoutRegistry
from tests.api.conftest import serving
from tests.registry.oci_layout.landing import land
from tests.support.archives import digest_of, image, oci_artifact, oci_image, oci_index

NAME = "conformance/app"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = oci_image(image({"bin/app": b"one"}))
OTHER = oci_image(image({"bin/app": b"two"}))
DOCKER = oci_image(image({"bin/app": b"docker"}), docker=True)
INDEX = oci_index([IMAGE, OTHER])
TYPED = oci_artifact(b"sbom", artifact_type="application/vnd.example.sbom", subject=IMAGE)
PLAIN = oci_image(image({"of": b"a config"}), subject=IMAGE)  # its artifactType is that of its config
LISTED = oci_index([OTHER], subject=IMAGE.descriptor, annotations={"made": "by a test"})
MANIFESTS = (IMAGE, OTHER, DOCKER, INDEX, TYPED, PLAIN, LISTED)
TAGS = {"1.0": IMAGE, "Upper_.-": IMAGE, "docker": DOCKER, "multi": INDEX, "t" * 128: OTHER}
BLOB = b"a blob of the conformance tests"
BLOBS = {digest_of(BLOB): BLOB, digest_of(b""): b""}
ABSENT = digest_of(b"nobody pushed this")
# "Error Codes": no other is allowed
CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
}
PULLABLE = [*(f"manifests/{tag}" for tag in TAGS), *(f"manifests/{manifest.digest}" for manifest in MANIFESTS)]
PULLABLE += [f"blobs/{digest}" for digest in BLOBS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    data: Path = tmp_path_factory.mktemp("conformance")
    layout = LayoutRegistry(data / "images")
    for tag, node in TAGS.items():
        await land(layout, NAME, node, tag)
    for node in (TYPED, PLAIN, LISTED):
        await land(layout, NAME, node)
    await land(layout, NAME, oci_artifact(*BLOBS.values()))
    async with serving(data) as served:
        yield served.client


pytestmark = pytest.mark.asyncio(loop_scope="module")


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The one error of an answer in the form of "Error Codes"."""
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert set(document) == {"errors"}
    (error,) = document["errors"]
    assert set(error) <= {"code", "message", "detail"}
    assert error["code"] in CODES
    assert isinstance(error["message"], str)
    return dict(error)


async def tags_of(registry: httpx.AsyncClient, query: str = "") -> tuple[list[str], httpx.Response]:
    answer = await registry.get(f"/v2/{NAME}/tags/list{query}")
    assert answer.status_code == 200
    document = answer.json()
    assert (set(document), document["name"]) == ({"name", "tags"}, NAME)
    return document["tags"], answer


async def referrers_of(
    registry: httpx.AsyncClient, digest: str, query: str = ""
) -> tuple[dict[str, Any], httpx.Response]:
    answer = await registry.get(f"/v2/{NAME}/referrers/{digest}{query}")
    assert answer.status_code == 200
    return {item["digest"]: item for item in answer.json()["manifests"]}, answer


# Pulling manifests


@pytest.mark.parametrize("tag", TAGS)
async def test_get_of_a_tag_gives_the_manifest_with_200(registry: httpx.AsyncClient, tag: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/manifests/{tag}")
    assert (answer.status_code, answer.content) == (200, TAGS[tag].raw)


@pytest.mark.parametrize("node", MANIFESTS)
async def test_get_of_a_digest_gives_the_manifest_with_200(registry: httpx.AsyncClient, node: Any) -> None:
    answer = await registry.get(f"/v2/{NAME}/manifests/{node.digest}")
    assert (answer.status_code, answer.content) == (200, node.raw)


@pytest.mark.parametrize("node", MANIFESTS)
async def test_content_type_is_the_one_that_was_pushed_without_parameters(
    registry: httpx.AsyncClient, node: Any
) -> None:
    answer = await registry.get(f"/v2/{NAME}/manifests/{node.digest}")
    assert answer.headers["Content-Type"] == node.media_type == node.descriptor["mediaType"]
    assert json.loads(answer.content).get("mediaType", node.media_type) == answer.headers["Content-Type"]


@pytest.mark.parametrize("path", PULLABLE)
async def test_docker_content_digest_is_that_of_the_body(registry: httpx.AsyncClient, path: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/{path}")
    assert answer.headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(answer.content).hexdigest()}"


@pytest.mark.parametrize("reference", ["missing-tag", ABSENT, digest_of(BLOB)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_manifest_that_is_not_in_the_repository_is_404(
    registry: httpx.AsyncClient, method: str, reference: str
) -> None:
    answer = await registry.request(method, f"/v2/{NAME}/manifests/{reference}")
    assert answer.status_code == 404
    assert method == "HEAD" or error_of(answer)["code"] == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize("reference", [".tag", "-tag", "t" * 129, "tag@x", "sha256:baddigeststring", "sha256:"])
async def test_what_is_neither_tag_nor_digest_is_400_or_404(registry: httpx.AsyncClient, reference: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/manifests/{reference}")
    assert error_of(answer)["code"] == ("DIGEST_INVALID" if ":" in reference else "MANIFEST_UNKNOWN")
    assert answer.status_code == (400 if ":" in reference else 404)


@pytest.mark.parametrize("accept", [OCI_INDEX, IMAGE.media_type, "application/json", "*/*"])
async def test_accept_never_changes_the_bytes_under_a_digest(registry: httpx.AsyncClient, accept: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/manifests/{INDEX.digest}", headers={"Accept": accept})
    assert (answer.status_code, answer.content) == (200, INDEX.raw)


# Pulling blobs


@pytest.mark.parametrize("digest", BLOBS)
async def test_get_of_a_blob_gives_it_with_200(registry: httpx.AsyncClient, digest: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status_code, answer.content) == (200, BLOBS[digest])
    assert answer.headers["Content-Length"] == str(len(BLOBS[digest]))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_blob_that_is_not_in_the_repository_is_404(registry: httpx.AsyncClient, method: str) -> None:
    answer = await registry.request(method, f"/v2/{NAME}/blobs/{ABSENT}")
    assert answer.status_code == 404
    assert method == "HEAD" or error_of(answer)["code"] == "BLOB_UNKNOWN"


async def test_a_range_of_a_blob_is_206_with_its_place(registry: httpx.AsyncClient) -> None:
    answer = await registry.get(f"/v2/{NAME}/blobs/{digest_of(BLOB)}", headers={"Range": "bytes=2-5"})
    assert (answer.status_code, answer.content) == (206, BLOB[2:6])
    assert answer.headers["Content-Range"] == f"bytes 2-5/{len(BLOB)}"
    assert answer.headers["Content-Length"] == "4"


async def test_the_parts_of_a_blob_make_it_up(registry: httpx.AsyncClient) -> None:
    parts = [f"bytes={start}-{start + 9}" for start in range(0, len(BLOB), 10)]
    answers = [await registry.get(f"/v2/{NAME}/blobs/{digest_of(BLOB)}", headers={"Range": part}) for part in parts]
    assert b"".join(answer.content for answer in answers) == BLOB


async def test_a_range_outside_of_the_blob_is_416(registry: httpx.AsyncClient) -> None:
    answer = await registry.get(f"/v2/{NAME}/blobs/{digest_of(BLOB)}", headers={"Range": f"bytes={len(BLOB)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BLOB)}"
    assert error_of(answer)["code"] == "SIZE_INVALID"


async def test_ranges_are_announced(registry: httpx.AsyncClient) -> None:
    assert (await registry.head(f"/v2/{NAME}/blobs/{digest_of(BLOB)}")).headers["Accept-Ranges"] == "bytes"


# Checking if content exists


@pytest.mark.parametrize("path", PULLABLE)
async def test_head_is_200_without_a_body_and_with_the_headers_of_get(registry: httpx.AsyncClient, path: str) -> None:
    head, get = await registry.head(f"/v2/{NAME}/{path}"), await registry.get(f"/v2/{NAME}/{path}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    for header in ("Content-Type", "Docker-Content-Digest"):
        assert head.headers[header] == get.headers[header]


# Listing tags


async def test_tags_are_listed_with_the_name_in_order_of_code_points(registry: httpx.AsyncClient) -> None:
    tags, answer = await tags_of(registry)
    assert tags == sorted(TAGS)
    assert "Link" not in answer.headers


@pytest.mark.parametrize("count", range(1, len(TAGS) + 2))
async def test_n_tags_come_from_the_beginning_and_a_link_where_more_follow(
    registry: httpx.AsyncClient, count: int
) -> None:
    tags, answer = await tags_of(registry, f"?n={count}")
    assert tags == sorted(TAGS)[:count]
    assert ("Link" in answer.headers) == (count < len(TAGS))


async def test_the_link_has_the_relation_next_and_leads_through_all_tags_once(registry: httpx.AsyncClient) -> None:
    seen, query = [], "?n=2"
    while query:
        tags, answer = await tags_of(registry, query)
        seen += tags
        link = re.fullmatch(rf'</v2/{NAME}/tags/list(\?[^>]+)>; rel="next"', answer.headers.get("Link", ""))
        query = link[1] if link else ""
    assert seen == sorted(TAGS)


async def test_n_of_zero_is_an_empty_list_without_a_link(registry: httpx.AsyncClient) -> None:
    tags, answer = await tags_of(registry, "?n=0")
    assert tags == []
    assert "Link" not in answer.headers


@pytest.mark.parametrize("number", range(len(TAGS)))
async def test_last_leaves_out_itself_and_what_comes_before_it(registry: httpx.AsyncClient, number: int) -> None:
    expected = sorted(TAGS)[number + 1 :]
    assert (await tags_of(registry, f"?last={sorted(TAGS)[number]}"))[0] == expected
    assert (await tags_of(registry, f"?n=1&last={sorted(TAGS)[number]}"))[0] == expected[:1]


async def test_last_need_not_be_a_tag_that_is_there(registry: httpx.AsyncClient) -> None:
    assert (await tags_of(registry, "?last=e"))[0] == ["multi", "t" * 128]


async def test_tags_of_a_repository_that_is_not_there_are_404(registry: httpx.AsyncClient) -> None:
    assert error_of(await registry.get("/v2/no/such/tags/list"))["code"] == "NAME_UNKNOWN"


# Listing referrers


async def test_referrers_are_an_index_of_descriptors(registry: httpx.AsyncClient) -> None:
    found, answer = await referrers_of(registry, IMAGE.digest)
    assert answer.headers["Content-Type"] == OCI_INDEX
    assert {key: answer.json()[key] for key in ("schemaVersion", "mediaType")} == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
    }
    assert set(found) == {TYPED.digest, PLAIN.digest, LISTED.digest}
    for node in (TYPED, PLAIN, LISTED):
        each = found[node.digest]
        assert (each["mediaType"], each["size"]) == (node.media_type, len(node.raw))


async def test_a_referrer_has_its_artifact_type_or_that_of_its_config(registry: httpx.AsyncClient) -> None:
    found, _ = await referrers_of(registry, IMAGE.digest)
    assert found[TYPED.digest]["artifactType"] == "application/vnd.example.sbom"
    assert found[PLAIN.digest]["artifactType"] == "application/vnd.oci.image.config.v1+json"
    assert "artifactType" not in found[LISTED.digest]  # an index has no config


async def test_a_referrer_has_the_annotations_of_its_manifest(registry: httpx.AsyncClient) -> None:
    found, _ = await referrers_of(registry, IMAGE.digest)
    assert found[LISTED.digest]["annotations"] == {"made": "by a test"}


async def test_a_filter_by_artifact_type_is_applied_and_said_to_be(registry: httpx.AsyncClient) -> None:
    found, answer = await referrers_of(registry, IMAGE.digest, "?artifactType=application%2Fvnd.example.sbom")
    assert set(found) == {TYPED.digest}
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"


async def test_a_filter_that_nothing_matches_gives_an_empty_index(registry: httpx.AsyncClient) -> None:
    found, answer = await referrers_of(registry, IMAGE.digest, "?artifactType=application/vnd.nobody.has.this")
    assert (found, answer.headers["OCI-Filters-Applied"]) == ({}, "artifactType")


async def test_without_a_filter_none_is_said_to_be_applied(registry: httpx.AsyncClient) -> None:
    assert "OCI-Filters-Applied" not in (await referrers_of(registry, IMAGE.digest))[1].headers


async def test_no_referrers_are_an_empty_index_and_never_404(registry: httpx.AsyncClient) -> None:
    found, answer = await referrers_of(registry, ABSENT)
    assert (found, answer.headers["Content-Type"]) == ({}, OCI_INDEX)


@pytest.mark.parametrize("digest", ["sha256:abc", "sha256:baddigeststring", "latest", "sha256%3A"])
async def test_referrers_of_no_digest_are_400(registry: httpx.AsyncClient, digest: str) -> None:
    answer = await registry.get(f"/v2/{NAME}/referrers/{digest}")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "DIGEST_INVALID")


# Determining support, and errors


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_base_answers_200(registry: httpx.AsyncClient, method: str) -> None:
    assert (await registry.request(method, "/v2/")).status_code == 200


@pytest.mark.parametrize("path", ["tags/list", f"referrers/{ABSENT}"])
async def test_lists_may_be_asked_for_by_head(registry: httpx.AsyncClient, path: str) -> None:
    assert (await registry.head(f"/v2/{NAME}/{path}")).status_code == 200


@pytest.mark.parametrize("path", ["", f"{NAME}/manifests/1.0", f"{NAME}/blobs/uploads/", f"{NAME}/tags/list"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS", "TRACE"])
async def test_a_method_that_is_not_supported_is_405_in_the_registrys_form(
    registry: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await registry.request(method, f"/v2/{path}")
    assert (answer.status_code, error_of(answer)["code"]) == (405, "UNSUPPORTED")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("Upper/manifests/1", 400, "NAME_INVALID"),
        ("no/such/manifests/1", 404, "NAME_UNKNOWN"),
        (f"{NAME}/blobs/sha256:abc", 400, "DIGEST_INVALID"),
        (f"{NAME}/tags/list?n=-1", 400, "UNSUPPORTED"),
        (f"{NAME}/nothing", 404, "UNSUPPORTED"),
    ],
)
async def test_every_error_has_the_form_and_a_code_of_the_specification(
    registry: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await registry.get(f"/v2/{path}")
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


async def test_what_is_refused_before_the_routes_has_the_form_too(registry: httpx.AsyncClient) -> None:
    foreign = await registry.post(f"/v2/{NAME}/blobs/uploads/", headers={"Origin": "http://elsewhere.test"})
    assert (foreign.status_code, error_of(foreign)["code"]) == (403, "DENIED")
    headless = await registry.get("/v2/", headers={"Host": "no host"})
    assert (headless.status_code, error_of(headless)["code"]) == (400, "UNSUPPORTED")


async def test_a_missing_token_is_told_in_the_form_with_a_challenge(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"someone:{hashlib.sha256(b'a token').hexdigest()}\n")
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        answer = await served.client.get("/v2/")
    assert (answer.status_code, error_of(answer)["code"]) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
