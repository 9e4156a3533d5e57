"""The storage that a real registry wrote, in a tar, with and without the list of a bundle, pushed to another one."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from tests.peers.corpus import CORPUS
from tests.support.archives import entry, oci_layout
from tests.support.docker_registry import DockerRegistry
from tests.support.storage_tree import helm_chart, images_yaml

ARCHIVES = ("skopeo193-oci-all.tar", "oci-nested-index.tar", "oci-docker-list.tar", "crane-tarball-multi.tar")
ACCEPTED = ", ".join(
    f"application/vnd.{item}+json"
    for item in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


def answered(registry: DockerRegistry, path: str) -> tuple[dict[str, Any], str]:
    request = urllib.request.Request(f"{registry.url}/v2/{path}", headers={"Accept": ACCEPTED})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer), answer.headers.get("Docker-Content-Digest", "")


def held(registry: DockerRegistry) -> dict[str, str]:
    """Every `repository:tag` of the registry and the digest it points to."""
    found = {}
    for repository in answered(registry, "_catalog")[0]["repositories"]:
        for tag in answered(registry, f"{repository}/tags/list")[0]["tags"] or ():
            found[f"{repository}:{tag}"] = answered(registry, f"{repository}/manifests/{tag}")[1]
    return found


def push(archive: Path, registry: DockerRegistry, folder: Path, *arguments: str) -> None:
    assert main(["push", str(archive), "--registry-url", registry.url, "--data-dir", str(folder), *arguments]) == 0


@dataclass(frozen=True, slots=True)
class Storage:
    """The directory that a registry wrote, and what the registry said was in it."""

    folder: Path
    held: dict[str, str]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    folder = tmp_path_factory.mktemp("written")
    chart = folder / "chart.tar"
    chart.write_bytes(oci_layout([entry(helm_chart("podinfo", "6.0.0"), ref="example.com/charts/podinfo:6.0.0")]))
    with DockerRegistry(folder) as registry:
        for path in (*(CORPUS / name for name in ARCHIVES), chart):
            push(path, registry, folder)
        yield Storage(registry.storage, held(registry))


def packed(storage: Storage, target: Path, **configs: bytes) -> Path:
    """A tar made by GNU tar from inside of the directory."""
    for name, content in configs.items():
        (target.parent / f"{name}.yaml").write_bytes(content)
    extra = [part for name in configs for part in ("-C", str(target.parent), f"{name}.yaml")]
    subprocess.run(["tar", "-cf", str(target), "-C", str(storage.folder), ".", *extra], check=True, timeout=50)
    return target


def test_the_storage_of_a_registry_lands_as_that_registry_had_it(storage: Storage, tmp_path: Path) -> None:
    archive = packed(storage, tmp_path / "storage.tar")
    with DockerRegistry(tmp_path / "registry") as registry:
        push(archive, registry, tmp_path, "--format", "registry-storage")
        assert held(registry) == storage.held
    assert len(storage.held) > len(ARCHIVES)


def test_a_bundle_lands_as_its_lists_say(storage: Storage, tmp_path: Path) -> None:
    images: dict[str, list[str]] = {}
    for place in storage.held:
        repository, _, tag = place.rpartition(":")
        if not place.startswith("charts/"):
            images.setdefault(repository, []).append(tag)
    charts = (
        b"repositories:\n  podinfo:\n    repoURL: https://example.com\n    charts:\n      podinfo:\n        - 6.0.0\n"
    )
    archive = packed(storage, tmp_path / "bundle.tar", images=images_yaml({"example.com": images}), charts=charts)
    with DockerRegistry(tmp_path / "registry") as registry:
        push(archive, registry, tmp_path, "--format", "mindthegap-bundle")
        assert held(registry) == {place.removeprefix("charts/"): digest for place, digest in storage.held.items()}
    assert "charts/podinfo:6.0.0" in storage.held
