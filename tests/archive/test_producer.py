"""Who wrote an archive, held against archives that the programs made."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.archive.producer import BUILDX, DOCKER, DOCKER_OLD, PODMAN
from tests.support.archives import docker_members, image, oci_layout, tagged, tar
from tests.support.opening import opened

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
EITHER = f"{DOCKER} or ctr images export"


@pytest.mark.parametrize(
    ("file", "producer"),
    [
        ("d20-save-one.tar", DOCKER_OLD),
        ("d20-save-id.tar", DOCKER_OLD),
        ("outer-d20-save-one.tar.zst", DOCKER_OLD),
        ("crane-legacy.tar", ""),
        ("crane-tarball.tar", "crane"),
        ("crane-oci.tar", "crane"),
        ("podman-docker-archive.tar", PODMAN),
        ("skopeo193-docker-archive.tar", PODMAN),
        ("docker-empty-list.tar", ""),
        ("docker-zstd-layers.tar", ""),
        ("d29g-save-one.tar", DOCKER),
        ("d29c-save-one.tar", EITHER),
        ("ctr-export.tar", EITHER),
        ("buildx-oci.tar", BUILDX),
        ("buildx-oci-noname.tar", BUILDX),
        ("buildx-docker.tar", BUILDX),
        ("regctl-export.tar", "regctl"),
        ("regctl-export-index.tar", "regctl"),
        ("oras-artifact-layout.tar", "oras"),
        ("skopeo193-oci-archive.tar", ""),
        ("oci-empty-index.tar", ""),
        ("mindthegap-bundle.tar", "mindthegap"),
        ("imgpkg-image.tar", "imgpkg"),
    ],
)
def test_the_producer_is_told_where_marks_tell_it(file: str, producer: str) -> None:
    assert opened((CORPUS / file).read_bytes()).producer == producer


def test_layers_without_the_links_of_podman_may_be_anyones() -> None:
    members = docker_members([tagged(image({"a": b"a"}), "a/b:1")], style="podman")
    assert opened(tar(members)).producer == PODMAN
    assert opened(tar(member for member in members if member.link is None)).producer == ""


def test_images_that_only_manifest_json_lists_tell_nothing_more() -> None:
    assert opened(oci_layout([], hybrid=[image({"a": b"a"})])).producer == EITHER
