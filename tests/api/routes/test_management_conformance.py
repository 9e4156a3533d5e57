"""What the distribution-spec asks of a registry in "Content Management", a test for each line, and what the part
04_management of its conformance suite checks. Against the whole application, as `test_pull_conformance`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.registry.oci_layout.registry import LayoutRegistry
from tests.api.conftest import serving
from tests.api.routes.test_distribution_conformance import error_of
from tests.registry.oci_layout.landing import land
from tests.support.archives import digest_of, image, oci_artifact, oci_image, oci_index

NAME = "conformance/app"
IMAGE = oci_image(image({"bin/app": b"one"}))
OTHER = oci_image(image({"bin/app": b"two"}))
CHILD = oci_image(image({"bin/app": b"of an index"}))
INDEX = oci_index([CHILD])
SIGNATURE = oci_artifact(b"a signature", subject=IMAGE)
ABSENT = digest_of(b"nobody pushed this")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    layout = LayoutRegistry(tmp_path / "images")
    await land(layout, NAME, IMAGE, "1", "2")
    await land(layout, NAME, OTHER, "other")
    await land(layout, NAME, INDEX, "multi")
    await land(layout, NAME, SIGNATURE)
    async with serving(tmp_path) as served:
        yield served.client


async def tags(registry: httpx.AsyncClient) -> list[str]:
    found: list[str] = (await registry.get(f"/v2/{NAME}/tags/list")).json()["tags"]
    return found


# Deleting tags


async def test_a_tag_is_deleted_with_202_and_is_404_then(registry: httpx.AsyncClient) -> None:
    assert (await registry.delete(f"/v2/{NAME}/manifests/1")).status_code == 202
    answer = await registry.get(f"/v2/{NAME}/manifests/1")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "MANIFEST_UNKNOWN")
    assert await tags(registry) == ["2", "multi", "other"]


@pytest.mark.parametrize("tag", ["1", "other"])
async def test_the_manifest_of_a_deleted_tag_stays_and_so_do_its_other_tags(
    registry: httpx.AsyncClient, tag: str
) -> None:
    node = IMAGE if tag == "1" else OTHER
    await registry.delete(f"/v2/{NAME}/manifests/{tag}")
    assert (await registry.get(f"/v2/{NAME}/manifests/{node.digest}")).content == node.raw


# Deleting manifests


async def test_a_manifest_is_deleted_by_digest_with_202_and_so_are_its_tags(registry: httpx.AsyncClient) -> None:
    assert (await registry.delete(f"/v2/{NAME}/manifests/{IMAGE.digest}")).status_code == 202
    for reference in (IMAGE.digest, "1", "2"):
        assert (await registry.get(f"/v2/{NAME}/manifests/{reference}")).status_code == 404
    assert await tags(registry) == ["multi", "other"]


@pytest.mark.parametrize("reference", ["missing", ABSENT])
async def test_a_manifest_that_is_not_there_is_404(registry: httpx.AsyncClient, reference: str) -> None:
    answer = await registry.delete(f"/v2/{NAME}/manifests/{reference}")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "MANIFEST_UNKNOWN")


async def test_a_repository_that_is_not_there_is_404(registry: httpx.AsyncClient) -> None:
    for path in ("manifests/1", f"manifests/{ABSENT}", f"blobs/{ABSENT}"):
        answer = await registry.delete(f"/v2/no/such/{path}")
        assert (answer.status_code, error_of(answer)["code"]) == (404, "NAME_UNKNOWN")


async def test_a_part_of_an_index_is_405_until_the_index_is_deleted(registry: httpx.AsyncClient) -> None:
    answer = await registry.delete(f"/v2/{NAME}/manifests/{CHILD.digest}")
    assert (answer.status_code, error_of(answer)["code"]) == (405, "DENIED")
    assert (await registry.delete(f"/v2/{NAME}/manifests/{INDEX.digest}")).status_code == 202
    assert (await registry.delete(f"/v2/{NAME}/manifests/{CHILD.digest}")).status_code == 202


async def test_a_deleted_referrer_is_not_listed(registry: httpx.AsyncClient) -> None:
    assert (await registry.delete(f"/v2/{NAME}/manifests/{SIGNATURE.digest}")).status_code == 202
    assert (await registry.get(f"/v2/{NAME}/referrers/{IMAGE.digest}")).json()["manifests"] == []


async def test_referrers_of_a_deleted_manifest_can_be_listed_and_deleted(registry: httpx.AsyncClient) -> None:
    await registry.delete(f"/v2/{NAME}/manifests/{IMAGE.digest}")
    listed = (await registry.get(f"/v2/{NAME}/referrers/{IMAGE.digest}")).json()["manifests"]
    assert [found["digest"] for found in listed] == [SIGNATURE.digest]
    assert (await registry.delete(f"/v2/{NAME}/manifests/{SIGNATURE.digest}")).status_code == 202


async def test_the_same_manifest_in_another_repository_stays(tmp_path: Path) -> None:
    layout = LayoutRegistry(tmp_path / "images")
    for name in (NAME, "another/app"):
        await land(layout, name, IMAGE, "1")
    async with serving(tmp_path) as served:
        await served.client.delete(f"/v2/{NAME}/manifests/{IMAGE.digest}")
        assert (await served.client.get("/v2/another/app/manifests/1")).content == IMAGE.raw
        for digest, data in IMAGE.blobs.items():
            assert (await served.client.get(f"/v2/another/app/blobs/{digest}")).content == data


# Deleting blobs


async def test_a_blob_of_a_manifest_is_405_and_one_of_none_404(registry: httpx.AsyncClient) -> None:
    (digest, *_) = OTHER.blobs
    answer = await registry.delete(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.status_code, error_of(answer)["code"]) == (405, "DENIED")
    await registry.delete(f"/v2/{NAME}/manifests/{OTHER.digest}")
    for blob in (digest, ABSENT):
        answer = await registry.delete(f"/v2/{NAME}/blobs/{blob}")
        assert (answer.status_code, error_of(answer)["code"]) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("path", ["manifests/sha256:abc", "blobs/sha256:abc", "blobs/latest"])
async def test_what_is_no_digest_is_400(registry: httpx.AsyncClient, path: str) -> None:
    answer = await registry.delete(f"/v2/{NAME}/{path}")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "DIGEST_INVALID")


async def test_the_suite_deletes_all_that_it_pushed(registry: httpx.AsyncClient) -> None:
    """04_management: by tag, by digest, then blobs, each 2xx, 404 or 405; and nothing is left to pull."""
    for reference in ("1", IMAGE.digest, INDEX.digest, CHILD.digest, OTHER.digest, SIGNATURE.digest):
        assert (await registry.delete(f"/v2/{NAME}/manifests/{reference}")).status_code == 202
    for digest in IMAGE.blobs:
        assert (await registry.delete(f"/v2/{NAME}/blobs/{digest}")).status_code in {202, 404, 405}
        assert (await registry.get(f"/v2/{NAME}/blobs/{digest}")).status_code == 404
    assert (await registry.get(f"/v2/{NAME}/tags/list")).status_code == 404
