"""`POST /store/copy`: images of the store to a registry, as a job."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.registry.oci_layout.registry import LayoutRegistry
from tests.api.conftest import Served, serving
from tests.registry.oci_layout.landing import land
from tests.support.archives import image, oci_image, oci_index
from tests.support.docker_registry import DockerRegistry

ONE = oci_image(image({"bin/app": b"one"}))
TWO = oci_image(image({"bin/app": b"two"}))
MULTI = oci_index([ONE, TWO])
TOKENS = {"admin": "admin", "tenant": "push:team/a", "reader": "read"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
async def station(tmp_path: Path, registry: DockerRegistry) -> AsyncIterator[Served]:
    """A station that has images in its store, and now a registry."""
    layout = LayoutRegistry(tmp_path / "data" / "images")
    for name in ("team/a", "team/b"):
        await land(layout, f"{name}/{app_of(tmp_path)}", MULTI, "1")
    lines = (f"{name}:{hashlib.sha256(name.encode()).hexdigest()}:{role}" for name, role in TOKENS.items())
    (tmp_path / "tokens").write_text("\n".join(lines) + "\n")
    registries = {"production": {"url": f"http://{registry.address}"}}
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens", registries=registries) as running:
        yield running


def app_of(folder: Path) -> str:
    """A name that no other test has at the registry."""
    return folder.name.strip("_")


async def copy(client: httpx.AsyncClient, name: str, **members: Any) -> httpx.Response:
    asked = {"to": "production", "wait": 30, **members}
    return await client.post("/store/copy", json=asked, headers={"Authorization": f"Bearer {name}"})


async def test_a_copy_is_a_job_like_any_other(station: Served, registry: DockerRegistry, tmp_path: Path) -> None:
    answer = await copy(station.client, "admin", images=["team/a/*"])
    job = answer.json()
    assert (answer.status_code, job["state"]) == (200, "succeeded"), answer.text
    assert [(archive["source"], archive["format"]) for archive in job["archives"]] == [("store", "oci-archive")]
    (shown,) = job["images"]
    assert (shown["state"], shown["digest"]) == ("pushed", MULTI.digest)
    repository = f"team/a/{app_of(tmp_path)}"
    assert shown["destinations"] == [f"{registry.address}/{repository}:1"]
    assert await asyncio.to_thread(registry.manifest, repository, "1") == MULTI.raw
    again = (await copy(station.client, "admin", images=["team/a/*"])).json()
    assert again["images"][0]["state"] == "already_present"


async def test_a_bound_token_copies_what_it_may_pull(station: Served, tmp_path: Path) -> None:
    job = (await copy(station.client, "tenant")).json()
    assert [shown["names"] for shown in job["images"]] == [[f"team/a/{app_of(tmp_path)}:1"]]
    assert (await copy(station.client, "reader")).json()["code"] == "forbidden"
    outside = await copy(station.client, "tenant", images=["team/b/*"])
    assert (outside.status_code, outside.json()["code"]) == (422, "invalid_request")
    assert "team/b" not in outside.json()["detail"].replace("(team/b/*)", "")


async def test_a_failed_copy_can_be_tried_again(station: Served, tmp_path: Path) -> None:
    first = await copy(station.client, "admin", images=["team/a/*"], prefix="again")
    assert first.status_code == 200
    layout = LayoutRegistry(station.data / "images")
    await land(layout, f"team/a/{app_of(tmp_path)}", ONE, "1")
    refused = await copy(station.client, "admin", images=["team/a/*"], prefix="again", on_existing_tag="error")
    assert refused.json()["code"] == "tag_exists"
    await land(layout, f"team/a/{app_of(tmp_path)}", MULTI, "1")
    retried = await station.client.post(
        f"/jobs/{refused.json()['job']['id']}/retry", headers={"Authorization": "Bearer admin"}
    )
    ended = await station.client.get(f"/jobs/{retried.json()['id']}?wait=30", headers={"Authorization": "Bearer admin"})
    assert ended.json()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"to": None}, "invalid_request"),
        ({"to": "nowhere"}, "unknown_registry"),
        ({"paths": ["/x"]}, "invalid_request"),
        ({"unknown": "1"}, "invalid_request"),
        ({"images": ["nothing/*"]}, "invalid_request"),
    ],
)
async def test_what_cannot_be_copied_has_a_code(station: Served, members: dict[str, Any], code: str) -> None:
    answer = await copy(station.client, "admin", **members)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
