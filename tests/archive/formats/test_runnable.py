"""What a container runtime would find wrong with the images of any format: notices, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import open_archive
from app.archive.formats.reading import runnable
from app.archive.manifests import image_config
from app.oci import Descriptor
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import (
    Compress,
    Node,
    attestation,
    blob_name,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    tagged,
    to_json,
)
from tests.support.hauler import Held, haul
from tests.support.imgpkg import described, imgpkg_tar, layers_of
from tests.support.opening import opened, taken_in
from tests.support.storage_tree import bundle, oc_mirror, tree
from tests.support.zarf import zarf_package

NAME = "example.com/team/app:1"
APP = image({"a": b"one"}, {"b": b"two"})
REVERSED = oci_image(APP, compression="none")
REVERSED = replace(
    REVERSED, raw=to_json({**json.loads(REVERSED.raw), "layers": json.loads(REVERSED.raw)["layers"][::-1]})
)


def notes(node: Node) -> tuple[str, ...]:
    return opened(oci_layout([entry(node, ref=NAME)])).notes


def typed(stored: Compress, media_type: str) -> Node:
    """An image whose layers are stored in one way and described in another."""
    node = oci_image(APP, compression=stored)
    members = json.loads(node.raw)
    return replace(
        node,
        raw=to_json({**members, "layers": [{**layer, "mediaType": media_type} for layer in members["layers"]]}),
    )


GZIP, ZSTD, PLAIN = (f"{archives.OCI_LAYER}{ending}" for ending in ("+gzip", "+zstd", ""))


@pytest.mark.parametrize(
    ("stored", "media_type", "told"),
    [
        ("gzip", PLAIN, "compressed with gzip"),
        ("zstd", PLAIN, "compressed with zstd"),
        ("none", GZIP, "not compressed"),
        ("zstd", GZIP, "compressed with zstd"),
        ("xz", GZIP, "compressed with xz"),
        ("bzip2", PLAIN, "compressed with bzip2"),
        ("none", ZSTD, "not compressed"),
        ("gzip", ZSTD, "compressed with gzip"),
        ("none", f"{archives.DOCKER_LAYER}.gzip", "not compressed"),
        ("zstd", f"{archives.DOCKER_LAYER}.gzip", "compressed with zstd"),
        ("gzip", archives.DOCKER_LAYER, "compressed with gzip"),
        ("gzip", GZIP, ""),
        ("zstd", ZSTD, ""),
        ("none", PLAIN, ""),
        ("gzip", f"{archives.DOCKER_LAYER}.gzip", ""),
        ("gzip", f"{GZIP}+encrypted", ""),
        ("none", f"{PLAIN}+zstd:chunked".replace(":", "-"), ""),
        ("none", "application/octet-stream", ""),
        ("gzip", "application/vnd.example.layer.v1.tar", ""),
    ],
)
def test_a_layer_that_is_stored_in_another_way_than_it_is_described_is_told(
    stored: Compress, media_type: str, told: str
) -> None:
    archive = opened(oci_layout([entry(typed(stored, media_type), ref=NAME)]))
    assert len(archive.notes) == bool(told)
    assert bool(archive.mislabelled) is bool(told)
    if told:
        assert archive.notes[0].startswith(f"{NAME}: layer sha256:")
        assert told in archive.notes[0]
        assert media_type in archive.notes[0]


@pytest.mark.parametrize("stored", ["gzip", "zstd", "none"])
def test_a_manifest_that_is_made_says_how_its_layers_are_stored(stored: Compress) -> None:
    node = typed(stored, f"{archives.DOCKER_LAYER}.gzip")
    members = json.loads(node.raw)
    members["config"]["mediaType"] = archives.DOCKER_CONFIG
    raw = to_json({**members, "mediaType": archives.DOCKER_MANIFEST})
    node = replace(node, raw=raw, media_type=archives.DOCKER_MANIFEST)
    plan = planned(oci_layout([entry(node, ref=NAME)]), media_types="oci")
    root = plan.images[0].entry.root
    assert isinstance(root, Descriptor)
    manifest = plan.archives[0].manifests[root.digest]
    expected = {"gzip": GZIP, "zstd": ZSTD, "none": PLAIN}[stored]
    assert {layer.media_type for layer in manifest.layers} == {expected}


PLATFORMS = [
    ("linux/arm64", "linux/amd64", True),
    ("windows/amd64", "linux/amd64", True),
    ("linux/amd64", "linux/amd64", False),
    ("linux/arm64/v8", "linux/arm64", False),
    ("linux/arm", "linux/arm/v7", False),
    ("linux/x86_64", "linux/amd64", False),
    ("linux/aarch64", "linux/arm64", False),
    ("Linux/AMD64", "linux/amd64", False),
    ("unknown/unknown", "linux/amd64", False),
]


@pytest.mark.parametrize(("stated", "config", "differs"), PLATFORMS)
def test_an_index_that_lists_an_image_for_another_platform_is_told(stated: str, config: str, differs: bool) -> None:
    node = oci_image(image({"a": b"1"}, platform=config), platform=stated)
    found = notes(oci_index([node]))
    assert len(found) == differs
    if differs:
        assert all(value in found[0] for value in (node.digest, f" {stated}", f" {config}"))


@pytest.mark.parametrize(("stated", "config", "differs"), PLATFORMS)
def test_the_config_counts_before_what_index_json_says(stated: str, config: str, differs: bool) -> None:
    archive = opened(oci_layout([entry(oci_image(image({"a": b"1"}, platform=config), platform=stated), ref=NAME)]))
    assert len(archive.notes) == differs
    (platform,) = archive.images[0].platforms
    told = config if differs or "unknown" in stated else stated
    assert str(platform) == told


@pytest.mark.parametrize(
    "platform", [{}, {"os": "linux"}, {"architecture": "arm64"}, {"os": "", "architecture": ""}, {"os": None}]
)
@pytest.mark.parametrize("in_index", [False, True])
def test_a_platform_without_os_or_architecture_is_none(platform: dict[str, Any], in_index: bool) -> None:
    node = oci_image(image({"a": b"1"}, platform="linux/arm64/v8"))
    listed = {**node.descriptor, "platform": platform}
    if in_index:
        raw = to_json({"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [listed]})
        data = oci_layout([entry(Node(raw, archives.OCI_INDEX, children=(node,)), ref=NAME)])
    else:
        listed["annotations"] = {archives.REF_NAME: NAME}
        index = to_json({"schemaVersion": 2, "manifests": [listed]})
        members = [
            archives.Member("index.json", index) if member.name == "index.json" else member
            for member in archives.oci_members([entry(node)])
        ]
        data = archives.tar(members)
    archive = opened(data)
    assert [str(item) for item in archive.images[0].platforms] == ["linux/arm64/v8"]
    assert archive.notes == ()
    assert len(planned(data, platforms="linux/arm64").images) == 1


def test_attestations_and_artifacts_are_not_compared() -> None:
    node = oci_image(APP, platform="linux/amd64")
    assert notes(oci_index([node, attestation(node), oci_artifact(b"sbom")])) == ()


@pytest.mark.parametrize(
    "config",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"rootfs":1}',
        b'{"rootfs":{"diff_ids":1}}',
        b'{"rootfs":{"diff_ids":[1,2]}}',
    ],
)
def test_a_config_that_is_none_of_an_image_is_not_compared(config: bytes) -> None:
    node = oci_image(APP)
    members = json.loads(node.raw)
    members["config"] |= {"digest": sha256(config), "size": len(config)}
    blobs = {digest: data for digest, data in node.blobs.items() if digest != APP.config_digest}
    assert notes(replace(node, raw=to_json(members), blobs={**blobs, sha256(config): config})) == ()


def test_layers_of_other_algorithms_are_not_compared() -> None:
    assert notes(oci_image(APP, compression="none", algorithm="sha512")) == ()


def test_history_of_empty_layers_is_no_contradiction() -> None:
    config = json.loads(APP.config)
    config["history"] = [{"created_by": "ENV a=b", "empty_layer": True}] * 5 + config["history"]
    assert notes(oci_image(replace(APP, config=to_json(config)))) == ()


STORED = {"team/app": {"1": REVERSED}}
FORMATS = {
    "oci-archive": oci_layout([entry(REVERSED, ref=NAME)]),
    "zarf": zarf_package({NAME: REVERSED}),
    "hauler": haul([Held(oci_index([replace(REVERSED, platform="linux/amd64")]), NAME, "imageIndex")]),
    "imgpkg": imgpkg_tar([described(REVERSED, "example.com/team/app", "1")], layers_of([REVERSED])),
    "registry-storage": archives.tar(tree(STORED)),
    "oc-mirror": archives.tar(oc_mirror(STORED)),
    "mindthegap-bundle": bundle(STORED, images={"example.com": {"team/app": ["1"]}}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_compared(name: str) -> None:
    archive = opened(FORMATS[name])
    assert archive.format == name
    (note,) = [note for note in archive.notes if "contradicts its config" in note]
    assert f"manifest {REVERSED.digest} contradicts" in note


def test_the_notices_do_not_grow_with_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runnable, "MAX_NOTES", 2)
    nodes = [typed("gzip", PLAIN), REVERSED, typed("none", GZIP), typed("zstd", GZIP)]
    archive = opened(oci_layout([entry(node, ref=f"a/b:{number}") for number, node in enumerate(nodes)]))
    assert len(archive.notes) == 3
    assert archive.notes[-1].startswith("2 more manifests")


def test_configs_beyond_the_limit_are_told_and_do_not_refuse_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_config, "MAX_SPARE_VALUES", 1)
    nodes = [oci_image(image({"a": b"1"}, label=str(number)), platform="linux/amd64") for number in range(3)]
    (note,) = opened(oci_layout([entry(node, ref=f"a/b:{number}") for number, node in enumerate(nodes)])).notes
    assert note.startswith("2 configs were not compared")


def test_no_layer_is_read_for_it() -> None:
    index, source = taken_in(oci_layout([entry(typed("gzip", PLAIN), ref=NAME), entry(REVERSED, ref="a/b:1")]))
    layers = [index.extent(blob_name(digest)) for node in (typed("gzip", PLAIN), REVERSED) for digest in node.blobs]
    reads: list[tuple[int, int]] = []

    class Counting:
        def read_at(self, offset: int, size: int) -> bytes:
            reads.append((offset, size))
            return source.read_at(offset, size)

    archive = open_archive(index, Counting())
    assert len(archive.notes) == 2
    read = {offset for offset, _ in reads}
    config = index.extent(blob_name(APP.config_digest))
    assert not read & {extent.offset for extent in layers if extent is not None and extent != config}


@pytest.mark.parametrize("media_type", [GZIP, ZSTD, PLAIN])
def test_plain_layers_that_stay_as_they_are_keep_their_media_types_with_a_notice(media_type: str) -> None:
    """Of docker >= 25; where they are compressed, the manifest is made anew and says so."""
    node = typed("none", media_type)
    data = oci_layout([entry(node, ref=NAME)], hybrid=[tagged(APP, NAME)])
    assert planned(data).notes == ()
    notes = planned(data, layer_compression="none").notes
    assert len(notes) == (media_type != PLAIN)
    if notes:
        assert notes[0].startswith(f"{NAME}: layer sha256:")
        assert "not compressed" in notes[0]
        assert media_type in notes[0]
