"""Tars of imgpkg: a real one, and ones built as its writer does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.archive import Archive, Limits
from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, MissingContent, SizeMismatch, UnknownFormat
from app.oci import Descriptor, Platform
from tests.support.archives import Member, Node, image, oci_artifact, oci_image, oci_index, sha256, tar
from tests.support.imgpkg import described, imgpkg_tar, layers_of
from tests.support.opening import opened

REAL = Path(__file__).parents[2] / "data" / "corpus" / "imgpkg-image.tar"
APP = oci_image(image({"bin/app": b"app"}, {"etc/app": b"<&>"}))
ARM = oci_image(image({"bin/app": b"arm"}, platform="linux/arm64/v8"))
INDEX = oci_index([APP, oci_index([ARM])])


def written(*nodes: Node, tag: str = "") -> bytes:
    return imgpkg_tar([described(node, "example.com/team/app", tag) for node in nodes], layers_of(nodes))


def changed(change: Any, node: Node = APP) -> bytes:
    """A tar of one image whose object in manifest.json was changed in place by `change`."""
    members = described(node, "example.com/team/app")
    change(members)
    return imgpkg_tar([members], layers_of([node]))


def names(archive: Archive) -> list[tuple[str, ...]]:
    return [entry.names for entry in archive.images]


def test_a_real_tar_is_read_with_its_manifest_as_it_was() -> None:
    archive = opened(REAL.read_bytes())
    (entry,) = archive.images
    assert archive.format == "imgpkg"
    assert isinstance(entry.root, Descriptor)
    assert str(entry.root.digest) == "sha256:ea1729a9d18d8ff1819c803a828a5789093704a70c9921fac3ef37f1405a85b2"
    assert entry.names == ("127.0.0.1:5559/bench/oci:1",)
    assert entry.platforms == (Platform("linux", "amd64"),)
    config = archive.manifests[entry.root.digest].config
    assert config is not None
    assert config.data is not None
    assert sha256(config.data) == str(config.digest)
    assert len(archive.blobs) == 6


def test_names_are_repository_and_tag_or_else_digest() -> None:
    assert names(opened(written(APP, tag="v1"))) == [("example.com/team/app:v1",)]
    assert names(opened(written(APP))) == [(f"example.com/team/app@{APP.digest}",)]
    assert names(opened(changed(lambda members: members["Image"].update(Refs=None)))) == [()]
    assert names(opened(changed(lambda members: members["Image"].update(Refs=["Bad:x"], Tag="1")))) == [("Bad:x",)]


def test_one_image_under_two_names_is_one_image() -> None:
    elements = [described(APP, "example.com/a", "1"), described(APP, "example.com/b", "2")]
    archive = opened(imgpkg_tar(elements, layers_of([APP])))
    assert names(archive) == [("example.com/a:1", "example.com/b:2")]


def test_an_index_is_read_with_all_that_is_below() -> None:
    archive = opened(written(INDEX, tag="v1"))
    (entry,) = archive.images
    assert entry.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))
    assert {str(digest) for digest in archive.manifests} == {
        item.digest for item in (INDEX, APP, ARM, INDEX.children[1])
    }


def test_configs_of_artifacts_are_only_carried() -> None:
    artifact = oci_artifact(b"thing")
    archive = opened(written(artifact))
    assert archive.images[0].platforms == ()


def test_a_config_that_is_no_json_travels_as_it_is() -> None:
    node = oci_image(image({"a": b"a"}))
    members = json.loads(node.raw)
    members["config"] |= {"digest": sha256(b"no json"), "size": 7}
    odd = Node(json.dumps(members).encode(), node.media_type, {**node.blobs, sha256(b"no json"): b"no json"})
    assert opened(written(odd)).images[0].platforms == ()


def test_a_config_that_is_a_list_tells_no_platform() -> None:
    node = oci_image(image({"a": b"a"}))
    members = json.loads(node.raw)
    members["config"] |= {"digest": sha256(b"[]"), "size": 2}
    odd = Node(json.dumps(members).encode(), node.media_type, {**node.blobs, sha256(b"[]"): b"[]"})
    assert opened(written(odd)).images[0].platforms == ()


def test_foreign_layers_may_be_absent_and_are_told() -> None:
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": sha256(b"w"),
        "size": 1,
    }
    members = json.loads(APP.raw)
    members["layers"].append(layer)
    node = Node(json.dumps(members).encode(), APP.media_type, APP.blobs)
    archive = opened(written(node))
    assert any(sha256(b"w") in note for note in archive.notes)


def test_layers_that_stand_in_their_descriptors_need_no_member() -> None:
    members = json.loads(APP.raw)
    members["layers"] = [{"mediaType": "a/b", "digest": sha256(b"w"), "size": 1, "data": "dw=="}]
    archive = opened(written(Node(json.dumps(members).encode(), APP.media_type, APP.blobs)))
    assert not archive.blobs


def test_layers_that_are_missing_are_listed() -> None:
    with pytest.raises(MissingContent) as raised:
        opened(imgpkg_tar([described(APP, "a/b")], {}))
    assert all(layer["digest"] in str(raised.value) for layer in json.loads(APP.raw)["layers"])


def test_a_layer_of_another_size_is_refused() -> None:
    with pytest.raises(SizeMismatch):
        opened(imgpkg_tar([described(APP, "a/b")], {name: data + b"x" for name, data in layers_of([APP]).items()}))


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (DigestMismatch, lambda m: m["Image"]["Manifest"].update(Digest=sha256(b""))),
        (
            DigestMismatch,
            lambda m: m["Image"]["Config"].update(Raw=m["Image"]["Config"]["Raw"].replace("amd64", "arm64")),
        ),
        (SizeMismatch, lambda m: m["Image"]["Config"].update(Raw="")),
        (MalformedArchive, lambda m: m["Image"]["Config"].update(Raw="\ud800")),
        (MalformedArchive, lambda m: m["Image"]["Config"].update(Raw=None)),
        (MalformedArchive, lambda m: m["Image"].update(Config=[])),
        (MalformedArchive, lambda m: m["Image"].update(Manifest=None)),
        (MalformedArchive, lambda m: m["Image"].update(Refs="a/b")),
        (MalformedArchive, lambda m: m["Image"].update(Refs=[1])),
        (MalformedArchive, lambda m: m["Image"].update(Tag=1)),
        (MalformedArchive, lambda m: m.update(ImageIndex=m["Image"])),
        (MalformedArchive, lambda m: m.update(Image=None)),
        (MalformedArchive, lambda m: m.update(Image="x")),
    ],
)
def test_what_is_not_as_imgpkg_writes_it_is_refused(error: type[Exception], change: Any) -> None:
    with pytest.raises(error):
        opened(changed(change))


@pytest.mark.parametrize("change", [{"Images": {}}, {"Indexes": [1]}, {"Images": [{}]}])
def test_an_index_that_is_not_as_imgpkg_writes_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedArchive):
        opened(changed(lambda members: members["ImageIndex"].update(change), INDEX))


def test_an_index_in_the_place_of_an_image_is_refused() -> None:
    element = described(APP, "a/b")
    element["Image"]["Manifest"] = {
        "MediaType": INDEX.media_type,
        "Digest": INDEX.digest,
        "Raw": INDEX.raw.decode(),
    }
    with pytest.raises(MalformedArchive):
        opened(imgpkg_tar([element], {}))


def test_one_digest_of_two_media_types_is_refused() -> None:
    elements = [described(APP, "a/b"), described(APP, "a/c")]
    elements[1]["Image"]["Manifest"]["MediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    with pytest.raises(MalformedArchive):
        opened(imgpkg_tar(elements, layers_of([APP])))


def test_depth_and_number_are_limited() -> None:
    with pytest.raises(LimitExceeded, match="1"):
        opened(written(INDEX), Limits(depth=1))
    with pytest.raises(LimitExceeded, match="1 manifests"):
        opened(written(INDEX), Limits(nodes=1))


def test_a_list_of_something_else_is_unknown() -> None:
    with pytest.raises(UnknownFormat):
        opened(tar([Member("manifest.json", b'[{"Other":1}]')]))


def test_an_element_beside_it_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        opened(imgpkg_tar([described(APP, "a/b"), {}], layers_of([APP])))
