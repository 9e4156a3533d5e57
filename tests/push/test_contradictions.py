"""Images whose manifests contradict their configs: what a tag has in the end can be run, or there is no tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.errors import DigestMismatch
from app.push import ImageState
from tests.push.given import planned, pushed
from tests.support import archives
from tests.support.archives import (
    Compress,
    Image,
    Member,
    Node,
    attestation,
    blob_name,
    docker_members,
    entry,
    image,
    image_of,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    oci_members,
    sha256,
    tagged,
    tar,
    to_json,
    wrap,
)
from tests.support.fake_registry import FakeRegistry
from tests.support.runtime import faults_of

NAME = "example.com/team/app:1"
APP = tagged(image({"a": b"one"}, {"b": b"two"}, {"c": b"three"}), NAME)
ARM = tagged(image({"a": b"one"}, {"b": b"arm"}, platform="linux/arm64"), NAME)
PLAIN_TAR = archives.layer({"a": b"twice"})
TWICE = tagged(image_of([PLAIN_TAR, archives.layer({"b": b"2"}), PLAIN_TAR]), NAME)
COMPRESSIONS = ("gzip", "zstd", "none")

Layers = list[dict[str, Any]]
Change = Callable[[Layers], Layers]


def with_layers(node: Node, change: Change) -> Node:
    """The node with other layers in its manifest; the blobs stay."""
    members = json.loads(node.raw)
    return replace(node, raw=to_json({**members, "layers": change(members["layers"])}))


def wrong(sample: Image = APP, compression: Compress = "none", change: Change | None = None, **more: Any) -> Node:
    return with_layers(oci_image(sample, compression=compression, **more), change or (lambda layers: layers[::-1]))


def manifest_json(node: Node, layers: Sequence[str], tags: Sequence[str] = (NAME,)) -> Member:
    """docker's list with one image, whose layers are blobs of these digests."""
    config = json.loads(node.raw)["config"]["digest"]
    listed = {"Config": blob_name(config), "RepoTags": list(tags), "Layers": [blob_name(layer) for layer in layers]}
    return Member("manifest.json", to_json([listed]))


def stored(sample: Image, compression: Compress) -> list[str]:
    return [sha256(wrap(plain, compression)) for plain in sample.layers]


def hybrid(node: Node, right: Sequence[str], root: Node | None = None, *more: Member) -> bytes:
    """A layout of `root`, or of `node`, and manifest.json that has `right` as the layers of `node`."""
    members = oci_members([entry(root or node, name=NAME, ref="1")])
    return tar([*members, manifest_json(node, right), *more])


def mixed(sample: Image) -> Node:
    """The first layer plain, the others compressed."""
    plain, packed = oci_image(sample, compression="none"), oci_image(sample, compression="gzip")
    members = json.loads(packed.raw)
    members["layers"] = [json.loads(plain.raw)["layers"][0], *members["layers"][1:]]
    return replace(packed, raw=to_json(members), blobs={**plain.blobs, **packed.blobs})


def annotated(node: Node) -> Node:
    return replace(node, raw=to_json({**json.loads(node.raw), "annotations": {"kept": "yes"}}))


AMD_PLAIN = wrong(platform="linux/amd64")
AMD_GZIP = wrong(compression="gzip", platform="linux/amd64")
ARM_GZIP = oci_image(ARM, compression="gzip", platform="linux/arm64")
SWAPPED_TWICE: Change = lambda layers: [layers[0], layers[2], layers[1]]  # noqa: E731

# What is put right by manifest.json, whatever becomes of plain layers.
RESOLVED: dict[str, bytes] = {
    "docker 25.0.0, layers in reverse": hybrid(wrong(), APP.diff_ids),
    "docker 25.0.0, two of three swapped": hybrid(wrong(change=SWAPPED_TWICE), APP.diff_ids),
    "docker's media types": hybrid(wrong(docker=True), APP.diff_ids),
    "no layers at all": hybrid(wrong(change=lambda _: []), APP.diff_ids),
    "a layer left out": hybrid(wrong(change=lambda layers: layers[:2]), APP.diff_ids),
    "a layer too many": hybrid(wrong(change=lambda layers: [*layers, layers[0]]), APP.diff_ids),
    "one layer for each place": hybrid(wrong(change=lambda layers: [layers[0]] * 3), APP.diff_ids),
    "gzip layers in reverse": hybrid(wrong(compression="gzip"), stored(APP, "gzip")),
    "zstd layers in reverse": hybrid(wrong(compression="zstd"), stored(APP, "zstd")),
    "a gzip layer left out": hybrid(wrong(compression="gzip", change=lambda layers: layers[1:]), stored(APP, "gzip")),
    "plain and compressed layers": hybrid(
        with_layers(mixed(APP), lambda layers: layers[::-1]), [APP.diff_ids[0], *stored(APP, "gzip")[1:]]
    ),
    "a repeated layer in the wrong places": hybrid(wrong(TWICE, change=SWAPPED_TWICE), TWICE.diff_ids),
    "a repeated layer listed once": hybrid(wrong(TWICE, change=lambda layers: layers[:2]), TWICE.diff_ids),
    "a repeated gzip layer in the wrong places": hybrid(
        wrong(TWICE, "gzip", change=SWAPPED_TWICE), stored(TWICE, "gzip")
    ),
    "annotations in the manifest": hybrid(annotated(wrong()), APP.diff_ids),
    "in an index": hybrid(AMD_PLAIN, APP.diff_ids, oci_index([AMD_PLAIN, ARM_GZIP])),
    "gzip layers in an index": hybrid(AMD_GZIP, stored(APP, "gzip"), oci_index([AMD_GZIP, ARM_GZIP])),
    "in an index in an index": hybrid(AMD_PLAIN, APP.diff_ids, oci_index([oci_index([AMD_PLAIN])])),
    "in a list of docker's": hybrid(AMD_GZIP, stored(APP, "gzip"), oci_index([AMD_GZIP, ARM_GZIP], docker=True)),
    "in an index with an attestation": hybrid(
        AMD_PLAIN, APP.diff_ids, oci_index([AMD_PLAIN, attestation(AMD_PLAIN), ARM_GZIP])
    ),
    "media types that say gzip of plain layers": hybrid(
        wrong(change=lambda layers: [{**layer, "mediaType": f"{archives.OCI_LAYER}+gzip"} for layer in layers[::-1]]),
        APP.diff_ids,
    ),
    "the second entry of manifest.json is right": tar(
        [
            *oci_members([entry(wrong(), name=NAME)]),
            Member(
                "manifest.json",
                to_json(
                    [
                        {
                            "Config": blob_name(APP.config_digest),
                            "RepoTags": [NAME],
                            "Layers": [blob_name(layer) for layer in layers],
                        }
                        for layers in (APP.diff_ids[::-1], APP.diff_ids)
                    ]
                ),
            ),
        ]
    ),
    "layers under other names": tar(
        [
            *oci_members([entry(wrong(), name=NAME)]),
            *docker_members([APP], style="classic"),
        ]
    ),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", RESOLVED)
async def test_what_manifest_json_has_right_is_pushed_so_that_it_runs(kind: str, compression: str) -> None:
    registry = FakeRegistry()
    run = await pushed(registry, RESOLVED[kind], layer_compression=compression)
    assert run.states == [ImageState.PUSHED]
    assert faults_of(registry, "team/app", "1") == []
    (note,) = [text for text in run.plan.notes if "contradicts its config" in text]
    assert NAME in note
    assert "manifest.json" in note


@pytest.mark.parametrize("media_types", ["oci", "docker"])
@pytest.mark.parametrize("kind", ["docker 25.0.0, layers in reverse", "gzip layers in reverse", "in an index"])
async def test_it_is_right_with_other_media_types_too(kind: str, media_types: str) -> None:
    for compression in ("gzip", "none"):
        registry = FakeRegistry()
        run = await pushed(registry, RESOLVED[kind], layer_compression=compression, media_types=media_types)
        assert run.states == [ImageState.PUSHED]
        assert faults_of(registry, "team/app", "1") == []


async def test_an_index_keeps_all_but_what_was_put_right() -> None:
    registry = FakeRegistry()
    await pushed(registry, RESOLVED["in an index with an attestation"])
    listed = json.loads(registry.manifest("team/app", "1"))["manifests"]
    assert [one["platform"]["architecture"] for one in listed] == ["amd64", "unknown", "arm64"]
    assert listed[0]["digest"] != AMD_PLAIN.digest
    assert listed[1]["annotations"]["vnd.docker.reference.digest"] == listed[0]["digest"]
    assert listed[2] == ARM_GZIP.descriptor


async def test_what_refers_to_the_digest_that_is_gone_is_left_out_with_a_notice() -> None:
    signature = oci_artifact(b"signature", subject=wrong())
    layout = [entry(wrong(), name=NAME, ref="1"), entry(signature)]
    data = tar([*oci_members(layout), manifest_json(wrong(), APP.diff_ids)])
    registry = FakeRegistry()
    run = await pushed(registry, data)
    assert run.states == [ImageState.PUSHED]
    assert faults_of(registry, "team/app", "1") == []
    assert any("1 signatures or other referrers" in note for note in run.plan.notes)


# What stays as it is: the manifest agrees with its config, or is none of an image.
UNTOUCHED: dict[str, tuple[Node, bytes]] = {
    "manifest.json alone is wrong": (
        node := oci_image(APP, compression="gzip"),
        hybrid(node, stored(APP, "gzip")[::-1]),
    ),
    "manifest.json has too few": (node, hybrid(node, stored(APP, "gzip")[:1])),
    "manifest.json has other files": (node, hybrid(node, [sha256(b"absent")] * 3)),
    "both right, zstd": (
        packed := oci_image(APP, compression="zstd"),
        hybrid(packed, stored(APP, "zstd")),
    ),
    "an artifact with an image config": (
        artifact := replace(
            wrong(compression="gzip"),
            raw=to_json({**json.loads(wrong(compression="gzip").raw), "artifactType": "application/vnd.example"}),
        ),
        hybrid(artifact, stored(APP, "gzip")),
    ),
    "layers that are none": (
        other := with_layers(
            oci_image(APP, compression="gzip"),
            lambda layers: [{**layer, "mediaType": "application/vnd.in-toto+json"} for layer in layers[:2]],
        ),
        hybrid(other, stored(APP, "gzip")),
    ),
    "an image without layers": (empty := oci_image(tagged(image_of([]), NAME)), hybrid(empty, [])),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", UNTOUCHED)
async def test_what_agrees_or_is_no_image_arrives_byte_for_byte(kind: str, compression: str) -> None:
    node, data = UNTOUCHED[kind]
    registry = FakeRegistry()
    run = await pushed(registry, data, layer_compression=compression)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("team/app", "1") == node.raw
    assert not [note for note in run.plan.notes if "contradicts" in note]


BROKEN = {
    "manifest.json is as wrong": hybrid(wrong(), APP.diff_ids[::-1]),
    "wrong in another way": hybrid(wrong(), [APP.diff_ids[1], APP.diff_ids[0], APP.diff_ids[2]]),
    "manifest.json has too few": hybrid(wrong(), APP.diff_ids[:2]),
    "manifest.json has files that are absent": hybrid(wrong(), [*APP.diff_ids[:2], sha256(b"absent")]),
    "both wrong, gzip": hybrid(wrong(compression="gzip"), [stored(APP, "gzip")[n] for n in (1, 0, 2)]),
    "too few layers, gzip": hybrid(
        wrong(compression="gzip", change=lambda layers: layers[:2]), stored(APP, "gzip")[:2]
    ),
    "another image is listed": tar(
        [
            *oci_members([entry(wrong(), name=NAME), entry(ARM_GZIP, name="example.com/arm:1")]),
            manifest_json(ARM_GZIP, stored(ARM, "gzip")),
        ]
    ),
    "a child that is not listed": hybrid(ARM_GZIP, stored(ARM, "gzip"), oci_index([AMD_PLAIN, ARM_GZIP])),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", BROKEN)
def test_where_nothing_agrees_it_is_refused_by_name_and_layer(kind: str, compression: str) -> None:
    with pytest.raises(DigestMismatch, match="layer") as refused:
        planned(BROKEN[kind], layer_compression=compression)
    assert NAME in str(refused.value)


def test_another_image_is_pushed_if_it_alone_is_wanted() -> None:
    other = tagged(image({"o": b"other"}), "example.com/other:1")
    layout = [entry(wrong(), name=NAME), entry(oci_image(other, compression="none"), name="example.com/other:1")]
    data = oci_layout(layout, hybrid=[replace(APP, layers=APP.layers[::-1]), other])
    with pytest.raises(DigestMismatch):
        planned(data)
    (target,) = planned(data, images="*/other:1").images
    assert target.entry.names == ("example.com/other:1",)


def test_a_child_that_nothing_agrees_with_can_be_left_out() -> None:
    plan = planned(BROKEN["a child that is not listed"], platforms="linux/arm64")
    assert len(plan.images) == 1


# A layout alone: the bytes are pushed, and what can be seen without unpacking is told.
SEEN = {
    "plain layers in reverse": wrong(),
    "docker's types": wrong(docker=True),
    "too few layers": wrong(change=lambda layers: layers[:1]),
    "no layers": wrong(change=lambda _: []),
    "too many layers": wrong(compression="gzip", change=lambda layers: [*layers, *layers]),
    "gzip is stated, plain in reverse": wrong(
        change=lambda layers: [{**layer, "mediaType": f"{archives.OCI_LAYER}+gzip"} for layer in layers[::-1]]
    ),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("in_index", [False, True])
@pytest.mark.parametrize("kind", SEEN)
async def test_a_layout_alone_is_pushed_as_it_stands_with_a_notice(kind: str, in_index: bool, compression: str) -> None:
    node = oci_index([replace(SEEN[kind], platform="linux/amd64")]) if in_index else SEEN[kind]
    registry = FakeRegistry()
    run = await pushed(registry, oci_layout([entry(node, ref=NAME)]), layer_compression=compression)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("team/app", "1") == node.raw
    (note,) = [text for text in run.plan.notes if "contradicts its config" in text]
    assert note.startswith(f"{NAME}: manifest {SEEN[kind].digest} ")


def test_what_cannot_be_seen_without_unpacking_is_not_looked_for() -> None:
    assert planned(oci_layout([entry(wrong(compression="gzip"), ref=NAME)])).notes == ()
