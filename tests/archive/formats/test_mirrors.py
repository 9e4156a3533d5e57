"""Mirrors of oc, image sets of oc-mirror v1, and manifests that stand alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS, index_file
from app.archive.formats import ArchiveReader, parts_of_storage
from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, MissingContent, MissingTag
from app.push import Destination, PushOptions, make_plan
from tests.hostile.landing import land
from tests.support import archives
from tests.support.archives import (
    Compress,
    Member,
    Node,
    descriptor,
    oci_artifact,
    oci_image,
    oci_index,
    sha256,
    tar,
    to_json,
)
from tests.support.mirrors import Links, docker_model, oc_mirror_files, oc_mirror_v1
from tests.support.opening import Memory, opened

ONE, TWO = (oci_image(archives.image({"app": text})) for text in (b"one", b"two"))
AMD = oci_image(archives.image({"app": b"amd"}), platform="linux/amd64")
ARM = oci_image(archives.image({"app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
MULTI = oci_index([AMD, ARM])
SIGNATURE = oci_artifact(b"signature")
TIE = f"{ONE.digest.replace(':', '-')}"
STORED = {
    "openshift/release": {"4.16.1-x86_64": ONE, "4.16.1-x86_64-etcd": TWO, "latest": ONE},
    "openshift/release-images": {"4.16.1": MULTI, f"{TIE}.sig": SIGNATURE, TIE: SIGNATURE},
}
PLACES = sorted(f"{repository}:{tag}" for repository, tags in STORED.items() for tag in tags)
MODEL = "application/vnd.docker.ai.model.config.v0.1+json"


def places(data: bytes, options: PushOptions | None = None) -> list[str]:
    plan = make_plan([opened(data)], options or PushOptions(), Destination("default", "registry.test"))
    found = [each for image in plan.images for each in image.destinations]
    return sorted(
        f"{found_item.repository}:{found_item.tag}"
        if found_item.tag
        else f"{found_item.repository}@{found_item.digest}"
        for found_item in found
    )


@pytest.mark.parametrize("links", ["links", "hardlinks", "copies"])
@pytest.mark.parametrize("directory", ["", "mirror/", "a/v3/b/"])
@pytest.mark.parametrize("dotslash", [False, True])
def test_every_tag_of_a_mirror_has_its_place(links: Links, directory: str, dotslash: bool) -> None:
    data = tar(oc_mirror_files(STORED, links=links, directory=directory), dotslash=dotslash)
    archive = opened(data)
    assert (archive.format, archive.notes) == ("oc-image-mirror", ())
    assert places(data) == PLACES


def test_on_windows_a_digest_has_no_colon() -> None:
    stored = {"openshift/release": STORED["openshift/release"], "x": {"1": MULTI}}
    assert places(tar(oc_mirror_files(stored, windows=True))) == [
        *(place for place in PLACES if place.startswith("openshift/release:")),
        "x:1",
    ]


def test_what_has_no_tag_goes_by_its_digest() -> None:
    """Unless an index of its own repository lists it."""
    by_digest = {"openshift/release": [TWO, AMD], "operators": [MULTI]}
    data = tar(oc_mirror_files({"openshift/release": {"1": ONE}, "operators": {}}, by_digest=by_digest))
    assert places(data) == [
        "openshift/release:1",
        *sorted(f"openshift/release@{node.digest}" for node in (TWO, AMD)),
        f"operators@{MULTI.digest}",
    ]
    moved = PushOptions(images=("operators@*",), rename=(("oper*", "mirror/oper*"),))
    assert places(data, moved) == [f"mirror/operators@{MULTI.digest}"]
    assert places(data, PushOptions(images=("operators*",), prefix="p")) == [f"p/operators@{MULTI.digest}"]


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
async def test_all_of_a_mirror_lands(outer: Compress) -> None:
    landed = await land(archives.wrap(tar(oc_mirror_files(STORED, by_digest={"x": [ONE]})), outer))
    assert (landed.codes, list(landed.tags)) == ([], PLACES)
    landed = await land(archives.wrap(tar(oc_mirror_v1(STORED)), outer))
    assert (landed.codes, list(landed.tags)) == ([], PLACES)


def test_files_of_oc_mirror_v1_are_read_together() -> None:
    members = oc_mirror_v1(STORED)
    halves = tar(members[::2]), tar(members[1::2])
    contents = [ArchiveReader(index_file(Memory(data), len(data)), Memory(data)) for data in halves]
    assert parts_of_storage(contents) == (0, 1)
    assert parts_of_storage(contents[:1]) == ()
    with pytest.raises(MissingContent, match="oc-mirror"):
        opened(halves[0])


def test_odd_files_beside_the_manifests_are_no_tags() -> None:
    odd = [
        Member("v2/openshift/release/manifests/.DS_Store", b"x"),
        Member("v2/openshift/release/manifests/4.17.download", b"x"),
        Member("v2/openshift/release/manifests/directory", directory=True),
        Member("v2/openshift/release/blobs/.tmp-1", b"x"),
        Member("config/signature-sha256-1.json", b"{}"),
    ]
    assert places(tar([*oc_mirror_files(STORED), *odd])) == PLACES


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: None if m.name.endswith((f"blobs/{TWO.digest}", f"manifests/{TWO.digest}")) else m, MissingContent),
        (lambda m: None if m.name.endswith(f"blobs/{next(iter(TWO.blobs))}") else m, MissingContent),
        (lambda m: replace(m, data=b" " + m.data) if m.name.endswith(f"blobs/{TWO.digest}") else m, DigestMismatch),
        (lambda m: Member(m.name, b"{}") if m.name.endswith("/latest") else m, MalformedArchive),
    ],
    ids=["manifest", "blob", "bytes", "tag"],
)
def test_what_is_wrong_with_a_mirror_is_told(change: object, error: type[Exception]) -> None:
    members = [changed for member in oc_mirror_files(STORED) if (changed := change(member)) is not None]  # type: ignore[operator]
    with pytest.raises(error):
        opened(tar(members))


def test_too_many_manifests_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="3 manifests"):
        opened(tar(oc_mirror_files(STORED)), replace(DEFAULT_LIMITS, nodes=3))


def model() -> Node:
    weights, licence, config = b"GGUF" + bytes(2000), b"MIT", b'{"config":{"format":"gguf"}}'
    members = {
        "schemaVersion": 2,
        "mediaType": archives.OCI_MANIFEST,
        "config": descriptor(MODEL, config),
        "layers": [
            descriptor("application/vnd.docker.ai.gguf.v3", weights),
            descriptor("application/vnd.docker.ai.license", licence),
        ],
    }
    blobs = {sha256(data): data for data in (weights, licence, config)}
    return Node(to_json(members), archives.OCI_MANIFEST, blobs)


@pytest.mark.parametrize("dotslash", [False, True])
@pytest.mark.parametrize("first", [False, True])
async def test_a_manifest_that_stands_alone_is_an_artifact(dotslash: bool, first: bool) -> None:
    node = model()
    members = docker_model(node)[:: -1 if first else 1]
    data = tar(members, dotslash=dotslash)
    archive = opened(data)
    assert (archive.format, archive.notes, list(map(str, archive.manifests))) == ("oci-artifact", (), [node.digest])
    with pytest.raises(MissingTag):
        places(data)
    landed = await land(data, PushOptions(tag="ai/smollm2:latest"))
    assert (landed.codes, landed.tags) == ([], ("ai/smollm2:latest",))


@pytest.mark.parametrize("node", [ONE, MULTI], ids=["image", "index"])
def test_an_image_or_index_may_stand_alone_too(node: Node) -> None:
    blobs = [Member(f"blobs/{digest.replace(':', '/')}", data) for digest, data in node.content.items()]
    data = tar([*blobs, Member("manifest.json", node.raw)])
    assert [str(getattr(image.root, "digest", None)) for image in opened(data).images] == [node.digest]


def test_an_artifact_without_its_content_is_refused() -> None:
    with pytest.raises(MissingContent, match="sha256"):
        opened(tar(member for member in docker_model(model()) if len(member.data) < 1000))
