from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Archive, Limits
from app.errors import (
    DigestMismatch,
    LimitExceeded,
    MalformedArchive,
    MissingContent,
    SizeMismatch,
)
from app.oci import Descriptor, Digest
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import Entry, Member, Node, entry, oci_image, oci_index, oci_layout, oci_members, tar
from tests.support.opening import opened, taken_in

ONE = archives.image({"bin/app": b"one"}, {"etc/app": b"two"})
ARM = archives.image({"bin/app": b"one"}, {"etc/app": b"arm"}, platform="linux/arm64/v8")
NODE = oci_image(ONE)
OTHER = oci_image(archives.image({"bin/app": b"other"}))
NAMED = entry(NODE, ref="example.com/app:1")


def multi(**more: Any) -> Node:
    return oci_index([oci_image(ONE, platform="linux/amd64"), oci_image(ARM, platform="linux/arm64/v8")], **more)


def with_index(change: Any, *entries: Entry) -> bytes:
    """A layout whose index.json was changed by `change`."""
    members = {member.name: member for member in oci_members(entries or (NAMED,))}
    changed = change(json.loads(members["index.json"].data))
    raw = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    return tar({**members, "index.json": Member("index.json", raw)}.values())


def with_descriptor(**more: object) -> bytes:
    """A layout of NODE whose descriptor in index.json has other members."""
    return with_index(lambda index: {**index, "manifests": [{**index["manifests"][0], **more}]})


def without_media_type(node: Node) -> bytes:
    return oci_layout([entry(node, ref="example.com/app:1", media_type=False)])


def roots(archive: Archive) -> list[str]:
    return [str(image.root.digest) for image in archive.images if isinstance(image.root, Descriptor)]


def content(data: bytes) -> dict[str, bytes]:
    """Every blob and manifest of an archive, by digest."""
    archive, (_, source) = opened(data), taken_in(data)
    blobs = {str(digest): source.read_at(extent.offset, extent.size) for digest, extent in archive.blobs.items()}
    return blobs | {str(digest): manifest.raw for digest, manifest in archive.manifests.items()}


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("docker", [False, True])
def test_an_image_is_read_with_its_blobs_and_its_manifest_as_it_stands(
    compression: archives.Compress, docker: bool
) -> None:
    node = oci_image(ONE, compression=compression, docker=docker)
    data = oci_layout([entry(node, ref="example.com/app:1")])
    archive = opened(data)
    (image,) = archive.images
    assert archive.format == "oci-archive"
    assert image.root == Descriptor.parse(
        {**node.descriptor, "annotations": {archives.REF_NAME: "example.com/app:1"}}, ""
    )
    assert image.original is None
    assert [str(platform) for platform in image.platforms] == ["linux/amd64"]
    assert content(data) == node.content


@pytest.mark.parametrize("docker", [False, True])
def test_an_index_is_read_with_all_of_its_children(docker: bool) -> None:
    data = oci_layout([entry(multi(docker=docker), ref="example.com/app:1")])
    (image,) = opened(data).images
    assert [str(platform) for platform in image.platforms] == ["linux/amd64", "linux/arm64/v8"]
    assert content(data) == multi(docker=docker).content


def test_indexes_nest_and_tell_the_platforms_below() -> None:
    nested = oci_index([oci_index([multi()]), oci_image(ARM)])
    data = oci_layout([entry(nested)])
    (image,) = opened(data).images
    assert [str(platform) for platform in image.platforms] == ["linux/amd64", "linux/arm64/v8"]
    assert content(data) == nested.content


def test_attestations_are_no_platform() -> None:
    app = oci_image(ONE, platform="linux/amd64")
    (image,) = opened(oci_layout([entry(oci_index([app, archives.attestation(app)]))])).images
    assert [str(platform) for platform in image.platforms] == ["linux/amd64"]


def test_platforms_are_told_up_to_a_hundred() -> None:
    children = [oci_image(archives.image(label=f"{n}"), platform=f"linux/cpu{n}") for n in range(130)]
    (image,) = opened(oci_layout([entry(oci_index(children))])).images
    assert len(image.platforms) == 100


def test_several_images_come_in_the_order_of_the_index() -> None:
    nodes = [OTHER, multi(), archives.oci_artifact(b"1")]
    assert roots(opened(oci_layout([entry(node) for node in nodes]))) == [node.digest for node in nodes]


def test_an_artifact_is_an_image_without_platforms() -> None:
    node = archives.oci_artifact(b"sbom", b"signature")
    data = oci_layout([entry(node, ref="example.com/thing:1")])
    (image,) = opened(data).images
    assert image.platforms == ()
    assert content(data) == node.content


def test_no_manifests_are_no_images() -> None:
    assert opened(oci_layout([])).images == ()
    assert opened(with_index(lambda index: {**index, "manifests": None})).images == ()


def test_sha512_is_a_digest_like_another() -> None:
    node = oci_image(ONE, algorithm="sha512")
    data = oci_layout([entry(node)])
    assert roots(opened(data)) == [node.digest]
    assert content(data) == node.content


def test_a_blob_may_be_a_link_within_the_archive() -> None:
    name = archives.blob_name(archives.sha256(ONE.config))
    members = [
        Member(name, link="../../stash/config") if member.name == name else member for member in oci_members([NAMED])
    ]
    data = tar([*members, Member("stash/config", ONE.config)])
    assert content(data) == NODE.content


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "names", "bare_tags"),
    [
        ({}, (), ()),
        ({archives.REF_NAME: ""}, (), ()),
        ({archives.REF_NAME: "1.25"}, (), ("1.25",)),
        ({archives.REF_NAME: "latest"}, (), ("latest",)),
        ({archives.REF_NAME: "nginx:1.25"}, ("nginx:1.25",), ()),
        ({archives.REF_NAME: "org/app"}, ("org/app",), ()),
        ({archives.REF_NAME: "host:5000/a/b:v1"}, ("host:5000/a/b:v1",), ()),
        ({archives.IMAGE_NAME: "docker.io/library/nginx:1.25"}, ("docker.io/library/nginx:1.25",), ()),
        ({archives.IMAGE_NAME: "a/b:1", archives.REF_NAME: "1"}, ("a/b:1",), ()),
        ({archives.IMAGE_NAME: "a/b:1", archives.REF_NAME: "c/d:2"}, ("a/b:1",), ()),
        ({archives.IMAGE_NAME: "", archives.REF_NAME: "c/d:2"}, ("c/d:2",), ()),
        (
            {archives.REF_NAME: "v1", "containerd.io/distribution.source.ghcr.io": "org/app,other/app"},
            ("ghcr.io/org/app:v1",),
            (),
        ),
        ({archives.REF_NAME: "v1", "containerd.io/distribution.source.ghcr.io": ""}, (), ("v1",)),
        ({archives.REF_NAME: "v1", "containerd.io/distribution.source.": "org/app"}, (), ("v1",)),
        ({"containerd.io/distribution.source.ghcr.io": "org/app"}, (), ()),
    ],
)
def test_a_name_is_found_where_some_tool_writes_it(
    annotations: dict[str, str], names: tuple[str, ...], bare_tags: tuple[str, ...]
) -> None:
    (image,) = opened(oci_layout([entry(NODE, annotations=annotations)])).images
    assert (image.names, image.bare_tags) == (names, bare_tags)


def test_descriptors_of_one_digest_are_one_image_with_all_names() -> None:
    entries = [entry(NODE, ref=ref) for ref in ("a/b:1", "v2", "c/d:3", "a/b:1")]
    (image,) = opened(oci_layout([entries[0], entry(multi(), ref="x:1"), *entries[1:]])).images[:1]
    assert image.names == ("a/b:1", "c/d:3")
    assert image.bare_tags == ("v2",)


def test_more_names_than_the_limit_are_refused() -> None:
    data = oci_layout([entry(NODE, ref=f"a/b:{number}") for number in range(4)])
    assert opened(data, Limits(tags=4)).images[0].names[-1] == "a/b:3"
    with pytest.raises(LimitExceeded, match="3 names"):
        opened(data, Limits(tags=3))


# --- what is listed beside ------------------------------------------------------------------------------------------


def test_untagged_children_that_are_listed_too_are_no_images_of_their_own() -> None:
    index = multi()
    archive = opened(oci_layout([*map(entry, index.children), entry(index, ref="a/b:1")]))
    assert roots(archive) == [index.digest]


def test_a_child_with_a_name_is_an_image_of_its_own_too() -> None:
    index = multi()
    archive = opened(oci_layout([entry(index, ref="a/b:1"), entry(index.children[1], ref="a/b:1-arm")]))
    assert roots(archive) == [index.digest, index.children[1].digest]


def test_untagged_images_that_nothing_leads_to_are_images() -> None:
    assert roots(opened(oci_layout([entry(OTHER), entry(multi())]))) == [OTHER.digest, multi().digest]


def test_an_untagged_referrer_belongs_to_every_image_that_holds_its_subject() -> None:
    index, other = multi(), oci_index([multi().children[0]])
    signature = archives.oci_artifact(b"signature", subject=index.children[0])
    whole = archives.oci_artifact(b"whole", subject=index)
    data = oci_layout([entry(signature), entry(index, ref="a/b:1"), entry(whole), entry(other, ref="a/b:2")])
    first, second = opened(data).images
    assert [str(referrer.digest) for referrer in first.referrers] == [signature.digest, whole.digest]
    assert [str(referrer.digest) for referrer in second.referrers] == [signature.digest]
    assert content(data) == index.content | other.content | signature.content | whole.content


def test_referrers_of_referrers_belong_to_the_image() -> None:
    sbom = archives.oci_artifact(b"sbom", subject=NODE)
    signature = archives.oci_artifact(b"signature of the sbom", subject=sbom)
    (image,) = opened(oci_layout([NAMED, entry(signature), entry(sbom)])).images
    assert {str(referrer.digest) for referrer in image.referrers} == {sbom.digest, signature.digest}


def test_a_referrer_with_a_name_is_an_image() -> None:
    signature = archives.oci_artifact(b"signature", subject=NODE)
    archive = opened(oci_layout([NAMED, entry(signature, ref="example.com/app:sig")]))
    assert roots(archive) == [NODE.digest, signature.digest]


def test_a_referrer_whose_subject_is_not_in_the_archive_is_an_image() -> None:
    signature = archives.oci_artifact(b"signature", subject=NODE)
    assert roots(opened(oci_layout([entry(signature)]))) == [signature.digest]


def test_relating_referrers_is_bounded() -> None:
    referrers = [entry(archives.oci_artifact(b"%d" % number, subject=NODE)) for number in range(40)]
    with pytest.raises(LimitExceeded, match="referrers"):
        opened(oci_layout([NAMED, *referrers]), Limits(nodes=41, depth=1))


# --- media types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", [NODE, multi(), oci_image(ONE, docker=True), multi(docker=True)])
def test_a_media_type_that_is_left_out_is_told_by_the_content(node: Node) -> None:
    (image,) = opened(without_media_type(node)).images
    assert isinstance(image.root, Descriptor)
    assert image.root.media_type == node.media_type


def test_a_media_type_that_is_left_out_everywhere_is_told_by_the_shape() -> None:
    bare = json.loads(NODE.raw)
    del bare["mediaType"]
    node = replace(NODE, raw=archives.to_json(bare))
    (image,) = opened(without_media_type(node)).images
    assert isinstance(image.root, Descriptor)
    assert image.root.media_type == archives.OCI_MANIFEST


@pytest.mark.parametrize("raw", [b"[]", b'{"mediaType":"nonsense"}', b"\x00"])
def test_content_that_tells_no_media_type_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedArchive):
        opened(without_media_type(replace(NODE, raw=raw)))


def test_content_that_would_tell_the_media_type_may_be_missing() -> None:
    with pytest.raises(MissingContent, match=NODE.digest):
        opened(tar(member for member in oci_members([entry(NODE, media_type=False)]) if "blobs" not in member.name))


def test_a_top_level_of_an_unknown_type_is_told_and_left() -> None:
    odd = Node(b"anything", "application/vnd.example.odd")
    archive = opened(oci_layout([entry(odd, ref="a/b:1"), NAMED]))
    assert roots(archive) == [NODE.digest]
    assert odd.digest in archive.notes[0]


def test_a_child_of_an_unknown_type_travels_as_a_blob() -> None:
    odd = Node(b"anything", "application/vnd.example.odd")
    index = oci_index([replace(NODE, platform="linux/amd64"), odd])
    data = oci_layout([entry(index)])
    assert content(data) == index.content


def test_a_layer_of_an_unknown_type_travels_as_a_blob() -> None:
    node = archives.oci_artifact(b"wasm", media_type="application/vnd.example.wasm+anything")
    assert content(oci_layout([entry(node)])) == node.content


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", [b"", b"[]", b"{}", b'{"imageLayoutVersion":"2.0.0"}', b'{"imageLayoutVersion":1}'])
def test_an_unreadable_oci_layout_file_is_refused(marker: bytes) -> None:
    members = [
        Member("oci-layout", marker) if member.name == "oci-layout" else member for member in oci_members([NAMED])
    ]
    with pytest.raises(MalformedArchive, match="oci-layout"):
        opened(tar(members))


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.0"])
def test_every_layout_version_1_is_read(version: str) -> None:
    marker = Member("oci-layout", archives.to_json({"imageLayoutVersion": version, "more": 1}))
    assert opened(tar([marker if member.name == "oci-layout" else member for member in oci_members([NAMED])])).images


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"manifests":{"a":1}}',
        b'{"manifests":[],"layers":[]}',
        b'{"manifests":[],"config":{}}',
        b'{"manifests":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}',
        b'{"manifests":[],"mediaType":["x"]}',
        b'{"manifests":[1]}',
        b'{"manifests":[{}]}',
        b'{"manifests":[{"mediaType":1}]}',
    ],
)
def test_an_index_json_of_another_shape_is_refused(index: bytes) -> None:
    with pytest.raises(MalformedArchive):
        opened(with_index(lambda _: index))


def test_more_entries_than_the_limit_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="3 manifests"):
        opened(oci_layout([NAMED, NAMED, NAMED]), Limits(nodes=2))


@pytest.mark.parametrize("member", ["manifest", "config", "layer"])
def test_what_is_missing_is_named(member: str) -> None:
    digest = {"manifest": NODE.digest, "config": ONE.config_digest, "layer": list(NODE.blobs)[1]}[member]
    with pytest.raises(MissingContent, match=digest):
        opened(oci_layout([NAMED], without=[digest]))


@pytest.mark.parametrize("what", ["manifest", "layer"])
def test_what_an_index_leads_to_may_be_missing_so_that_it_can_be_cut_away(what: str) -> None:
    index = multi()
    arm = index.children[1]
    without = arm.digest if what == "manifest" else list(arm.blobs)[1]
    (image,) = opened(oci_layout([entry(index), entry(arm)], without=[without])).images
    assert isinstance(image.root, Descriptor)
    assert str(image.root.digest) == index.digest


def test_a_missing_manifest_that_has_a_name_is_refused() -> None:
    index = multi()
    arm = index.children[1]
    for listed in (entry(arm, ref="a/b:arm"), entry(arm, ref="arm")):
        with pytest.raises(MissingContent, match=f"arm.*{arm.digest}"):
            opened(oci_layout([entry(index), listed], without=[arm.digest]))


def test_a_layer_that_may_be_absent_is_noted() -> None:
    manifest = json.loads(NODE.raw)
    first, second = manifest["layers"]
    first["urls"] = ["https://example.com/layer"]
    second["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    node = replace(NODE, raw=archives.to_json(manifest))
    archive = opened(oci_layout([entry(node)], without=[first["digest"], second["digest"]]))
    assert set(map(str, archive.blobs)) == {ONE.config_digest}
    assert first["digest"] in archive.notes[0]
    assert second["digest"] in archive.notes[0]
    assert content(oci_layout([entry(node)])) == node.content


def test_a_blob_may_stand_in_its_descriptor() -> None:
    manifest = json.loads(NODE.raw)
    manifest["layers"] = [{**archives.descriptor("text/plain", b"hello"), "data": "aGVsbG8="}]
    node = replace(NODE, raw=archives.to_json(manifest))
    archive = opened(oci_layout([entry(node)]))
    assert archive.manifests[Digest.parse(node.digest)].layers[0].data == b"hello"


@pytest.mark.parametrize("size", [0, len(ONE.config) + 1])
def test_a_blob_of_another_size_than_its_descriptor_says_is_refused(size: int) -> None:
    manifest = json.loads(NODE.raw)
    manifest["config"]["size"] = size
    with pytest.raises(SizeMismatch, match=ONE.config_digest):
        opened(oci_layout([entry(replace(NODE, raw=archives.to_json(manifest)))]))


def test_a_manifest_of_another_size_than_its_descriptor_says_is_refused() -> None:
    with pytest.raises(SizeMismatch, match=NODE.digest):
        opened(with_descriptor(size=len(NODE.raw) + 1))


def test_a_manifest_that_was_changed_is_refused() -> None:
    name = archives.blob_name(NODE.digest)
    changed = NODE.raw.replace(b'"schemaVersion":2', b'"schemaVersion":3')
    members = [Member(name, changed) if member.name == name else member for member in oci_members([NAMED])]
    with pytest.raises(DigestMismatch, match=NODE.digest):
        opened(tar(members))


@pytest.mark.parametrize("again", [{"size": 1}, {"mediaType": archives.DOCKER_MANIFEST}])
@pytest.mark.parametrize("deeper", [False, True])
def test_one_digest_described_in_two_ways_is_refused(again: dict[str, object], deeper: bool) -> None:
    listed = {**NODE.descriptor, **again}
    raw = archives.to_json({"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [listed]})
    liar = Node(raw, archives.OCI_INDEX, children=(NODE,))
    entries = [NAMED, entry(liar)] if deeper else [entry(liar), entry(oci_index([NODE]))]
    with pytest.raises((SizeMismatch, MalformedArchive)):
        planned(oci_layout(entries), rename=[f"{NODE.digest}=a/b:1"])


def nested(depth: int) -> Node:
    node = NODE
    for _ in range(depth):
        node = oci_index([node])
    return node


def test_indexes_nest_as_deep_as_the_limit_says() -> None:
    assert opened(oci_layout([entry(nested(15))])).images
    with pytest.raises(LimitExceeded, match="16 indexes"):
        opened(oci_layout([entry(nested(16))]))


def test_a_short_cut_does_not_hide_the_depth() -> None:
    chain = nested(16)
    short_cuts = []
    node = chain
    while node.children:
        short_cuts.append(entry(node))
        (node,) = node.children
    with pytest.raises(LimitExceeded):
        opened(oci_layout([*reversed(short_cuts), NAMED]))


def test_an_index_of_many_diamonds_is_read_in_no_time() -> None:
    node = NODE
    for _ in range(30):  # two ways down at each level: 2**30 ways in all
        sides = [oci_index([node], annotations={"side": side}) for side in "ab"]
        node = Node(oci_index(sides).raw, archives.OCI_INDEX, {item.digest: item.raw for item in sides}, (node,))
    assert opened(oci_layout([entry(node)]), Limits(depth=100)).images
    with pytest.raises(LimitExceeded):
        opened(oci_layout([entry(node)]))


def test_an_index_that_lists_itself_is_refused() -> None:
    name = archives.blob_name(NODE.digest)
    raw = archives.to_json({"schemaVersion": 2, "mediaType": archives.OCI_MANIFEST, "manifests": [NODE.descriptor]})
    members = [Member(name, raw) if member.name == name else member for member in oci_members([NAMED])]
    with pytest.raises((DigestMismatch, SizeMismatch)):
        opened(tar(members))


def test_more_manifests_or_bytes_of_them_than_the_limit_are_refused() -> None:
    data = oci_layout([entry(multi())])
    size = sum(len(node.raw) for node in (multi(), *multi().children))
    assert opened(data, Limits(nodes=3, manifests_bytes=size)).images
    with pytest.raises(LimitExceeded, match="2 manifests"):
        opened(data, Limits(nodes=2))
    with pytest.raises(LimitExceeded, match=f"{size - 1} bytes"):
        opened(data, Limits(manifests_bytes=size - 1))


@pytest.mark.parametrize("config", [b"no json", b"[]", b"{}", b'{"os":"linux","architecture":"amd64"}' + b" " * 100])
def test_a_config_that_tells_no_platform_travels_as_it_is(config: bytes) -> None:
    node = oci_image(replace(ONE, config=config))
    archive = opened(oci_layout([entry(node)]), Limits(config_bytes=100))
    assert archive.images[0].platforms == ()
    assert Digest.parse(archives.sha256(config)) in archive.blobs


def test_a_config_is_read_once_for_all_of_its_images() -> None:
    other = replace(NODE, raw=NODE.raw + b"\n")
    archive = opened(oci_layout([entry(NODE), entry(other)]))
    assert [len(image.platforms) for image in archive.images] == [1, 1]


def test_a_missing_config_is_missing_only_once() -> None:
    with pytest.raises(MissingContent) as refused:
        opened(oci_layout([NAMED], without=[ONE.config_digest]))
    assert str(refused.value).count(ONE.config_digest) == 1


def test_a_platform_of_absurd_length_is_not_told() -> None:
    index = oci_index([replace(NODE, platform="linux/" + "a" * 1000), oci_image(ARM)])
    (image,) = opened(oci_layout([entry(index)])).images
    assert [str(platform) for platform in image.platforms] == ["linux/arm64/v8"]


def test_a_message_does_not_grow_with_a_name() -> None:
    listed = [{"Config": archives.blob_name(ONE.config_digest), "RepoTags": ["x" * 100_000], "Layers": []}]
    members = [*oci_members([NAMED]), Member("manifest.json", archives.to_json(listed))]
    (note,) = opened(tar(members)).notes
    assert len(note) < 1000
