"""What the tool that this service follows is tested for, and what it is not, as far as reading archives goes.

The numbers are those of its given/when/then cases; the letters are cases that it gets wrong or leaves open."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Archive, Compression, DockerImage, pick_images
from app.errors import (
    ArchiveError,
    DigestMismatch,
    LimitExceeded,
    MalformedArchive,
    MissingContent,
    TruncatedArchive,
    UnknownFormat,
)
from app.oci import Descriptor, Digest
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import Member, docker_save, entry, files, oci_image, oci_index, oci_layout, tagged, tar
from tests.support.opening import opened, taken_in

FOO = tagged(archives.image({"foo": b"1"}), "example.com/foo:v1")
BAR = tagged(archives.image({"bar": b"1"}), "example.com/bar:v2")
AMD = oci_image(FOO, platform="linux/amd64")
ARM = oci_image(archives.image({"foo": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
BUNDLE = {"images.yaml": b"", "docker/registry/v2/repositories/a/_manifests/x": b""}


def names(data: bytes) -> list[tuple[str, ...]]:
    return [image.names for image in opened(data).images]


def is_index(archive: Archive) -> list[bool]:
    """Of each image, whether it is an index."""
    return [
        isinstance(image.root, Descriptor) and archive.manifests[image.root.digest].is_index for image in archive.images
    ]


def changed(members: list[Member], name: str, data: bytes) -> bytes:
    """A tar of `members` where one has other bytes."""
    assert any(member.name == name for member in members)
    return tar(Member(name, data) if member.name == name else member for member in members)


# --- cases 1-14 ------------------------------------------------------------------------------------------------------


def test_case_01_a_tar_with_oci_layout_and_index_json_is_an_image_layout() -> None:
    assert opened(oci_layout([entry(AMD)])).format == "oci-archive"


def test_case_02_a_tar_with_an_empty_manifest_json_is_a_docker_archive() -> None:
    assert opened(tar(files({"manifest.json": b"[]"}))).format == "docker-archive"


def test_case_03_a_bundle_is_no_image_archive() -> None:
    assert opened(tar(files(BUNDLE))).format == "mindthegap-bundle"


def test_case_04_a_tar_of_one_random_file_is_of_unknown_format() -> None:
    with pytest.raises(UnknownFormat, match=r"random\.txt"):
        opened(tar(files({"random.txt": b"hello"})))


def test_case_05_a_tar_without_members_is_of_unknown_format() -> None:
    with pytest.raises(UnknownFormat):
        opened(tar([]))


def test_case_06_an_image_layout_of_nothing_is_opened_as_an_image_layout() -> None:
    assert opened(oci_layout([])).format == "oci-archive"


def test_case_07_a_docker_archive_of_nothing_is_opened_as_a_docker_archive() -> None:
    assert opened(docker_save([])).format == "docker-archive"


def test_case_08_an_unknown_tar_is_an_error_that_says_what_is_supported() -> None:
    with pytest.raises(UnknownFormat, match="docker-archive"):
        opened(tar(files({"a": b""})))


def test_case_09_two_images_in_a_docker_archive_are_two_entries() -> None:
    archive = opened(docker_save([FOO, BAR]))
    assert [image.names for image in archive.images] == [("example.com/foo:v1",), ("example.com/bar:v2",)]
    assert is_index(archive) == [False, False]


def test_case_10_a_docker_archive_of_nothing_has_no_entries() -> None:
    assert opened(docker_save([])).images == ()


def test_case_11_a_layout_of_one_image_with_a_name_is_one_entry_of_that_name() -> None:
    archive = opened(oci_layout([entry(AMD, ref="example.com/foo:v1")]))
    assert [image.names for image in archive.images] == [("example.com/foo:v1",)]
    assert is_index(archive) == [False]


def test_case_12_a_layout_of_one_image_without_a_name_is_one_entry_without_a_name() -> None:
    assert names(oci_layout([entry(AMD)])) == [()]


def test_case_13_an_index_is_one_entry_with_its_children() -> None:
    archive = opened(oci_layout([entry(oci_index([AMD, ARM]), ref="example.com/foo:v1")]))
    (image,) = archive.images
    assert isinstance(image.root, Descriptor)
    assert is_index(archive) == [True]
    assert len(archive.manifests[image.root.digest].manifests) == 2


def test_case_14_an_image_layout_of_nothing_has_no_entries() -> None:
    assert opened(oci_layout([])).images == ()


@pytest.mark.parametrize(
    ("case", "members"),
    [
        (29, {**BUNDLE, "oci-layout": b"{}"}),
        (30, {"docker/registry/v2/a": b"", "charts.yaml": b"", "manifest.json": b"[]"}),
        (31, {**BUNDLE, "charts.yaml": b"", "oci-layout": b"{}", "manifest.json": b"[]"}),
    ],
)
def test_cases_29_to_31_a_storage_tree_with_a_configuration_is_a_bundle(case: int, members: dict[str, bytes]) -> None:
    assert opened(tar(files(members))).format == "mindthegap-bundle"


LAYOUT = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"manifests":[]}'}


@pytest.mark.parametrize(
    ("case", "members", "expected"),
    [
        (32, {**LAYOUT, "images.yaml": b""}, "oci-archive"),
        (33, {**LAYOUT, "docker/registry/v2/a": b""}, "oci-archive"),
        (34, {"manifest.json": b"[]", "charts.yaml": b""}, "docker-archive"),
    ],
)
def test_cases_32_to_34_without_a_tree_or_a_configuration_it_is_no_bundle(
    case: int, members: dict[str, bytes], expected: str
) -> None:
    assert opened(tar(files(members))).format == expected


# --- gaps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["alpine:latest", "library/alpine", "docker.io/alpine:3.19", "example.com/z:v1"])
def test_gap_a_short_repo_tags_are_names(tag: str) -> None:
    assert names(docker_save([tagged(FOO, tag)])) == [(tag,)]


def test_gap_b_a_ref_name_that_is_only_a_tag_is_kept_as_a_tag() -> None:
    (image,) = opened(oci_layout([entry(AMD, ref="v1")])).images
    assert (image.names, image.bare_tags) == ((), ("v1",))


def test_gap_c_the_name_that_containerd_gives_is_the_name() -> None:
    assert names(oci_layout([entry(AMD, ref="v1", name="docker.io/library/foo:v1")])) == [("docker.io/library/foo:v1",)]


@pytest.mark.parametrize("index_last", [False, True])
def test_gap_d_with_both_markers_the_layout_counts_in_either_order(index_last: bool) -> None:
    whole = oci_index([AMD, ARM])
    archive = opened(oci_layout([entry(whole, name="a/b:1")], hybrid=[FOO], index_last=index_last))
    assert is_index(archive) == [True]


@pytest.mark.parametrize("build", [docker_save, oci_layout])
def test_gap_e_names_of_members_may_begin_with_dot_slash(build: Any) -> None:
    given = [FOO] if build is docker_save else [entry(AMD)]
    assert len(opened(build(given, dotslash=True)).images) == 1


@pytest.mark.parametrize("outer", ["gzip", "zstd", "xz", "bzip2"])
@pytest.mark.parametrize("build", [docker_save, oci_layout])
def test_gaps_f_and_g_any_outer_compression_is_told_by_content(build: Any, outer: str) -> None:
    given = [FOO] if build is docker_save else [entry(AMD)]
    assert opened(build(given, outer=outer)) == opened(build(given))


def test_gap_h_tagged_and_untagged_images_come_in_one_archive() -> None:
    assert names(docker_save([FOO, replace(BAR, tags=None)])) == [("example.com/foo:v1",), ()]
    assert names(oci_layout([entry(AMD, ref="a/b:1"), entry(ARM)])) == [("a/b:1",), ()]


def test_gap_i_one_image_with_two_names_is_one_image() -> None:
    assert names(docker_save([tagged(FOO, "a:1", "a:2")])) == [("a:1", "a:2")]
    assert names(oci_layout([entry(AMD, ref="a:1"), entry(AMD, ref="a:2")])) == [("a:1", "a:2")]


@pytest.mark.parametrize("what", ["manifest", "index"])
def test_gap_j_a_tampered_manifest_or_index_is_refused(what: str) -> None:
    whole = oci_index([AMD, ARM])
    node = {"manifest": AMD, "index": whole}[what]
    tampered = node.raw.replace(b'"schemaVersion":2', b'"schemaVersion":1')
    with pytest.raises(DigestMismatch):
        planned(changed(archives.oci_members([entry(whole)]), archives.blob_name(node.digest), tampered), tag="a:1")


def test_gap_j_a_tampered_config_of_a_docker_archive_is_refused() -> None:
    name = FOO.config_digest.removeprefix("sha256:") + ".json"
    with pytest.raises(DigestMismatch):
        opened(changed(archives.docker_members([FOO]), name, FOO.config.replace(b"amd64", b"arm64")))


def test_gap_l_an_index_that_seems_to_contain_itself_ends_in_an_error() -> None:
    fake = {**AMD.descriptor, "mediaType": archives.OCI_INDEX}
    raw = archives.to_json({"schemaVersion": 2, "mediaType": archives.OCI_INDEX, "manifests": [fake]})
    listed = archives.to_json({"schemaVersion": 2, "manifests": [{**fake, "size": len(raw)}]})
    with pytest.raises(ArchiveError):
        opened(tar(files({**LAYOUT, "index.json": listed, archives.blob_name(AMD.digest): raw})))


def test_gap_n_a_child_of_an_unknown_media_type_travels() -> None:
    odd = archives.Node(b"odd", "application/vnd.example.odd")
    assert Digest.parse(odd.digest) in opened(oci_layout([entry(oci_index([AMD, odd]))])).blobs


@pytest.mark.parametrize("node", [AMD, oci_index([AMD, ARM])])
def test_gap_o_a_missing_media_type_is_told_by_the_content(node: archives.Node) -> None:
    (image,) = opened(oci_layout([entry(node, media_type=False)])).images
    assert isinstance(image.root, Descriptor)
    assert image.root.media_type == node.media_type


def test_gap_p_sha512_is_read() -> None:
    node = oci_image(FOO, algorithm="sha512")
    (image,) = opened(oci_layout([entry(node)])).images
    assert isinstance(image.root, Descriptor)
    assert image.root.digest.algorithm == "sha512"


def test_gap_q_zstd_layers_of_a_docker_archive_are_known_as_zstd() -> None:
    (image,) = opened(docker_save([FOO], compress="zstd")).images
    assert isinstance(image.root, DockerImage)
    assert [layer.compression for layer in image.root.layers] == [Compression.ZSTD]


@pytest.mark.parametrize("links", ["symlink", "hardlink"])
def test_gap_r_links_to_layers_are_followed_in_docker_archives(links: Any) -> None:
    twice = archives.image({"a": b"1"}, {"a": b"1"})
    (image,) = opened(docker_save([twice], links=links)).images
    assert isinstance(image.root, DockerImage)
    assert image.root.layers[0].extent == image.root.layers[1].extent


def test_gap_r_links_to_blobs_are_followed_in_image_layouts() -> None:
    name = archives.blob_name(FOO.config_digest)
    members = [
        Member(name, hardlink="config") if member.name == name else member
        for member in archives.oci_members([entry(AMD)])
    ]
    archive = opened(tar([Member("config", FOO.config), *members]))
    assert archive.blobs[Digest.parse(FOO.config_digest)].size == len(FOO.config)


def test_gap_s_a_member_twice_with_the_same_content_is_fine_with_another_it_is_not() -> None:
    members = archives.docker_members([FOO])
    assert len(opened(tar([*members, members[-1]])).images) == 1
    with pytest.raises(MalformedArchive):
        opened(tar([*members, Member("manifest.json", b"[]")]))


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd", "xz", "bzip2"])
@pytest.mark.parametrize("part", [3, 50, 80])
def test_gap_t_an_archive_that_was_cut_off_is_refused(outer: archives.Compress, part: int) -> None:
    data = archives.wrap(tar(archives.docker_members([FOO, BAR]))[: -10240 + 1024], outer)
    with pytest.raises((TruncatedArchive, UnknownFormat, MissingContent)):
        opened(data[: len(data) * part // 100])


def test_gap_u_a_huge_manifest_or_config_is_refused_unread() -> None:
    large = replace(FOO, config=FOO.config + b" " * (8 << 20))
    with pytest.raises(LimitExceeded):
        opened(docker_save([large]))
    node = replace(AMD, raw=AMD.raw + b" " * (4 << 20))
    with pytest.raises(LimitExceeded):
        opened(oci_layout([entry(node)]))


@pytest.mark.parametrize("tag", ["", ":v1"])
def test_gap_w_a_name_with_a_digest_is_kept_whole(tag: str) -> None:
    name = f"example.com/foo{tag}@{AMD.digest}"
    assert names(oci_layout([entry(AMD, ref=name)])) == [(name,)]


def test_gap_x_a_name_that_is_not_valid_does_not_stop_the_reading() -> None:
    assert names(docker_save([tagged(FOO, "UPPER/Case:1", "a" * 400 + ":1")])) == [("UPPER/Case:1", "a" * 400 + ":1")]
    assert pick_images(opened(docker_save([tagged(FOO, "UPPER/Case:1")])), ["UPPER/*"]).images


def test_a_document_after_the_first_one_in_manifest_json_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        opened(tar(files({"manifest.json": b"[]garbage"})))


def test_bytes_that_are_no_tar_are_of_unknown_format() -> None:
    with pytest.raises(UnknownFormat):
        taken_in(json.dumps({"no": "tar"}).encode() * 100)
