"""Bundles of mindthegap: what its list says is pushed, under the names of the list, with the bytes of the tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.archive import DEFAULT_LIMITS, Archive
from app.errors import (
    ArchiveError,
    DestinationConflict,
    InvalidReference,
    LimitExceeded,
    MalformedArchive,
    MissingContent,
)
from app.push import Destination, PushOptions, make_plan
from tests.support import archives, storage_tree
from tests.support.archives import Member, Node, attestation, oci_artifact, oci_image, oci_index, tar
from tests.support.opening import opened, read
from tests.support.storage_tree import ROOT, bundle, directories, helm_chart, images_yaml, tag_place, tree

AMD = oci_image(archives.image({"app": b"amd"}), platform="linux/amd64")
ARM = oci_image(archives.image({"app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
ONE = oci_index([AMD])
MULTI = oci_index([AMD, ARM, attestation(AMD)])
DOCKER = oci_index([oci_image(archives.image({"app": b"docker"}), docker=True, platform="linux/amd64")], docker=True)
THING = oci_artifact(b"a thing")
CHART = helm_chart("podinfo", "6.0.0")
STORED = {"library/app": {"1.0": ONE, "2": MULTI}, "team/tool": {"v1": DOCKER}, "things/one": {"1": THING}}
IMAGES = {
    "docker.io": {"library/app": ["1.0", "2"]},
    "registry.example.com:5000": {"team/tool": ["v1"], "things/one": ["1"]},
}


def names(archive: Archive) -> list[tuple[str, ...]]:
    return [image.called for image in archive.images]


def roots(archive: Archive) -> list[str]:
    return [str(digest) for image in archive.images for digest in [getattr(image.root, "digest", None)]]


def places(data: bytes) -> list[str]:
    """Where everything would go, without the registry's host."""
    plan = make_plan([opened(data)], PushOptions(), Destination("default", "registry.test", "below"))
    return [f"{each.repository}:{each.tag}" for image in plan.images for each in image.destinations]


def edited(data: dict[str, bytes | None], stored: storage_tree.Stored | None = None) -> bytes:
    """The bundle of STORED where members have other bytes, or are left out."""
    members = [*tree(STORED if stored is None else stored), Member("images.yaml", images_yaml(IMAGES))]
    assert data.keys() <= {member.name for member in members}
    changed = [replace(member, data=data.get(member.name, member.data) or b"") for member in members]
    return tar(member for member in changed if data.get(member.name, b"") is not None)


def test_what_the_list_names_is_read_with_the_bytes_of_the_tree() -> None:
    archive = opened(bundle(STORED, images=IMAGES))
    assert archive.format == "mindthegap-bundle"
    assert names(archive) == [
        ("docker.io/library/app:1.0",),
        ("docker.io/library/app:2",),
        ("registry.example.com:5000/team/tool:v1",),
        ("registry.example.com:5000/things/one:1",),
    ]
    assert roots(archive) == [ONE.digest, MULTI.digest, DOCKER.digest, THING.digest]
    assert {str(digest): manifest.raw for digest, manifest in archive.manifests.items()} == {
        node.digest: node.raw for node in (ONE, MULTI, DOCKER, THING, *ONE.children, *MULTI.children, *DOCKER.children)
    }
    assert [[str(platform) for platform in image.platforms] for image in archive.images] == [
        ["linux/amd64"],
        ["linux/amd64", "linux/arm64"],
        ["linux/amd64"],
        [],
    ]
    assert archive.notes == ()


def test_an_image_goes_to_its_repository_below_the_destination() -> None:
    assert places(bundle(STORED, images=IMAGES)) == [
        "below/library/app:1.0",
        "below/library/app:2",
        "below/team/tool:v1",
        "below/things/one:1",
    ]


@pytest.mark.parametrize("outer", ["none", "gzip", "zstd", "xz", "bzip2"])
@pytest.mark.parametrize("config_first", [True, False])
def test_neither_order_nor_compression_matters(config_first: bool, outer: archives.Compress) -> None:
    archive = opened(bundle(STORED, images=IMAGES, config_first=config_first, outer=outer))
    plain = opened(bundle(STORED, images=IMAGES, config_first=config_first))
    assert archive == plain
    assert len(archive.images) == 4


def test_names_that_start_with_a_dot_are_ordinary() -> None:
    members = [*directories(tree(STORED)), Member("images.yaml", images_yaml(IMAGES))]
    archive = opened(tar(members, dotslash=True))
    assert names(archive) == names(opened(tar(members)))


PLAIN = b"""# what is in here

library/app:1.0
  docker.io/library/app:2
registry.example.com:5000/team/tool:v1
registry.example.com:5000/things/one:1
"""


def test_a_list_of_one_image_a_line_is_read_too() -> None:
    archive = opened(bundle(STORED, images=PLAIN))
    assert names(archive) == names(opened(bundle(STORED, images=IMAGES)))
    assert archive.notes == ()


def test_a_name_without_a_tag_is_the_latest_and_a_digest_is_left_out() -> None:
    stored = {"library/app": {"latest": ONE}, "team/tool": {"latest": DOCKER}}
    lines = f"app\nregistry.example.com/team/tool@{MULTI.digest}\n".encode()
    assert names(opened(bundle(stored, images=lines))) == [
        ("docker.io/library/app:latest",),
        ("registry.example.com/team/tool:latest",),
    ]


def test_charts_lose_the_prefix_that_they_have_in_the_bundle() -> None:
    newer = helm_chart("podinfo", "6.1.0+build.1")
    stored = {**STORED, "charts/podinfo": {"6.0.0": CHART, "6.1.0_build.1": newer}}
    charts = {"podinfo": {"podinfo": ["6.0.0", "6.1.0+build.1"]}}
    data = bundle(stored, images=IMAGES, charts=charts)
    archive = opened(data)
    assert names(archive)[4:] == [("podinfo:6.0.0",), ("podinfo:6.1.0_build.1",)]
    assert roots(archive)[4:] == [CHART.digest, newer.digest]
    assert places(data)[4:] == ["below/podinfo:6.0.0", "below/podinfo:6.1.0_build.1"]
    assert places(bundle(stored, charts=charts)) == ["below/podinfo:6.0.0", "below/podinfo:6.1.0_build.1"]


def test_a_chart_and_an_image_of_one_name_clash() -> None:
    stored = {"podinfo": {"6.0.0": ONE}, "charts/podinfo": {"6.0.0": CHART}}
    images = {"example.com": {"podinfo": ["6.0.0"]}}
    data = bundle(stored, images=images, charts={"a": {"podinfo": ["6.0.0"]}})
    with pytest.raises(DestinationConflict, match=r"example\.com/podinfo:6\.0\.0 .* podinfo:6\.0\.0"):
        places(data)


@pytest.mark.parametrize(
    ("registry", "repository"),
    [("docker.io", "alpine"), ("nohost", "team/alpine"), ("bad_host.example.com", "alpine")],
)
def test_what_no_full_name_leads_to_is_named_by_its_place(registry: str, repository: str) -> None:
    data = bundle({repository: {"3": ONE}}, images={registry: {repository: ["3"]}})
    assert opened(data).images[0].paths == (f"{repository}:3",)
    assert places(data) == [f"below/{repository}:3"]


def test_one_image_under_several_tags_is_one_image_with_several_names() -> None:
    stored = {"team/a": {"1": ONE, "latest": ONE}, "team/b": {"1": ONE}, "charts/c": {"1": ONE}}
    images = {"example.com": {"team/a": ["1", "latest"], "team/b": ["1"]}}
    archive = opened(bundle(stored, images=images, charts={"x": {"c": ["1"]}}))
    assert names(archive) == [("example.com/team/a:1", "example.com/team/a:latest", "example.com/team/b:1", "c:1")]


def test_one_place_for_the_images_of_two_registries_is_pushed_once_and_told() -> None:
    images = {"a.example.com": {"team/tool": ["v1"]}, "b.example.com": {"team/tool": ["v1"]}}
    data = bundle({"team/tool": {"v1": ONE}}, images=images)
    archive = opened(data)
    assert names(archive) == [("a.example.com/team/tool:v1", "b.example.com/team/tool:v1")]
    assert places(data) == ["below/team/tool:v1"]
    (note,) = archive.notes
    assert "a.example.com/team/tool:v1 and b.example.com/team/tool:v1" in note


def test_tags_that_are_not_listed_are_told_and_stay_where_they_are() -> None:
    archive = opened(bundle(STORED, images={"docker.io": {"library/app": ["2"]}}))
    assert names(archive) == [("docker.io/library/app:2",)]
    assert roots(archive) == [MULTI.digest]
    note, _ = archive.notes
    assert note.endswith("library/app:1.0, team/tool:v1, things/one:1")


@pytest.mark.parametrize(
    "images",
    [
        b"",
        b"---\n",
        b"{}\n",
        b"# nothing\n",
        b"docker.io:\n",
        b"docker.io:\n  images:\n",
        b"docker.io:\n  images: {}\n",
        b"docker.io:\n  images:\n    library/app:\n",
        b"docker.io:\n  images:\n    library/app: []\n",
        b"docker.io:\n  tlsVerify: false\n  credentials:\n    username: a\n",
    ],
)
def test_a_list_of_nothing_is_a_bundle_of_nothing(images: bytes) -> None:
    archive = opened(tar([Member(ROOT, directory=True), Member("images.yaml", images)]))
    assert (archive.format, archive.images, archive.notes) == ("mindthegap-bundle", (), ())


def test_everything_that_is_listed_and_absent_is_named() -> None:
    images = {"docker.io": {"library/app": ["1.0", "9"], "library/nope": ["1"]}}
    archive = read(bundle(STORED, images=images, charts={"x": {"gone": ["1"]}}))
    faults = {image.called[0]: image.fault for image in archive.images}
    gone = ["docker.io/library/app:9", "docker.io/library/nope:1", "gone:1"]
    assert list(faults) == ["docker.io/library/app:1.0", *gone]
    assert [fault and fault.kind for fault in faults.values()] == [None, *[MissingContent] * 3]


@pytest.mark.parametrize(
    ("charts", "count"),
    [
        (b"https://example.com/a-1.0.0.tgz\n\n# c\noci://example.com/b:1\n", 2),
        (b"chartURLs:\n  - https://example.com/a-1.0.0.tgz\n", 1),
    ],
)
def test_charts_that_are_listed_by_url_are_told(charts: bytes, count: int) -> None:
    archive = opened(tar([Member(ROOT, directory=True), Member("charts.yaml", charts)]))
    assert archive.images == ()
    assert f"{count} charts by URL" in archive.notes[0]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("images", b"a: b\n", "'a' of images.yaml"),
        ("images", b"- a: b\n", "images.yaml"),
        ("images", b"a:\n  image:\n", "keys: 'image'"),
        ("images", b"a:\n  images:\n    b: c\n", "'b' of 'a' of images.yaml"),
        ("images", b"a:\n  images:\n    b:\n      - c:\n", "'b' of 'a' of images.yaml"),
        ("images", b"a:\n  images: *x\n", "line 2 of images.yaml"),
        ("images", b"ok/a:1\nNot/A:1\n", "line 2 of images.yaml"),
        ("images", b"ok/a:1 # no comment here\n", "line 1 of images.yaml"),
        ("images", b"ok/a:1\tb\n", "line 1 of images.yaml"),
        ("charts", b"charts:\n", "keys: 'charts'"),
        ("charts", b"repositories:\n  a:\n    chart:\n", "keys: 'chart'"),
    ],
)
def test_a_list_that_is_none_is_refused_with_the_place(file: str, content: bytes, said: str) -> None:
    with pytest.raises(MalformedArchive) as refused:
        opened(tar([Member(ROOT, directory=True), Member(f"{file}.yaml", content)]))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("images", b"a:\n  images:\n    B:\n      - c\n"),
        ("images", b"a:\n  images:\n    ../b:\n      - c\n"),
        ("images", b"a:\n  images:\n    b:\n      - ../c\n"),
        ("images", b"a:\n  images:\n    b:\n      - sha256:abc\n"),
        ("charts", b"repositories:\n  a:\n    charts:\n      ../b:\n        - '1'\n"),
    ],
)
def test_a_name_that_no_registry_could_hold_is_the_fault_of_one_image(file: str, content: bytes) -> None:
    (image,) = read(tar([Member(ROOT, directory=True), Member(f"{file}.yaml", content)])).images
    assert image.fault is not None
    assert image.fault.kind is InvalidReference


def test_too_many_images_are_refused() -> None:
    limits = replace(DEFAULT_LIMITS, nodes=3)
    with pytest.raises(LimitExceeded, match=r"4 images.*3"):
        opened(bundle(STORED, images=IMAGES), limits)


TAG = tag_place("library/app", "1.0")
REVISION = storage_tree.revision_place("library/app", ONE.digest)
BLOB = storage_tree.blob_place(ONE.digest)
LAYER = storage_tree.blob_place(list(AMD.blobs)[1])


@pytest.mark.parametrize(
    "link",
    [b"", b"sha256:", ONE.digest.encode() + b"\n", ONE.digest.upper().encode(), b"../../../x", b"md5:00", b"\xff" * 71],
)
@pytest.mark.parametrize("place", [TAG, REVISION])
def test_a_link_that_is_not_exactly_a_digest_is_refused(place: str, link: bytes) -> None:
    with pytest.raises(MalformedArchive):
        opened(edited({place: link}))


def test_a_long_link_is_not_read() -> None:
    with pytest.raises(LimitExceeded):
        opened(edited({TAG: b"a" * 257}))


def test_a_revision_that_says_another_digest_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        opened(edited({REVISION: MULTI.digest.encode()}))


@pytest.mark.parametrize("place", [TAG, REVISION, BLOB])
def test_an_image_whose_tag_or_manifest_was_deleted_is_absent(place: str) -> None:
    archive = read(edited({place: None}))
    assert [image.called[0] for image in archive.images if image.fault] == ["docker.io/library/app:1.0"]


def test_a_manifest_whose_bytes_were_changed_is_refused() -> None:
    with pytest.raises(ArchiveError) as refused:
        opened(edited({BLOB: ONE.raw + b" "}))
    assert refused.value.code == "digest_mismatch"


def test_a_blob_that_is_missing_or_short_is_refused_before_anything_is_pushed() -> None:
    with pytest.raises(MissingContent):
        places(edited({LAYER: None}))
    with pytest.raises(ArchiveError) as refused:
        places(edited({LAYER: b"x"}))
    assert refused.value.code == "size_mismatch"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"schemaVersion":1,"name":"a","tag":"1","fsLayers":[],"history":[]}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.config.v1+json"}',
        b"[]",
        b'"a"',
    ],
)
def test_a_tag_that_points_to_something_else_than_a_manifest_is_refused(raw: bytes) -> None:
    node = Node(raw, "")
    with pytest.raises(MalformedArchive):
        opened(bundle({"a": {"1": node}}, images={"example.com": {"a": ["1"]}}))


def test_names_beyond_their_limit_are_refused() -> None:
    listed = [f"t{number}" for number in range(4)]
    data = bundle({"a": dict.fromkeys(listed, ONE)}, images={"example.com": {"a": listed}})
    with pytest.raises(LimitExceeded, match="3 names"):
        opened(data, replace(DEFAULT_LIMITS, tags=3))


def test_manifests_beyond_their_limit_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(LimitExceeded):
        opened(bundle(STORED, images=IMAGES), replace(DEFAULT_LIMITS, manifests_bytes=len(ONE.raw)))


def test_many_digests_that_are_links_to_one_file_are_refused_at_the_first() -> None:
    other = storage_tree.blob_place(MULTI.digest)
    members = [
        Member(member.name, hardlink=other) if member.name == BLOB else member
        for member in sorted(tree(STORED), key=lambda member: member.name == BLOB)
    ]
    with pytest.raises(ArchiveError) as refused:
        opened(tar([*members, Member("images.yaml", images_yaml(IMAGES))]))
    assert refused.value.code == "digest_mismatch"


def test_300_images_are_all_there() -> None:
    archive = opened(storage_tree.many(300))
    assert len(archive.images) == 300
    assert names(archive)[299] == ("registry.example.com/team/app299:1.0",)


def understood_or_refused(data: bytes) -> Sequence[object]:
    try:
        return opened(data).images
    except (ArchiveError, InvalidReference) as error:
        return (str(error),)


SAMPLE = bundle(STORED, images=IMAGES)
SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_bundle_with_changed_bytes_is_understood_or_refused(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(SAMPLE)
    for place, value in changes:
        changed[place % len(changed)] = value
    assert len(understood_or_refused(bytes(changed))) <= 4


LIST = images_yaml(IMAGES).decode()


@SETTINGS
@given(st.integers(0, len(LIST)), st.integers(0, 5), st.text("a:- \n\"'#/[]", max_size=5))
def test_a_bundle_with_a_changed_list_is_understood_or_refused(place: int, gone: int, text: str) -> None:
    changed = (LIST[:place] + text + LIST[place + gone :]).encode()
    assert len(understood_or_refused(bundle(STORED, images=changed))) <= 4


@SETTINGS
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_bundle_with_any_list_is_understood_or_refused(images: str, charts: str) -> None:
    assert len(understood_or_refused(bundle(STORED, images=images.encode(), charts=charts.encode()))) <= 4


def test_no_directory_in_the_tree_is_needed() -> None:
    assert ROOT not in {member.name for member in tree(STORED)}
    assert len(opened(edited({})).images) == 4
