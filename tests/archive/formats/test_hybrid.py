"""Archives with manifest.json beside index.json, as docker >= 25 and containerd write them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Archive, Compression, DockerImage, ImageEntry
from app.errors import DigestMismatch, MalformedArchive, MissingContent
from app.oci import Descriptor
from app.oci.media_types import DOCKER_CONFIG, OCI_CONFIG
from tests.support import archives
from tests.support.archives import (
    Image,
    Member,
    Node,
    entry,
    oci_image,
    oci_index,
    oci_layout,
    oci_members,
    tagged,
    tar,
)
from tests.support.opening import opened

ONE = tagged(archives.image({"bin/app": b"one"}, {}), "example.com/app:1")  # the second layer is the tar of nothing
TWO = tagged(archives.image({"bin/app": b"two"}), "example.com/app:2")
PLAIN = oci_image(ONE, compression="none")


def hybrid(node: Node, image: Image = ONE, **annotations: Any) -> Archive:
    return opened(oci_layout([entry(node, **annotations)], hybrid=[image]))


def only(archive: Archive) -> ImageEntry:
    (image,) = archive.images
    return image


def changed(node: Node, **members: object) -> Node:
    """The same with more in its manifest."""
    return replace(node, raw=archives.to_json({**json.loads(node.raw), **members}))


@pytest.mark.parametrize("docker", [False, True])
def test_an_image_of_plain_layers_is_read_the_docker_way_in_the_family_of_its_manifest(docker: bool) -> None:
    node = oci_image(ONE, compression="none", docker=docker)
    image = only(hybrid(node, ref="example.com/app:1"))
    assert isinstance(image.root, DockerImage)
    assert image.root.oci is not docker
    assert image.root.config.media_type == (DOCKER_CONFIG if docker else OCI_CONFIG)
    assert str(image.root.config.digest) == ONE.config_digest
    assert tuple(str(layer.diff_id) for layer in image.root.layers) == ONE.diff_ids
    assert {layer.compression for layer in image.root.layers} == {Compression.NONE}
    assert isinstance(image.original, Descriptor)
    assert str(image.original.digest) == node.digest
    assert image.names == ("example.com/app:1",)


def test_what_the_media_type_of_a_plain_layer_says_does_not_count() -> None:
    manifest = json.loads(PLAIN.raw)
    for layer in manifest["layers"]:
        layer["mediaType"] += "+gzip"
    assert only(hybrid(changed(PLAIN, **manifest))).original is not None


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_layers_are_left_as_they_are(compression: archives.Compress) -> None:
    image = only(hybrid(oci_image(ONE, compression=compression)))
    assert isinstance(image.root, Descriptor)
    assert image.original is None


def test_an_index_is_left_as_it_is() -> None:
    image = only(hybrid(oci_index([replace(PLAIN, platform="linux/amd64")])))
    assert isinstance(image.root, Descriptor)


def test_a_pure_image_layout_is_left_as_it_is() -> None:
    assert isinstance(only(opened(oci_layout([entry(PLAIN)]))).root, Descriptor)


@pytest.mark.parametrize("manifest", [b"{}", b"[1]", b'[{"ImageIndex":null}]'])
def test_a_manifest_json_that_is_not_docker_s_is_just_a_file(manifest: bytes) -> None:
    archive = opened(tar([*oci_members([entry(PLAIN)]), Member("manifest.json", manifest)]))
    assert isinstance(only(archive).root, Descriptor)


@pytest.mark.parametrize(
    "members",
    [
        {"annotations": {"org.opencontainers.image.title": "x"}},
        {"subject": oci_image(TWO).descriptor},
        {"artifactType": "application/vnd.example.thing.v1"},
        {"layers": [{**layer, "annotations": {"a": "b"}} for layer in json.loads(PLAIN.raw)["layers"]]},
        {"layers": [{**layer, "urls": ["https://example.com"]} for layer in json.loads(PLAIN.raw)["layers"]]},
        {"layers": [{**layer, "mediaType": "text/plain"} for layer in json.loads(PLAIN.raw)["layers"]]},
    ],
)
def test_a_manifest_that_a_new_one_could_not_stand_for_is_kept(members: dict[str, object]) -> None:
    image = only(hybrid(changed(PLAIN, **members)))
    assert isinstance(image.root, Descriptor)


def test_an_image_with_referrers_keeps_its_manifest() -> None:
    signature = archives.oci_artifact(b"signature", subject=PLAIN)
    archive = opened(oci_layout([entry(PLAIN, ref="a/b:1"), entry(signature)], hybrid=[ONE]))
    image = only(archive)
    assert isinstance(image.root, Descriptor)
    assert [str(referrer.digest) for referrer in image.referrers] == [signature.digest]


def test_a_config_too_large_to_read_leaves_the_image_as_it_is() -> None:
    large = replace(ONE, config=ONE.config + b" " * (8 << 20))
    assert isinstance(only(hybrid(oci_image(large, compression="none"), large)).root, Descriptor)


def test_a_config_in_its_descriptor_leaves_the_image_as_it_is() -> None:
    manifest = json.loads(PLAIN.raw)
    manifest["config"]["data"] = base64.b64encode(ONE.config).decode()
    node = changed(PLAIN, **manifest)
    members = oci_members([entry(node)], without=[ONE.config_digest])
    listed = [{"Config": archives.blob_name(ONE.config_digest), "RepoTags": ["a/b:1"], "Layers": []}]
    image = only(opened(tar([*members, Member("manifest.json", archives.to_json(listed))])))
    assert isinstance(image.root, Descriptor)
    assert image.names == ("a/b:1",)


def test_a_changed_config_is_refused() -> None:
    name = archives.blob_name(ONE.config_digest)
    other = ONE.config.replace(b"amd64", b"arm64")
    members = [
        Member(name, other) if member.name == name else member for member in oci_members([entry(PLAIN)], hybrid=[ONE])
    ]
    with pytest.raises(DigestMismatch, match="config"):
        opened(tar(members))


def test_a_config_without_diff_ids_is_refused() -> None:
    odd = replace(ONE, config=b'{"os":"linux"}')
    with pytest.raises(MalformedArchive, match="diff_ids"):
        hybrid(oci_image(odd, compression="none"), replace(odd, layers=()))


# --- names -----------------------------------------------------------------------------------------------------------


def test_the_index_counts_where_both_name_an_image_and_a_note_tells_the_other_name() -> None:
    archive = hybrid(PLAIN, tagged(ONE, "example.com/other:9", "example.com/app:1"), name="example.com/app:1", ref="1")
    assert only(archive).names == ("example.com/app:1",)
    assert "example.com/other:9" in archive.notes[0]
    assert "example.com/app:1" not in archive.notes[0]


def test_short_and_full_forms_of_one_name_do_not_disagree() -> None:
    archive = hybrid(PLAIN, tagged(ONE, "tiny:latest"), name="docker.io/library/tiny:latest", ref="latest")
    assert archive.notes == ()


def test_an_invalid_name_is_compared_as_it_stands() -> None:
    assert hybrid(PLAIN, tagged(ONE, "UPPER/App:1"), ref="UPPER/App:1").notes == ()


@pytest.mark.parametrize("ref", [None, "1"])
def test_an_image_without_a_full_name_has_that_of_manifest_json(ref: str | None) -> None:
    image = only(hybrid(PLAIN, tagged(ONE, "example.com/app:1", "b:2"), ref=ref))
    assert image.names == ("example.com/app:1", "b:2")
    assert image.bare_tags == ()


def test_an_index_without_a_name_has_that_of_one_of_its_images() -> None:
    index = oci_index(
        [oci_index([replace(oci_image(TWO), platform="linux/arm64"), replace(PLAIN, platform="linux/amd64")])]
    )
    assert only(hybrid(index)).names == ONE.tags


def test_the_first_of_two_nameless_indexes_over_one_image_has_its_name() -> None:
    both = [oci_index([PLAIN]), oci_index([PLAIN, oci_image(TWO)])]
    archive = opened(oci_layout([entry(node) for node in both], hybrid=[ONE]))
    assert [image.names for image in archive.images] == [ONE.tags, ()]


def test_nothing_has_a_name_where_neither_file_has_one() -> None:
    image = only(hybrid(PLAIN, replace(ONE, tags=None)))
    assert (image.names, image.bare_tags) == ((), ())


def test_the_config_may_be_called_by_any_name_that_leads_to_it() -> None:
    blob = archives.blob_name(ONE.config_digest)
    listed = [{"Config": "config.json", "RepoTags": ["a/b:1"], "Layers": [archives.blob_name(d) for d in ONE.diff_ids]}]
    members = [*oci_members([entry(PLAIN)]), Member("config.json", hardlink=blob)]
    image = only(opened(tar([*members, Member("manifest.json", archives.to_json(listed))])))
    assert image.names == ("a/b:1",)
    assert isinstance(image.root, DockerImage)


# --- images that only manifest.json has ------------------------------------------------------------------------------


def test_images_that_docker_left_out_of_the_index_are_read_from_manifest_json() -> None:
    archive = opened(oci_layout([entry(PLAIN, ref="example.com/app:1")], hybrid=[ONE, replace(TWO, tags=None)]))
    first, second = archive.images
    assert first.names == ("example.com/app:1",)
    assert isinstance(second.root, DockerImage)
    assert second.root.oci
    assert second.root.config.media_type == OCI_CONFIG
    assert str(second.root.config.digest) == TWO.config_digest
    assert second.names == ()
    assert second.root.config.digest in archive.blobs


def test_an_image_of_manifest_json_alone_is_read_whole_or_refused() -> None:
    members = oci_members([entry(PLAIN)], hybrid=[ONE, TWO])
    without = archives.blob_name(TWO.diff_ids[0])
    with pytest.raises(MissingContent, match=TWO.diff_ids[0]):
        opened(tar(member for member in members if member.name != without))


def test_an_image_of_manifest_json_without_its_config_is_refused() -> None:
    listed: list[dict[str, object]] = [{"Config": "absent.json", "RepoTags": None, "Layers": []}]
    members = [*oci_members([entry(PLAIN)]), Member("manifest.json", archives.to_json(listed))]
    with pytest.raises(MissingContent, match=r"absent\.json"):
        opened(tar(members))
