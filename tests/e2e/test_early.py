"""A form that comes in slowly, pushed meanwhile to a real registry."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image
from tests.support.docker_registry import DockerRegistry

LAYERS = 6
PACE = "3M"  # bytes a second: two seconds for the archive, so that much of it is sent before its end


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, registry: DockerRegistry) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("data"), TARMAC_REGISTRY_URL=registry.url) as started:
        yield started


@pytest.fixture
def archive(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Of no other test: what is known in another repository is mounted from there, at the end."""
    noise = random.Random(request.node.name)
    path = tmp_path / "x.tar"
    layers = ({f"bin/{number}": noise.randbytes(1_000_000)} for number in range(LAYERS))
    path.write_bytes(docker_save([image(*layers)], style="podman"))
    return path


def begun(registry: DockerRegistry, repository: str) -> int:
    """Upload sessions that were opened there."""
    return registry.requests().count(("POST", f"/v2/{repository}/blobs/uploads/"))


def test_what_is_sent_early_is_in_its_place_and_is_sent_once(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    fields = ("--limit-rate", PACE, "-F", "tag=early/app:1", "-F", f"archive=@{archive}")
    status, job = running.curl(*fields, "/push?wait=30")
    assert (status, job["state"]) == (200, "succeeded"), job
    assert job["progress"]["blobs_reused"] >= 2
    assert begun(registry, "early/app") <= LAYERS + 1


def test_a_last_field_that_asks_for_a_dry_run_leaves_nothing_at_the_registry(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    fields = ("--limit-rate", PACE, "-F", "tag=early/dry:1", "-F", f"archive=@{archive}", "-F", "dry_run=true")
    status, job = running.curl(*fields, "/push?wait=30")
    assert (status, [each["state"] for each in job["images"]]) == (200, ["planned"]), job
    assert begun(registry, "early/dry") >= 2
    place = registry.storage / "docker/registry/v2/repositories/early/dry"
    assert [*place.glob("_layers/**/link"), *place.glob("_manifests/**/link")] == []
    assert [*place.glob("_uploads/*/startedat"), *place.glob("_uploads/*/data")] == []
