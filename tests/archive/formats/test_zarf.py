"""Zarf packages: their images, and nothing else of them."""

from __future__ import annotations

import pytest

from app.archive.formats.zarf import ONLY_IMAGES
from app.errors import MalformedArchive, UnknownFormat
from tests.support.archives import Compress, image, oci_artifact, oci_image, oci_index, tar
from tests.support.archives import files as tar_files
from tests.support.opening import opened
from tests.support.zarf import zarf_package

NGINX = oci_image(image({"bin/nginx": b"nginx"}))
APP = oci_index([oci_image(image({"bin/app": b"app"}, platform="linux/arm64"), platform="linux/arm64")])
SIGNATURE = oci_artifact(b"signature")
IMAGES = {
    "docker.io/library/nginx:1.25": NGINX,
    f"ghcr.io/team/app:1@{APP.digest}": APP,
    "ghcr.io/team/app:sha256-0.sig": SIGNATURE,
}


@pytest.mark.parametrize("by_crane", [False, True])
@pytest.mark.parametrize("outer", ["none", "zstd"])
def test_the_images_of_a_package_go_under_their_full_names(by_crane: bool, outer: Compress) -> None:
    archive = opened(zarf_package(IMAGES, by_crane=by_crane, outer=outer))
    assert archive.format == "zarf"
    assert [entry.names for entry in archive.images] == [(name,) for name in IMAGES]
    assert archive.notes == (ONLY_IMAGES,)
    for node in IMAGES.values():
        assert {str(digest) for digest in (*archive.manifests, *archive.blobs)} >= node.content.keys()


def test_a_package_without_images_is_understood_and_has_none() -> None:
    archive = opened(zarf_package({}, layout=False))
    assert (archive.images, archive.notes) == ((), (ONLY_IMAGES,))


def test_one_that_has_no_layout_version_is_told() -> None:
    package = {"zarf.yaml": b"", "images/index.json": b'{"manifests":[]}'}
    with pytest.raises(MalformedArchive):
        opened(tar(tar_files(package)))


@pytest.mark.parametrize("name", ["zarf.yaml", "checksums.txt", "images/index.json"])
def test_one_file_alone_makes_no_package(name: str) -> None:
    with pytest.raises(UnknownFormat):
        opened(tar(tar_files({name: b"{}"})))
