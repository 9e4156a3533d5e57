"""A form that comes in slowly, pushed meanwhile to a real registry."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image
from tests.support.docker_registry import DockerRegistry

LAYERS = 6
END = b"\r\n--cut--\r\n"
MOST_LOOKS = 1_000
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


def until(running: Service, is_so: Callable[[], bool]) -> None:
    for _ in range(MOST_LOOKS):
        if is_so():
            return
        try:
            running.process.wait(0.02)  # the pause between two looks, and the notice of an early end
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("what was awaited did not come")


class HeldForm:
    """All of a form but its end."""

    def __init__(self, running: Service, tag: str, archive: Path) -> None:
        self._running = running
        self._connection = HTTPConnection(running.address, timeout=40)
        self._connection.putrequest("POST", f"/push?wait=30&tag={tag}")
        self._connection.putheader("Content-Type", "multipart/form-data; boundary=cut")
        head = b'--cut\r\nContent-Disposition: form-data; name="archive"; filename="x.tar"\r\n\r\n'
        self._connection.putheader("Content-Length", str(len(head) + archive.stat().st_size + len(END)))
        self._connection.endheaders()
        self._connection.send(head + archive.read_bytes())

    def end(self) -> tuple[int, Any]:
        with closing(self._connection):
            self._connection.send(END)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())

    def break_off(self) -> None:
        self._connection.close()


def test_what_is_sent_early_is_in_its_place_and_is_sent_once(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    fields = ("--limit-rate", PACE, "-F", "tag=early/app:1", "-F", f"archive=@{archive}")
    status, job = running.curl(*fields, "/push?wait=30")
    assert (status, job["state"]) == (200, "succeeded"), job
    assert job["progress"]["blobs_reused"] == 0
    assert begun(registry, "early/app") <= LAYERS + 1


def test_a_last_field_that_asks_for_a_dry_run_leaves_nothing_at_the_registry(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    fields = ("--limit-rate", PACE, "-F", "tag=early/dry:1", "-F", f"archive=@{archive}", "-F", "dry_run=true")
    status, job = running.curl(*fields, "/push?wait=30")
    assert (status, [item["state"] for item in job["images"]]) == (200, ["planned"]), job
    assert begun(registry, "early/dry") >= 2
    place = registry.storage / "docker/registry/v2/repositories/early/dry"
    assert [*place.glob("_layers/**/link"), *place.glob("_manifests/**/link")] == []
    until(running, lambda: not waiting(registry, "early/dry"))  # one that was being opened goes behind the answer


def waiting(registry: DockerRegistry, repository: str) -> list[Path]:
    place = registry.storage / "docker/registry/v2/repositories" / repository
    return [*place.glob("_uploads/*/startedat")]


def test_what_the_registry_forgets_before_the_end_of_the_form_is_sent_again(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    form = HeldForm(running, "early/forgotten:1", archive)
    until(running, lambda: len(waiting(registry, "early/forgotten")) >= LAYERS - 1)
    place = registry.storage / "docker/registry/v2/repositories/early/forgotten"
    (place / "_uploads").rename(place / "forgotten")  # in one step: the registry may be writing there
    status, job = form.end()
    assert (status, job["state"]) == (200, "succeeded"), job


def test_a_form_that_breaks_off_before_its_end_leaves_nothing_at_the_registry(
    running: Service, registry: DockerRegistry, archive: Path
) -> None:
    form = HeldForm(running, "early/broken:1", archive)
    until(running, lambda: len(waiting(registry, "early/broken")) >= LAYERS - 1)
    form.break_off()
    until(running, lambda: not waiting(registry, "early/broken"))
    place = registry.storage / "docker/registry/v2/repositories/early/broken"
    assert [*place.glob("_layers/**/link"), *place.glob("_manifests/**/link")] == []
    assert [*(running.data / "spool").iterdir()] == []
