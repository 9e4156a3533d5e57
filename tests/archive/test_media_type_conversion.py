"""media_types=oci|docker: other manifests, the same content."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Archive, Compression, DockerImage
from app.archive.manifests.media_type_conversion import convert
from app.errors import InvalidRequest
from app.oci import Descriptor, Digest, media_types
from tests.support.archives import (
    DOCKER_MANIFEST,
    Node,
    attestation,
    descriptor,
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
    to_json,
)
from tests.support.opening import opened

AMD = image({"a": b"amd"}, {"b": b"more"})
ARM = image({"a": b"arm"}, platform="linux/arm64/v8")
NAME = "example.com/app:1"


def converted(node: Node, wanted: str, *more: Node) -> Archive:
    archive = opened(oci_layout([entry(node, ref=NAME), *(entry(item) for item in more)]))
    return convert(archive, wanted, Compression.GZIP)


def root(archive: Archive) -> Descriptor:
    found = archive.images[0].root
    assert isinstance(found, Descriptor)
    return found


def members(archive: Archive, digest: object = None) -> dict[str, Any]:
    raw = archive.manifests[Digest.parse(digest) if isinstance(digest, str) else root(archive).digest].raw
    document: dict[str, Any] = json.loads(raw)
    return document


def types(document: Mapping[str, Any]) -> list[str]:
    return [document["mediaType"], document["config"]["mediaType"], *(item["mediaType"] for item in document["layers"])]


OCI_TYPES = [media_types.OCI_MANIFEST, media_types.OCI_CONFIG, media_types.OCI_LAYER_GZIP, media_types.OCI_LAYER_GZIP]
DOCKER_TYPES = [
    media_types.DOCKER_MANIFEST,
    media_types.DOCKER_CONFIG,
    media_types.DOCKER_LAYER_GZIP,
    media_types.DOCKER_LAYER_GZIP,
]


@pytest.mark.parametrize(("docker", "wanted", "after"), [(True, "oci", OCI_TYPES), (False, "docker", DOCKER_TYPES)])
def test_an_image_keeps_its_config_and_layers(docker: bool, wanted: str, after: list[str]) -> None:
    node = oci_image(AMD, docker=docker)
    archive = converted(node, wanted)
    before, now = json.loads(node.raw), members(archive)
    assert types(now) == after
    for old, new in zip((before["config"], *before["layers"]), (now["config"], *now["layers"]), strict=True):
        assert {**old, "mediaType": ""} == {**new, "mediaType": ""}
    assert root(archive).media_type == after[0]
    assert root(archive).size == len(archive.manifests[root(archive).digest].raw)
    (note,) = [note for note in archive.notes if str(root(archive).digest) in note]
    assert node.digest in note


@pytest.mark.parametrize(("docker", "wanted"), [(True, "docker"), (False, "oci"), (True, "keep"), (False, "keep")])
def test_what_is_of_that_family_keeps_its_bytes(docker: bool, wanted: str) -> None:
    index = oci_index([oci_image(AMD, docker=docker, platform="linux/amd64")], docker=docker)
    archive = converted(index, wanted)
    assert str(root(archive).digest) == index.digest
    assert archive.notes == ()


@pytest.mark.parametrize("wanted", ["oci", "docker"])
def test_an_index_describes_its_converted_children_as_they_are(wanted: str) -> None:
    docker = wanted == "oci"
    children = [
        oci_image(AMD, docker=docker, platform="linux/amd64"),
        oci_image(ARM, docker=docker, platform="linux/arm64/v8"),
    ]
    nested = oci_index([oci_index(children[1:], docker=docker), children[0], children[0]], docker=docker)
    archive = converted(nested, wanted)
    assert members(archive)["mediaType"] == (media_types.OCI_INDEX if docker else media_types.DOCKER_LIST)
    waiting = list(members(archive)["manifests"])
    seen = 0
    for listed in waiting:
        raw = archive.manifests[Digest.parse(listed["digest"])].raw
        assert (len(raw), json.loads(raw)["mediaType"]) == (listed["size"], listed["mediaType"])
        waiting.extend(json.loads(raw).get("manifests", ()))
        seen += 1
    assert seen == 4
    assert [str(platform) for platform in archive.images[0].platforms] == ["linux/arm64/v8", "linux/amd64"]
    listed = members(archive)["manifests"][1]
    assert listed["platform"] == {"os": "linux", "architecture": "amd64"}


def test_docker_children_of_an_oci_index_are_converted_too() -> None:
    archive = converted(oci_index([oci_image(AMD, docker=True, platform="linux/amd64")]), "oci")
    assert members(archive)["manifests"][0]["mediaType"] == media_types.OCI_MANIFEST


def test_attestations_name_the_child_as_it_is_called_now_and_stay_as_they_are() -> None:
    child = oci_image(AMD, docker=True, platform="linux/amd64")
    index = oci_index([child, attestation(child)], docker=True)
    archive = converted(index, "oci")
    first, second = members(archive)["manifests"]
    assert second["digest"] == attestation(child).digest
    assert second["annotations"]["vnd.docker.reference.digest"] == first["digest"]


def test_a_copy_of_a_childs_bytes_in_its_index_goes() -> None:
    child = oci_image(AMD, docker=True)
    listed = {**child.descriptor, "data": base64.b64encode(child.raw).decode()}
    raw = to_json({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [listed]})
    archive = converted(Node(raw, media_types.OCI_INDEX, children=(child,)), "oci")
    assert "data" not in members(archive)["manifests"][0]


def test_a_missing_child_stays_listed_as_it_was() -> None:
    child = oci_image(AMD, docker=True, platform="linux/amd64")
    gone = oci_image(ARM, docker=True, platform="linux/arm64")
    index = oci_index([child, gone], docker=True)
    archive = opened(oci_layout([entry(index, ref=NAME)], without=[gone.digest]))
    after = convert(archive, "oci", Compression.GZIP)
    assert members(after)["manifests"][1]["digest"] == gone.digest


def test_foreign_layers_keep_their_meaning() -> None:
    foreign = {**descriptor(media_types.DOCKER_FOREIGN_LAYER, b"windows"), "urls": ["https://example.com/layer"]}
    raw = to_json(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": descriptor(media_types.DOCKER_CONFIG, AMD.config),
            "layers": [foreign],
        }
    )
    node = Node(raw, DOCKER_MANIFEST, {AMD.config_digest: AMD.config})
    (layer,) = members(converted(node, "oci"))["layers"]
    assert layer["mediaType"] == media_types.OCI_FOREIGN_LAYER_GZIP
    assert layer["urls"] == foreign["urls"]


@pytest.mark.parametrize("zstd", ["image", "child"])
def test_zstd_cannot_be_said_in_dockers_types(zstd: str) -> None:
    node = oci_image(AMD, compression="zstd", platform="linux/amd64")
    with pytest.raises(InvalidRequest, match=f"{NAME}.*zstd"):
        converted(node if zstd == "image" else oci_index([node]), "docker")


def test_what_is_no_plain_image_is_left_with_a_note() -> None:
    child = oci_image(AMD, platform="linux/amd64")
    artifact, signed = oci_artifact(b"x"), oci_image(ARM, subject=child)
    with_subject = oci_index([child], subject=signed.descriptor)
    archive = converted(oci_index([child, artifact, signed, with_subject]), "docker")
    listed = [member["digest"] for member in members(archive)["manifests"]]
    assert listed[1:] == [artifact.digest, signed.digest, with_subject.digest]
    (note,) = [note for note in archive.notes if note.startswith("media_types=docker:")]
    assert all(digest in note for digest in listed[1:])


def test_a_long_list_of_what_is_left_is_cut() -> None:
    archive = converted(oci_index([oci_artifact(b"%d" % number) for number in range(12)]), "docker")
    assert [note for note in archive.notes if "and 2 more" in note]


def test_an_unknown_layer_type_leaves_dockers_manifest_as_it_is() -> None:
    node = oci_image(AMD, docker=True)
    odd = replace(node, raw=node.raw.replace(b"rootfs.diff.tar.gzip", b"plugin.tar.gzip"))
    archive = converted(odd, "oci")
    assert str(root(archive).digest) == odd.digest


def test_what_signs_the_original_is_left_out_with_a_note() -> None:
    node = oci_image(AMD, docker=True)
    archive = converted(node, "oci", oci_artifact(b"signature", subject=node))
    assert archive.images[0].referrers == ()
    assert [note for note in archive.notes if "1 signatures or other referrers" in note]
    tied = entry(oci_artifact(b"tied"), ref=node.digest.replace(":", "-") + ".sig")
    (image_,) = convert(opened(oci_layout([entry(node, ref=NAME), tied])), "oci", Compression.GZIP).images
    assert image_.attached == ()


def test_what_hangs_on_a_part_that_is_not_converted_stays() -> None:
    plain, artifact = oci_image(AMD, docker=True, platform="linux/amd64"), oci_artifact(b"x")
    signature = oci_artifact(b"signature", subject=artifact)
    tied = oci_artifact(b"tied")
    index = oci_index([plain, artifact])
    tag = artifact.digest.replace(":", "-") + ".sig"
    archive = opened(oci_layout([entry(index, ref=NAME), entry(signature), entry(tied, ref=tag)]))
    (kept,) = convert(archive, "oci", Compression.GZIP).images
    assert [str(referrer.digest) for referrer in kept.referrers] == [signature.digest]
    assert [item.tag for item in kept.attached] == [tag]


@pytest.mark.parametrize(("wanted", "oci"), [("oci", True), ("docker", False)])
def test_a_docker_archives_manifest_will_be_made_so(wanted: str, oci: bool) -> None:
    archive = convert(opened(docker_save([tagged(AMD, NAME)])), wanted, Compression.GZIP)
    made = archive.images[0].root
    assert isinstance(made, DockerImage)
    assert made.oci is oci


@pytest.mark.parametrize(("stored", "wanted"), [("none", Compression.ZSTD), ("zstd", Compression.GZIP)])
def test_a_docker_archive_that_gets_zstd_layers_cannot_have_dockers_types(stored: Any, wanted: Compression) -> None:
    archive = opened(docker_save([AMD], compress=stored))
    with pytest.raises(InvalidRequest, match="zstd"):
        convert(archive, "docker", wanted)
