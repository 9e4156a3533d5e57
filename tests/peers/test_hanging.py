"""What hangs on images, indexes with gaps, and merged tags, at a real registry: distribution 2.8, which keeps no list
of referrers itself."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.archive.formats import open_archive
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest
from app.push import Destination, Event, ImageChanged, ImageState, PushOptions, execute, make_plan
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.retry import RetryingRegistry
from tests.support.archives import docker_save, entry, image, oci_artifact, oci_image, oci_index, oci_layout, tagged
from tests.support.docker_registry import DockerRegistry
from tests.support.opening import taken_in

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
AMD = oci_image(image({"a": b"amd"}), platform="linux/amd64")
ARM = oci_image(image({"a": b"arm"}, platform="linux/arm64"), platform="linux/arm64")


@dataclass(frozen=True, slots=True)
class Far:
    """A registry, and what a push to it came to."""

    registry: RetryingRegistry

    async def push(self, data: bytes, **options: str) -> list[ImageChanged]:
        index, source = taken_in(data)
        asked = PushOptions.parse({name: [text] for name, text in options.items()})
        plan = make_plan([open_archive(index, source)], asked, Destination("default", "registry"))
        events: list[Event] = []
        await execute(plan, [source], self.registry, events.append)
        changes = [event for event in events if isinstance(event, ImageChanged)]
        return [[change for change in changes if change.image == number][-1] for number in range(len(plan.images))]

    async def document(self, repository: str, reference: str) -> dict[str, Any]:
        stored = await self.registry.read_manifest(repository, reference)
        assert stored is not None, f"{repository}:{reference}"
        members: dict[str, Any] = json.loads(stored.raw)
        return members

    async def referrers(self, repository: str, subject: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.document(repository, subject.replace(":", "-")))["manifests"]
        return found


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    with DockerRegistry(tmp_path / "registry") as server:
        async with HttpRegistry(HttpRegistrySettings(parse_registry_url(server.address, "url"))) as registry:
            yield Far(RetryingRegistry(registry))


@pytest.mark.parametrize(
    ("file", "options"), [("oras-backup-referrers.tar", {"tag": "given/app:1"}), ("oci-referrer.tar", {})]
)
async def test_the_referrers_of_an_archive_are_listed_under_the_fallback_tag(
    far: Far, file: str, options: dict[str, str]
) -> None:
    data = (CORPUS / file).read_bytes()
    index, source = taken_in(data)
    archive = open_archive(index, source)
    (wanted,) = archive.images
    (ended,) = await far.push(data, **options)
    assert ended.state is ImageState.PUSHED
    assert ended.digest is not None
    plan = make_plan([archive], PushOptions.parse({k: [v] for k, v in options.items()}), Destination("d", "r"))
    repository = plan.images[0].destinations[0].repository
    listed = await far.referrers(repository, str(ended.digest))
    assert {item["digest"] for item in listed} == {str(referrer.digest) for referrer in wanted.referrers}
    assert wanted.referrers
    for item in listed:
        manifest = await far.document(repository, item["digest"])
        assert manifest["subject"]["digest"] == str(ended.digest)
        assert item["artifactType"] == manifest.get("artifactType", manifest["config"]["mediaType"])
    (again,) = await far.push(data, **options)
    assert again.state is ImageState.ALREADY_PRESENT
    assert await far.referrers(repository, str(ended.digest)) == listed


async def test_cosigns_tags_and_a_list_of_referrers_come_from_a_layout(far: Far) -> None:
    sbom = oci_artifact(b"sbom", subject=AMD)
    tag = AMD.digest.replace(":", "-")
    fallback = oci_index([sbom])
    tar = oci_layout(
        [entry(AMD, ref="x/app:1"), entry(oci_artifact(b"sig"), ref=f"{tag}.sig"), entry(fallback, ref=tag)]
    )
    (ended,) = await far.push(tar)
    assert ended.state is ImageState.PUSHED
    assert await far.registry.find_manifest("x/app", f"{tag}.sig") == Digest.parse(oci_artifact(b"sig").digest)
    assert await far.registry.find_manifest("x/app", tag) == Digest.parse(fallback.digest)


async def test_docker_archives_of_two_platforms_become_one_tag(far: Far) -> None:
    for platform in ("linux/amd64", "linux/arm64"):
        sample = tagged(image({"a": platform.encode()}, platform=platform), "x/app:1")
        for state in (ImageState.PUSHED, ImageState.ALREADY_PRESENT):
            (ended,) = await far.push(docker_save([sample]), on_existing_tag="merge-with-overwrite")
            assert ended.state is state, ended.problem
    listed = (await far.document("x/app", "1"))["manifests"]
    assert [item["platform"]["architecture"] for item in listed] == ["amd64", "arm64"]


async def test_an_index_with_gaps_is_refused_cut_or_explained(far: Far) -> None:
    tar = oci_layout([entry(oci_index([AMD, ARM]), ref="x/app:1")], without=[ARM.digest])
    (ended,) = await far.push(tar, allow_missing="true")
    assert ended.problem is not None
    assert ended.problem.code == "registry_rejected"
    assert "pass `platforms`" in ended.problem.detail
    (ended,) = await far.push(tar, platforms="linux/amd64")
    assert ended.state is ImageState.PUSHED


async def test_docker_29s_archive_of_one_platform_of_many_can_be_cut_to_it(far: Far) -> None:
    """As `docker save` of an image of which only one platform was pulled."""
    index, source = taken_in((CORPUS / "d29c-save-multiarch.tar").read_bytes())
    whole = open_archive(index, source)
    root = whole.images[0].root
    children = [child for manifest in whole.manifests.values() for child in manifest.manifests]
    amd = next(child for child in children if str(child.platform) == "linux/amd64")
    assert isinstance(root, Descriptor)
    kept = {amd.digest, root.digest}
    kept |= {blob.digest for blob in whole.manifests[amd.digest].blobs}
    names = {f"blobs/sha256/{digest.encoded}" for digest in (*whole.manifests, *whole.blobs) if digest not in kept}
    data = _without((CORPUS / "d29c-save-multiarch.tar").read_bytes(), names)
    (ended,) = await far.push(data, platforms="linux/amd64")
    assert ended.state is ImageState.PUSHED, ended.problem


def _without(data: bytes, names: set[str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=made, mode="w") as new:
        for member in old:
            if member.name not in names:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return made.getvalue()
