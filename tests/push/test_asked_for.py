"""What users of other tools asked for, or complained of, as far as it is about archives and names: a test for each.

The letters and numbers are those of a list of such requests: B of formats and names, K of what hangs on an image."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from app.archive import Compression, DockerImage
from app.errors import InvalidRequest, MissingContent, MissingTag, UnknownFormat
from app.oci import Descriptor
from app.push import ImageState
from app.push.report.inspection import NEW_DIGESTS, inspect
from tests.push.given import LOCAL, planned, pushed
from tests.support import archives
from tests.support.archives import (
    Entry,
    Member,
    docker_members,
    docker_save,
    entry,
    oci_artifact,
    oci_image,
    oci_index,
    oci_layout,
    tagged,
    tar,
    to_json,
)
from tests.support.fake_registry import FakeRegistry
from tests.support.opening import Memory, opened

TESTS = Path(__file__).parents[1]
CORPUS = TESTS / "data" / "corpus"
APP = archives.image({"bin/app": b"one"}, {"etc/app": b"two"})
OTHER = archives.image({"bin/app": b"other"})
AMD = oci_image(APP, platform="linux/amd64")
ARM = oci_image(archives.image({"a": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
BOTH = docker_save([tagged(APP, "a/b:1"), tagged(OTHER, "c/d:1")])


def landed(*tars: bytes, **options: str | list[str]) -> list[list[str]]:
    images = planned(*tars, destination=LOCAL, **options).images
    return [
        [str(destination).removeprefix("registry.local:5000/") for destination in image.destinations]
        for image in images
    ]


async def arrives(data: bytes, **options: str | list[str]) -> FakeRegistry:
    registry = FakeRegistry()
    run = await pushed(registry, data, destination=LOCAL, **options)
    assert set(run.states) == {ImageState.PUSHED}
    return registry


async def test_b08_an_image_layout_in_a_tar_is_pushed_as_it_is() -> None:
    registry = await arrives(oci_layout([entry(AMD, ref="a/b:1")]))
    assert registry.manifest("a/b", "1") == AMD.raw


def test_b09_what_is_in_a_layout_is_known_by_its_place_without_unpacking() -> None:
    data = oci_layout([entry(AMD, ref="a/b:1")])
    archive = opened(data)
    for digest, extent in archive.blobs.items():
        assert archives.sha256(data[extent.offset : extent.offset + extent.size]) == str(digest)


def test_b10_of_several_images_all_are_pushed_or_those_that_a_glob_or_a_digest_picks() -> None:
    assert landed(BOTH) == [["a/b:1"], ["c/d:1"]]
    assert landed(BOTH, images=["c/*"]) == [["c/d:1"]]
    nameless = oci_layout([entry(AMD), entry(oci_image(OTHER))])
    assert landed(nameless, images=[AMD.digest], tag="x:1") == [["x:1"]]


@pytest.mark.parametrize("outer", ["none", "gzip", "bzip2", "xz", "zstd"])
def test_b11_the_tag_of_manifest_json_counts_in_every_wrapping(outer: archives.Compress) -> None:
    data = docker_save([tagged(APP, "a/b:1")], outer=outer)
    assert [image.names for image in opened(data).images] == [("a/b:1",)]


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"junk" * 200, "unknown data"), (b"\x04\x22\x4d\x18" + bytes(600), "lz4"), (b"PK\x03\x04" + bytes(600), "zip")],
)
def test_b12_what_no_tar_is_in_is_named_with_what_is_expected(data: bytes, told: str) -> None:
    for outer in ("none", "gzip", "zstd", "xz", "bzip2"):
        with pytest.raises(UnknownFormat, match=rf"(?i){told}.*gzip, zstd, xz or bzip2"):
            opened(archives.wrap(data, outer))


def test_b14_each_layer_is_looked_at_for_itself() -> None:
    members = docker_members([tagged(APP, "a/b:1")])
    first = next(number for number, member in enumerate(members) if member.name.endswith("/layer.tar"))
    members[first] = replace(members[first], data=archives.wrap(members[first].data, "gzip"))
    (image,) = opened(tar(members)).images
    assert isinstance(image.root, DockerImage)
    assert [layer.compression for layer in image.root.layers] == [Compression.GZIP, Compression.NONE]


def test_b15_layer_sources_of_docker_25_make_no_layer_foreign() -> None:
    members = docker_members([tagged(APP, "a/b:1")])
    listed = {diff_id: {"mediaType": archives.OCI_LAYER, "size": 1, "digest": diff_id} for diff_id in APP.diff_ids}
    names = [member.name for member in members if member.name.endswith("/layer.tar")]
    config = next(member.name for member in members if member.name.endswith(".json") and member.data == APP.config)
    image = {"Config": config, "RepoTags": ["a/b:1"], "Layers": names, "LayerSources": listed}
    archive = opened(tar([*members[:-1], Member("manifest.json", to_json([image]))]))
    assert archive.notes == ()
    assert landed(tar([*members[:-1], Member("manifest.json", to_json([image]))])) == [["a/b:1"]]


async def test_b16_two_images_are_both_pushed_unasked() -> None:
    registry = await arrives(BOTH)
    assert registry.manifest("a/b", "1") != registry.manifest("c/d", "1")


def test_b17_the_name_in_the_archive_is_where_it_goes() -> None:
    assert landed(docker_save([tagged(APP, "quay.io/team/app:1.2")])) == [["team/app:1.2"]]


@pytest.mark.parametrize("tags", [None, ()])
def test_b18_an_untagged_image_asks_for_a_name_and_takes_it_by_tag_or_by_digest(tags: tuple[str, ...] | None) -> None:
    data = docker_save([replace(APP, tags=tags)])
    with pytest.raises(MissingTag, match=APP.config_digest):
        planned(data)
    assert landed(data, tag="x:1") == landed(data, rename=[f"{APP.config_digest}=x:1"]) == [["x:1"]]


def test_b19_an_untagged_image_among_others_is_never_left_out_in_silence() -> None:
    with pytest.raises(MissingTag, match=OTHER.config_digest):
        planned(docker_save([tagged(APP, "a/b:1"), replace(OTHER, tags=())]))


def test_b20_without_a_ref_name_an_image_is_picked_by_its_digest() -> None:
    one, two = oci_image(APP), oci_image(OTHER)
    data = oci_layout([entry(one), entry(two)])
    assert landed(data, images=[two.digest], tag="x:1") == [["x:1"]]
    assert landed(data, rename=[f"{one.digest}=x:1", f"{two.digest}=x:2"]) == [["x:1"], ["x:2"]]


async def test_b21_an_index_json_of_platforms_without_names_is_itself_the_image() -> None:
    registry = await arrives(oci_layout([entry(AMD), entry(ARM)]), tag="x:1")
    assert registry.manifest("x", AMD.digest) == AMD.raw
    assert registry.manifest("x", ARM.digest) == ARM.raw


async def test_b22_manifests_of_docker_in_a_layout_keep_their_bytes() -> None:
    node = oci_image(APP, docker=True)
    registry = await arrives(oci_layout([entry(node, ref="a/b:1")]))
    assert registry.manifest("a/b", "1") == node.raw


async def test_b23_a_plain_layer_called_gzip_is_compressed_and_called_what_it_is() -> None:
    registry = await arrives(docker_save([tagged(APP, "a/b:1")]))
    raw = registry.manifest("a/b", "1")
    assert raw is not None
    assert raw.count(b"diff.tar.gzip") == len(APP.layers)


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        (entry(AMD, ref="v1", name="docker.io/library/app:v2"), "library/app:v2"),
        (entry(AMD, ref="quay.io/a/b:1"), "a/b:1"),
        (entry(AMD, ref="v1", annotations={"containerd.io/distribution.source.ghcr.io": "a/b"}), "a/b:v1"),
    ],
)
def test_b24_the_full_name_goes_before_ref_name_and_a_repository_beside_a_tag_completes_it(
    listed: Entry, wanted: str
) -> None:
    assert landed(oci_layout([listed])) == [[wanted]]


async def test_b25_two_names_of_one_digest_are_one_image_of_two_tags_and_its_blobs_go_once() -> None:
    registry = await arrives(oci_layout([entry(AMD, ref="a/b:1"), entry(AMD, ref="a/b:2")]))
    assert registry.manifest("a/b", "1") == registry.manifest("a/b", "2") == AMD.raw
    assert registry.count("push_blob") == len(AMD.blobs)


def test_b26_before_anything_is_pushed_the_plan_maps_each_name_to_where_it_goes() -> None:
    images = planned(BOTH, rename=["a/b:1=x/y:2"], prefix="air").images
    told = {image.entry.names: [str(destination) for destination in image.destinations] for image in images}
    assert told == {("a/b:1",): ["registry.local:5000/air/x/y:2"], ("c/d:1",): ["registry.local:5000/air/c/d:1"]}


def test_b27_descriptors_that_repeat_are_grouped_by_their_digest() -> None:
    assert landed(oci_layout([entry(AMD, ref="a/b:1"), entry(ARM, ref="c/d:1"), entry(AMD, ref="e/f:1")])) == [
        ["a/b:1", "e/f:1"],
        ["c/d:1"],
    ]


@pytest.mark.parametrize(("ref", "options"), [("ghcr.io/a/b:1", {}), ("1", {"rename": ["1=a/b:1"]})])
def test_b28_ref_name_may_be_a_full_name_or_a_tag(ref: str, options: dict[str, list[str]]) -> None:
    assert landed(oci_layout([entry(AMD, ref=ref)]), **options) == [["a/b:1"]]


def test_b29_an_image_without_a_name_is_addressed_by_its_digest() -> None:
    data = oci_layout([entry(AMD), entry(oci_image(OTHER), ref="a/b:1")])
    assert landed(data, images=[AMD.digest], rename=[f"{AMD.digest}=x:1"]) == [["x:1"]]
    with pytest.raises(InvalidRequest, match=AMD.digest):
        planned(data, images=["sha256:0000*"])


def test_b30_every_image_of_a_docker_tar_is_read() -> None:
    many = [tagged(archives.image({"a": b"%d" % number}), f"a/b:{number}") for number in range(5)]
    assert landed(docker_save(many)) == [[f"a/b:{number}"] for number in range(5)]


@pytest.mark.parametrize("links", ["none", "symlink", "hardlink"])
def test_b31_repeated_layers_may_be_copies_or_links(links: str) -> None:
    twice = tagged(archives.image({"a": b"1"}, {"b": b"2"}, {"a": b"1"}), "a/b:1")
    plan = planned(tar(docker_members([twice], links=links)))
    assert len([step for step in plan.blobs if step.layer]) == 2


def test_b32_missing_platforms_are_listed_first_and_those_that_are_there_can_be_pushed() -> None:
    data = oci_layout([entry(oci_index([AMD, ARM]), ref="a/b:1")], without=[ARM.digest])
    with pytest.raises(MissingContent, match=rf"manifest {ARM.digest} \(linux/arm64\); it has linux/amd64;"):
        planned(data)
    assert landed(data, platforms="linux/amd64") == landed(data, allow_missing="true") == [["a/b:1"]]


@pytest.mark.parametrize("file", ["d29c-save-one.tar", "outer-d29c-save-one.tar.xz", "outer-d20-save-one.tar.gz"])
def test_b33_tars_of_docker_of_today_and_compressed_ones_are_read(file: str) -> None:
    archive = opened((CORPUS / file).read_bytes())
    assert [image.names for image in archive.images] == [("bench.local/tiny/app:1.0",)]


def test_b34_one_service_reads_imgpkgs_tars_and_layouts() -> None:
    assert opened((CORPUS / "imgpkg-image.tar").read_bytes()).format == "imgpkg"
    assert opened((CORPUS / "crane-oci.tar").read_bytes()).format == "oci-archive"


def test_a06_charts_and_artifacts_are_taken() -> None:
    assert opened((CORPUS / "other-helm-chart.tgz").read_bytes()).format == "helm-chart"
    assert landed(oci_layout([entry(oci_artifact(b"chart"), ref="charts/a:1")])) == [["charts/a:1"]]


def test_k95_cosigns_tags_travel_with_their_image() -> None:
    signature = oci_artifact(b"signature")
    tag = AMD.digest.replace(":", "-") + ".sig"
    (image,) = opened(oci_layout([entry(AMD, ref="a/b:1"), entry(signature, ref=tag)])).images
    assert [(item.tag, str(item.root.digest)) for item in image.attached] == [(tag, signature.digest)]


def test_k96_that_a_docker_archive_cannot_give_back_a_digest_is_told() -> None:
    assert NEW_DIGESTS in inspect(opened(BOTH), Memory(BOTH))["notices"]
    layout = oci_layout([entry(AMD, ref="a/b:1")])
    assert NEW_DIGESTS not in inspect(opened(layout), Memory(layout))["notices"]


def test_k_referrers_in_the_archive_belong_to_their_subject() -> None:
    referrer = oci_artifact(b"sbom", subject=AMD)
    (image,) = opened(oci_layout([entry(AMD, ref="a/b:1"), entry(referrer)])).images
    assert isinstance(image.root, Descriptor)
    assert [str(item.digest) for item in image.referrers] == [referrer.digest]


# What is not about reading archives, and has its test where it belongs.
ELSEWHERE = {
    "a02": ("api/routes/test_push.py", "test_a_raw_body_is_an_archive"),
    "a03": ("api/routes/test_push.py", "test_a_form_gives_a_job_that_lands_the_image"),
    "b13": ("jobs/test_service.py", "test_one_file_appears_while_an_archive_waits"),
    "k97": ("push/run/test_referrers.py", "test_pushes_at_once_lose_no_referrer"),
    "k98": ("push/run/test_referrers.py", "test_a_refused_referrer_is_told_and_the_image_has_its_tag"),
}
ASKED = {"a02", "a03", "a06", *(f"b{number:02}" for number in range(8, 35)), "k95", "k96", "k97", "k98"}


def test_nothing_that_was_asked_for_is_without_its_test() -> None:
    here = {name.split("_")[1] for name in globals() if name.startswith("test_")}
    assert ASKED - here == ELSEWHERE.keys()
    for file, name in ELSEWHERE.values():
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {getattr(node, "name", "") for node in tree.body}, f"{file} has no {name}"
