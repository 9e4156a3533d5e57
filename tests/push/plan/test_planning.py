"""What is decided before the first byte is sent."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Compression, DockerImage, Extent
from app.errors import FormatMismatch, InvalidRequest, MissingContent, RequestError, SizeMismatch
from app.oci import Descriptor, Digest
from app.push import FORMATS, ImageState, PushOptions, execute, make_plan
from app.push.plan.image_content import image_blobs, manifest_tree
from tests.push.given import LOCAL, Memory, Run, opened, planned, pushed
from tests.support.archives import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Node,
    attestation,
    descriptor,
    docker_save,
    entry,
    image,
    oci_image,
    oci_index,
    oci_layout,
    sha256,
    tagged,
    to_json,
)
from tests.support.fake_registry import FakeRegistry

APP = image({"bin/app": b"one"}, {"etc/app": b"two"})
OTHER = image({"bin/other": b"other"})
NODE = oci_image(APP)
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def node_of(*layers: dict[str, object], blobs: dict[str, bytes]) -> Node:
    members = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, APP.config),
        "layers": list(layers),
    }
    return Node(to_json(members), OCI_MANIFEST, {APP.config_digest: APP.config, **blobs})


def test_the_asserted_format_is_held_to() -> None:
    tar = docker_save([tagged(APP, "a:1")])
    assert planned(tar, format="docker-archive").images
    with pytest.raises(FormatMismatch, match=r"the archive is a docker image archive .*pass format=docker-archive, or"):
        planned(tar, format="oci-archive")


@pytest.mark.parametrize("found", FORMATS)
def test_the_message_says_what_each_format_is_and_what_to_pass_for_it(found: str) -> None:
    archive = replace(opened(docker_save([tagged(APP, "a:1")])), format=found)
    for wanted in set(FORMATS) - {found}:
        with pytest.raises(FormatMismatch) as refused:
            make_plan([archive], PushOptions(format=wanted), LOCAL, ["x.tar"])
        words = str(refused.value)
        assert re.match(r"x\.tar is an? [^,;]*, not an? [^,;]* \(format=", words), words
        assert re.findall(r"format=([\w-]+)", words) == [wanted, found]


def test_docker_save_of_today_is_told_to_be_an_image_layout_where_a_docker_archive_is_asserted() -> None:
    tar = oci_layout([entry(NODE, name="example.com/a:1")], hybrid=[tagged(APP, "example.com/a:1")])
    with pytest.raises(FormatMismatch, match=r"docker save writes these since docker 25.*pass format=oci-archive"):
        planned(tar, format="docker-archive")


def test_archives_of_several_formats_are_told_to_leave_the_format_out() -> None:
    tars = [opened(docker_save([tagged(APP, "a:1")])), opened(oci_layout([entry(NODE, ref="a/b:1")]))]
    with pytest.raises(FormatMismatch) as refused:
        make_plan(tars, PushOptions(format="docker-archive"), LOCAL, ["a.tar", "b.tar"])
    assert str(refused.value).startswith("b.tar is an OCI image archive")
    assert str(refused.value).endswith(": docker-archive, oci-archive")
    assert "pass format=" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["image ", " in b.tar has no name"]),
        ({"images": ("z:*",)}, ["a.tar: option `images` (z:*)", "b.tar: option `images` (z:*)"]),
        (
            {"rename": ((NODE.digest, "a:1"),)},
            ["docker.io/library/a:1 (", ") in a.tar and ", " in b.tar are different"],
        ),
        ({"format": "oci-archive"}, ["a.tar is a docker image archive"]),
    ],
)
def test_what_is_wrong_with_one_of_several_archives_is_told_with_its_file(
    options: dict[str, Any], words: list[str]
) -> None:
    tars = [opened(docker_save([tagged(OTHER, "docker.io/library/a:1")])), opened(oci_layout([entry(NODE)]))]
    if "rename" in options:
        options = {"rename": (("a:1", "a:1"), *options["rename"])}
    with pytest.raises(RequestError) as refused:
        make_plan(tars, PushOptions(**options), LOCAL, ["a.tar", "b.tar"])
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_what_one_of_several_archives_lacks_or_does_not_hold_is_told_with_its_file() -> None:
    index = oci_index([NODE, oci_image(OTHER)])
    whole = opened(docker_save([]))
    sparse = opened(oci_layout([entry(index, ref="a/b:1")], without=[NODE.digest]))
    with pytest.raises(MissingContent, match=rf"^b\.tar: a/b:1: the archive lacks manifest {NODE.digest}"):
        make_plan([whole, sparse], PushOptions(), LOCAL, ["a.tar", "b.tar"])
    full = opened(oci_layout([entry(NODE, ref="a/b:1")]))
    assert "no images found in a.tar" in make_plan([whole, full], PushOptions(), LOCAL, ["a.tar", "b.tar"]).notes


def test_images_picks_over_the_whole_request() -> None:
    one, two = docker_save([tagged(APP, "a:1")]), docker_save([tagged(image({"x": b"y"}), "b:1")])
    plan = planned(one, two, images=["b:*"])
    assert [target.archive for target in plan.images] == [1]
    assert "no images found in archive 1 of 2" in plan.notes
    with pytest.raises(InvalidRequest, match=r"a:1.*b:1"):
        planned(one, two, images=["c:*"])


def test_platforms_cut_an_index() -> None:
    index = oci_index([oci_image(APP, platform="linux/amd64"), oci_image(image({"x": b"y"}), platform="linux/arm64")])
    plan = planned(oci_layout([entry(index, ref="a/b:1")]), platforms="linux/arm64")
    assert len(plan.blobs) == 2
    assert plan.notes


def test_layers_are_left_as_they_are_where_nothing_is_to_be_compressed() -> None:
    tar = oci_layout([entry(oci_image(APP, compression="none"), name="example.com/a:1")], hybrid=[tagged(APP, "a:1")])
    assert isinstance(planned(tar).images[0].entry.root, DockerImage)
    assert isinstance(planned(tar, layer_compression="none").images[0].entry.root, Descriptor)


def test_a_shared_blob_is_one_step_with_every_repository_in_order_of_need() -> None:
    tar = docker_save([tagged(image({"base": b"b"}, label=n), f"example.com/{n}:1") for n in ("b", "a")])
    plan = planned(tar)
    assert [step.repositories for step in plan.blobs if step.layer] == [("b", "a")]
    assert plan.layer_compression is Compression.GZIP
    assert next(step for step in plan.blobs if step.layer).what == "layer 1 of example.com/b:1"


def test_the_largest_blob_of_an_image_comes_first() -> None:
    plan = planned(docker_save([tagged(image({"s": b"1"}, {"l": bytes(50_000)}), "a:1")]))
    sizes = [step.extent.size for step in plan.blobs]
    assert sizes == sorted(sizes, reverse=True)


async def test_absent_foreign_layers_are_left_to_whoever_has_them() -> None:
    layer = {**descriptor(FOREIGN, b"windows"), "urls": ["https://example.com/layer"]}
    registry = FakeRegistry()
    run = await pushed(registry, oci_layout([entry(node_of(layer, blobs={}), ref="a/b:1")]))
    assert run.states == [ImageState.PUSHED]
    assert registry.count("push_blob") == 1


async def test_content_that_stands_in_its_descriptor_is_pushed() -> None:
    data = b"inline"
    layer = {**descriptor("text/plain", data), "data": "aW5saW5l"}
    archive = opened(oci_layout([entry(node_of(layer, blobs={sha256(data): data}), ref="a/b:1")]))
    blobs = {digest: extent for digest, extent in archive.blobs.items() if str(digest) != sha256(data)}
    tar = oci_layout([entry(node_of(layer, blobs={sha256(data): data}), ref="a/b:1")])
    plan = make_plan([replace(archive, blobs=blobs)], PushOptions(), LOCAL)
    registry, run = FakeRegistry(), Run(plan, sources=[Memory(tar)])
    await execute(plan, run.sources, registry, run.events.append)
    assert run.states == [ImageState.PUSHED]
    assert registry.blobs["a/b", Digest.parse(sha256(data))] == data


async def test_what_an_index_lists_that_is_no_manifest_travels_too() -> None:
    data = b"a thing"
    thing = Node(data, "application/vnd.example.thing")
    index = oci_index([NODE, attestation(NODE), thing])
    registry = FakeRegistry()
    tar = oci_layout([entry(index, ref="a/b:1")])
    run = await pushed(registry, tar)
    assert run.states == [ImageState.PUSHED]
    assert registry.blobs["a/b", Digest.parse(thing.digest)] == data


def test_a_child_that_is_not_in_the_archive_is_left_out_and_a_root_is_missed() -> None:
    archive = opened(oci_layout([entry(oci_index([NODE]), ref="a/b:1")]))
    root = archive.images[0].root
    assert isinstance(root, Descriptor)
    alone = replace(archive, manifests={root.digest: archive.manifests[root.digest]})
    assert [item.descriptor.digest for item in manifest_tree(alone, root)] == [root.digest]
    assert manifest_tree(replace(archive, manifests={}), root) == ()
    with pytest.raises(MissingContent, match=str(root.digest)):
        make_plan([replace(archive, manifests={})], PushOptions(), LOCAL)


def test_content_that_is_missing_or_of_another_size_is_told_with_its_image() -> None:
    archive = opened(oci_layout([entry(NODE, ref="a/b:1")]))
    with pytest.raises(MissingContent, match="a/b:1"):
        image_blobs(replace(archive, blobs={}), archive.images[0])
    with pytest.raises(SizeMismatch, match="a/b:1"):
        image_blobs(replace(archive, blobs=dict.fromkeys(archive.blobs, Extent(0, 1))), archive.images[0])
