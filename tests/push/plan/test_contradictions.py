"""Images whose manifests contradict their configs: what a tag has in the end can be run, or there is no tag."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from app.archive import open_archive
from app.archive.formats.layout import agreement
from app.errors import DigestMismatch
from app.push import ImageState
from app.push.report.inspection import inspect
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
from tests.support.opening import taken_in
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
    "manifest.json is as wrong, gzip": hybrid(wrong(compression="gzip"), stored(APP, "gzip")[::-1]),
    "manifest.json is as wrong, zstd": hybrid(wrong(compression="zstd"), stored(APP, "zstd")[::-1]),
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


def test_layers_are_unpacked_to_be_compared_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = hybrid(wrong(compression="gzip"), stored(APP, "gzip")[::-1])
    size = sum(len(wrap(plain, "gzip")) for plain in APP.layers)
    monkeypatch.setattr(agreement, "MAX_CHECKED_BYTES", size)
    with pytest.raises(DigestMismatch):
        planned(data)
    monkeypatch.setattr(agreement, "MAX_CHECKED_BYTES", size - 1)
    assert len(planned(data).images) == 1


def test_what_cannot_be_seen_without_unpacking_is_not_looked_for() -> None:
    assert planned(oci_layout([entry(wrong(compression="gzip"), ref=NAME)])).notes == ()


# --- docker archives alone ------------------------------------------------------------------------------------------


def reordered(style: archives.Style, order: Sequence[int], *more: Sequence[int]) -> bytes:
    """A docker archive whose manifest.json lists the layers in another order; `more`: further entries of the image."""
    members = {member.name: member for member in docker_members([APP], style=style)}
    (listed,) = json.loads(members["manifest.json"].data)
    entries = [{**listed, "Layers": [listed["Layers"][number] for number in item]} for item in (order, *more)]
    return tar({**members, "manifest.json": Member("manifest.json", to_json(entries))}.values())


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 2, 1), (1, 2, 0), (0, 0, 1)])
@pytest.mark.parametrize("style", ["podman", "docker25", "classic", "crane"])
async def test_a_docker_archive_in_wrong_order_is_never_tagged(style: archives.Style, order: Sequence[int]) -> None:
    """Also where it cannot be seen before the layers are read."""
    registry = FakeRegistry()
    data = reordered(style, order)
    run = await pushed(registry, data, keep_going="true")
    assert run.states == [ImageState.FAILED]
    assert (run.problem().code, registry.tags) == ("digest_mismatch", {})
    assert NAME in run.problem().detail
    assert "layer" in run.problem().detail
    if style in {"podman", "docker25"}:
        with pytest.raises(DigestMismatch, match="diff_id"):
            planned(data)


@pytest.mark.parametrize("style", ["podman", "docker25"])
async def test_of_several_entries_the_one_in_the_right_order_counts(style: archives.Style) -> None:
    for orders in (((2, 1, 0), (0, 1, 2)), ((0, 1, 2), (2, 1, 0))):
        registry = FakeRegistry()
        run = await pushed(registry, reordered(style, *orders))
        assert run.states == [ImageState.PUSHED]
        assert faults_of(registry, "team/app", "1") == []


async def test_layers_that_are_called_by_something_else_say_nothing() -> None:
    """A name that is no diff_id of the config is none of a layer's digest."""
    renamed = {sha256(plain)[7:]: f"{number}" * 64 for number, plain in enumerate(APP.layers)}
    members = [
        Member(f"{renamed[member.name[:64]]}.tar", member.data) if member.name[:64] in renamed else member
        for member in docker_members([APP], style="podman")
        if member.link is None
    ]
    text = next(member.data for member in members if member.name == "manifest.json").decode()
    for old, new in renamed.items():
        text = text.replace(old, new)
    members = [Member(m.name, text.encode()) if m.name == "manifest.json" else m for m in members]
    registry = FakeRegistry()
    run = await pushed(registry, tar(members))
    assert run.states == [ImageState.PUSHED]
    assert faults_of(registry, "team/app", "1") == []


@pytest.mark.parametrize("kind", BROKEN)
async def test_the_others_are_pushed_where_a_job_keeps_going(kind: str) -> None:
    registry = FakeRegistry()
    run = await pushed(registry, BROKEN[kind], keep_going="true")
    assert run.states[0] is ImageState.FAILED
    assert run.problem().code == "digest_mismatch"
    assert ("team/app", "1") not in registry.tags
    assert all(state is ImageState.PUSHED for state in run.states[1:])


def test_inspecting_tells_what_would_be_refused() -> None:
    for kind in ("manifest.json is as wrong", "a child that is not listed"):
        index, source = taken_in(BROKEN[kind])
        found = inspect(open_archive(index, source), source)
        assert [text for text in found["notices"] if text.startswith("would be refused: ") and NAME in text]
    plan = planned(BROKEN["a child that is not listed"], platforms="linux/arm64")
    _, source = taken_in(BROKEN["a child that is not listed"])
    assert not [text for text in inspect(plan.archives[0], source)["notices"] if "would be refused" in text]


@pytest.mark.parametrize("name", ["../layer.tar", "/layer.tar", "absent"])
async def test_names_in_manifest_json_that_lead_nowhere_are_no_other_order(name: str) -> None:
    listed = {"Config": blob_name(APP.config_digest), "RepoTags": [NAME], "Layers": [name] * 3}
    node = oci_image(APP, compression="gzip")
    data = tar([*oci_members([entry(node, name=NAME)]), Member("manifest.json", to_json([listed]))])
    registry = FakeRegistry()
    run = await pushed(registry, data)
    assert run.states == [ImageState.PUSHED]
    assert registry.manifest("team/app", "1") == node.raw


def test_each_layer_is_unpacked_once_however_many_orders_there_are() -> None:
    nodes = [
        with_layers(oci_image(APP, compression="gzip"), lambda layers, n=number: [layers[n % 3]] * 3)  # type: ignore[misc]
        for number in range(3)
    ]
    listed = [
        {"Config": blob_name(APP.config_digest), "RepoTags": None, "Layers": [blob_name(one) for one in order]}
        for order in permutations(stored(APP, "gzip"))
    ]
    entries = [entry(node, name=f"example.com/team/app:{number}") for number, node in enumerate(nodes)]
    index, source = taken_in(tar([*oci_members(entries), Member("manifest.json", to_json(listed))]))
    layers = {index.extent(blob_name(digest)): 0 for digest in stored(APP, "gzip")}

    class Counting:
        def read_at(self, offset: int, size: int) -> bytes:
            for extent in layers:
                layers[extent] += extent is not None and extent.offset == offset
            return source.read_at(offset, size)

    archive = open_archive(index, Counting())
    assert not archive.contradictions
    assert max(layers.values()) == 1
