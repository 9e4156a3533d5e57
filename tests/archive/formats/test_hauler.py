"""Hauls: what is in them, what hangs on what, and what they are called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.archive import Archive
from app.errors import InvalidReference, MalformedArchive
from app.oci import Descriptor
from tests.push.given import planned
from tests.support.archives import Member, Node, files, image, oci_artifact, oci_image, oci_index, tar
from tests.support.hauler import CURRENT, LEGACY, Held, Stored, haul, held_chart, held_file
from tests.support.opening import opened, taken_in

NGINX = oci_image(image({"bin/nginx": b"nginx"}))
TEAM = oci_image(image({"bin/team": b"team"}))
HUB, OWN = "index.docker.io/library/nginx:1.25", "registry.example.com:5000/team/app:v1"
SIGNATURE = oci_image(image({"sig": b"signature"}))
REFERRER = oci_artifact(b"bundle", artifact_type="application/vnd.dev.sigstore.bundle.v0.3+json", subject=NGINX)
CHART = held_chart(b"chart", {"name": "rancher", "version": "2.8.4"})
FILE = held_file(b"script", "install.sh")


def names(archive: Archive) -> dict[str, tuple[str, ...]]:
    return {
        str(entry.root.digest): (*entry.names, *entry.bare_tags)
        for entry in archive.images
        if isinstance(entry.root, Descriptor)
    }


@pytest.mark.parametrize("prefix", [CURRENT, LEGACY])
@pytest.mark.parametrize("containerd", [False, True])
def test_images_charts_and_files_go_under_their_names(prefix: str, containerd: bool) -> None:
    store: list[Held | Stored] = [
        Held(NGINX, HUB),
        Held(TEAM, OWN),
        Stored(CHART, "hauler/rancher:2.8.4"),
        Stored(FILE, "hauler/install.sh:latest"),
    ]
    archive = opened(haul(store, prefix=prefix, containerd=containerd))
    assert archive.format == "hauler"
    assert names(archive) == {
        NGINX.digest: (HUB,),
        TEAM.digest: (OWN,),
        CHART.digest: ("hauler/rancher:2.8.4",),
        FILE.digest: ("hauler/install.sh:latest",),
    }
    assert archive.notes == ()


def test_an_index_stays_whole() -> None:
    index = oci_index([oci_image(image({"a": b"a"}), platform="linux/amd64")])
    archive = opened(haul([Held(index, HUB, "imageIndex")]))
    assert names(archive) == {index.digest: (HUB,)}


@pytest.mark.parametrize(("kind", "suffix"), [("sigs", ".sig"), ("atts", ".att"), ("sboms", ".sbom")])
def test_what_cosign_made_hangs_on_its_image_by_its_tag(kind: str, suffix: str) -> None:
    archive = opened(haul([Held(NGINX, HUB), Held(SIGNATURE, HUB, kind)]))
    (entry,) = archive.images
    (attached,) = entry.attached
    assert attached.tag == f"sha256-{NGINX.digest[7:]}{suffix}"
    assert str(attached.root.digest) == SIGNATURE.digest


def test_a_signature_without_its_image_goes_by_its_digest() -> None:
    archive = opened(haul([Held(TEAM, OWN), Held(SIGNATURE, HUB, "sigs")]))
    assert names(archive) == {
        TEAM.digest: (OWN,),
        SIGNATURE.digest: (f"docker.io/library/nginx@{SIGNATURE.digest}",),
    }


def test_a_referrer_travels_with_its_image() -> None:
    archive = opened(haul([Held(NGINX, HUB), Held(REFERRER, HUB, "referrers")]))
    (entry,) = archive.images
    assert [str(referrer.digest) for referrer in entry.referrers] == [REFERRER.digest]


def test_a_referrer_to_what_is_not_there_goes_by_its_digest() -> None:
    archive = opened(haul([Held(TEAM, OWN), Held(REFERRER, HUB, "referrers")]))
    assert names(archive)[REFERRER.digest] == (f"docker.io/library/nginx@{REFERRER.digest}",)


def test_a_file_that_no_repository_can_be_called_after_is_left_out_with_a_note() -> None:
    archive = opened(haul([Held(NGINX, HUB), Stored(FILE, "hauler/.bashrc:latest")]))
    assert names(archive) == {NGINX.digest: (HUB,)}
    assert [note for note in archive.notes if "hauler/.bashrc:latest" in note]


def test_a_name_that_cannot_be_is_told() -> None:
    with pytest.raises(InvalidReference):
        planned(taken_in(haul([Held(SIGNATURE, "index.docker.io/Upper:1", "sigs")]))[1].data)


def layout(index: dict[str, Any]) -> bytes:
    held = {f"blobs/{digest.replace(':', '/')}": data for digest, data in NGINX.content.items()}
    return tar(
        files({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()} | held)
    )


def entry(node: Node, **annotations: str) -> dict[str, Any]:
    return {**node.descriptor, "annotations": annotations}


def test_the_words_alone_make_no_haul() -> None:
    about = {"org.opencontainers.image.ref.name": "a/b:1", "note": "dev.hauler/image", "kind": "house"}
    assert opened(layout({"schemaVersion": 2, "manifests": [entry(NGINX, **about)]})).format == "oci-archive"


def test_a_docker_archive_without_index_is_no_haul() -> None:
    assert opened(tar([Member("manifest.json", b"[]")])).format == "docker-archive"


def test_a_broken_index_is_told() -> None:
    with pytest.raises(MalformedArchive):
        opened(layout({"manifests": 1, "a": "dev.hauler/image"}))


def test_an_index_that_is_too_large_is_not_read_to_find_out() -> None:
    held = {"index.json": b" " * ((16 << 20) + 1), "manifest.json": b"[]"}
    assert opened(tar(files(held))).format == "docker-archive"
