"""Airgap bundles of KOTS: a storage with a list of names, or docker archives inside the archive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS, open_archive
from app.archive.formats.kots_airgap import ONLY_IMAGES
from app.errors import (
    ArchiveError,
    DigestMismatch,
    InvalidReference,
    LimitExceeded,
    MissingContent,
    TruncatedArchive,
    UnknownFormat,
)
from app.push import Destination, PushOptions, make_plan
from tests.hostile.landing import land
from tests.support import archives
from tests.support.archives import Compress, Member, docker_save, entry, oci_image, oci_index, oci_layout, tagged, tar
from tests.support.mirrors import airgap_yaml, kots_archives, kots_registry
from tests.support.opening import opened, taken_in
from tests.support.storage_tree import tree

WEB, DB = archives.image({"app": b"web"}, {"etc": b"1"}), archives.image({"app": b"db"})
ONE, TWO = oci_image(WEB), oci_image(DB)
AMD = oci_image(WEB, platform="linux/amd64")
MULTI = oci_index([AMD])
DIGEST = f"quay.io/team/tool@{MULTI.digest}"
CLUSTER = "  embeddedClusterArtifacts:\n    registry:\n      dir: cluster/images\n      savedImages:\n"
CLUSTER += "      - registry.k8s.io/pause:3.9\n"


def places(data: bytes, options: PushOptions | None = None) -> list[str]:
    plan = make_plan([opened(data)], options or PushOptions(), Destination("default", "registry.test"))
    found = [each for image in plan.images for each in image.destinations]
    return sorted(
        f"{found_item.repository}:{found_item.tag}"
        if found_item.tag
        else f"{found_item.repository}@{found_item.digest}"
        for found_item in found
    )


@pytest.mark.parametrize(
    ("stored", "saved", "expected"),
    [
        pytest.param(
            {"web": {"1": ONE}, "db": {"2": TWO}},
            ["field.local/kots/web:1", "db:2"],
            ["kots/web:1", "library/db:2"],
            id="last part",
        ),
        pytest.param({"kots/web": {"1": ONE}}, ["field.local/kots/web:1"], ["kots/web:1"], id="path"),
        pytest.param({"field.local/kots/web": {"1": ONE}}, ["field.local/kots/web:1"], ["kots/web:1"], id="host, too"),
        pytest.param({"web": {"latest": ONE}}, ["field.local/web"], ["web:latest"], id="no tag"),
        pytest.param({"tool": {"x": MULTI}}, [DIGEST], [f"team/tool@{MULTI.digest}", "tool:x"], id="digest"),
        pytest.param(
            {"tool": {"x": MULTI}}, [DIGEST.replace("@", ":1@")], [f"team/tool@{MULTI.digest}", "tool:x"], id="both"
        ),
        pytest.param({"web": {"1": ONE, "2": TWO}}, ["a.test/web:1"], ["web:1", "web:2"], id="not listed"),
        pytest.param({"web": {"1": ONE}}, [], ["web:1"], id="no list"),
        pytest.param({"web": {"1": ONE}}, ["a.test/web:1", "a.test/b/web:1"], ["b/web:1", "web:1"], id="two names"),
    ],
)
@pytest.mark.parametrize("dotslash", [False, True])
def test_the_images_of_a_storage_have_the_saved_names(
    stored: dict[str, dict[str, archives.Node]], saved: Sequence[str], expected: list[str], dotslash: bool
) -> None:
    data = tar(kots_registry(stored, saved), dotslash=dotslash)
    archive = opened(data)
    assert (archive.format, archive.notes) == ("kots-airgap", (ONLY_IMAGES,))
    assert places(data) == expected


def test_an_embedded_cluster_has_a_storage_of_its_own() -> None:
    members = kots_registry({"web": {"1": ONE}}, ["a.test/web:1"], more=CLUSTER)
    members += [replace(member, name=f"cluster/images/{member.name}") for member in tree({"pause": {"3.9": TWO}})]
    assert places(tar(members)) == ["pause:3.9", "web:1"]


@pytest.mark.parametrize("format_", ["docker-archive", ""])
@pytest.mark.parametrize("outer", ["none", "gzip", "zstd"])
async def test_docker_archives_inside_are_read_where_they_lie(format_: str, outer: Compress) -> None:
    images = {
        "quay.io/team/sub/web/1.0": tagged(WEB, "other.test/name:of-docker"),
        "docker.io/library/db/2": replace(DB, tags=()),
        f"quay.io/team/tool/sha256/{'a' * 64}": WEB,
    }
    data = archives.wrap(tar(kots_archives(images, format_=format_)), outer)
    archive = opened(data)
    assert archive.format == "kots-airgap"
    assert [image.names for image in archive.images] == [
        ("quay.io/team/sub/web:1.0", f"quay.io/team/tool@sha256:{'a' * 64}"),
        ("docker.io/library/db:2",),
    ]
    landed = await land(data)
    assert (landed.codes, landed.tags) == ([], ("library/db:2", "team/sub/web:1.0"))


async def test_what_is_saved_twice_lies_in_any_of_the_archives() -> None:
    """One base below two images: each archive has it."""
    base = {"base": b"x" * 2000}
    images = {f"a.test/app{number}/1": archives.image(base, {"app": b"%d" % number}) for number in range(3)}
    landed = await land(tar(kots_archives(images)))
    assert (landed.codes, landed.tags) == ([], tuple(f"app{number}:1" for number in range(3)))


async def test_an_image_layout_inside_is_read_too() -> None:
    members = [*kots_archives({}), Member("images/docker-archive/a.test/multi/1", oci_layout([entry(MULTI)]))]
    landed = await land(tar(members))
    assert (landed.codes, landed.tags) == ([], ("multi:1",))


def test_several_images_in_one_archive_keep_their_own_names() -> None:
    both = docker_save([tagged(WEB, "a.test/web:1"), tagged(DB, "a.test/db:2")])
    assert places(tar([*kots_archives({}), Member("images/docker-archive/x/y/z", both)])) == ["db:2", "web:1"]


def test_a_bundle_without_images_has_none() -> None:
    """They were pushed before, or nothing changed."""
    members = [Member("airgap.yaml", airgap_yaml("docker-registry", ["a.test/web:1"])), Member("app.tar.gz", b"x")]
    archive = opened(tar(members))
    assert (archive.format, archive.images) == ("kots-airgap", ())


SAVED = docker_save([WEB], style="podman")
OTHER = bytearray(SAVED)
OTHER[SAVED.index(b"web")] ^= 1


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("images/docker-archive/a/b/1", archives.wrap(SAVED, "gzip"), UnknownFormat, "a/b/1.*gzip"),
        ("images/docker-archive/a/b/1", archives.wrap(SAVED, "zstd"), UnknownFormat, "a/b/1.*zstd"),
        ("images/docker-archive/a/b/1", b"text", UnknownFormat, "a/b/1"),
        ("images/docker-archive/a/b/1", tar([Member("x", b"y")]), UnknownFormat, "a/b/1.*tar"),
        ("images/docker-archive/a/b/1", SAVED[:3000], TruncatedArchive, "a/b/1"),
        ("images/docker-archive/a/b/1", docker_save([replace(WEB, layers=())]), ArchiveError, "a/b:1"),
    ],
)
def test_what_is_wrong_inside_names_the_member(name: str, content: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        opened(tar([*kots_archives({"a/ok/1": DB}), Member(name, content)]))


async def test_a_layer_inside_with_other_bytes_is_not_tagged() -> None:
    landed = await land(tar([*kots_archives({}), Member("images/docker-archive/a.test/b/1", bytes(OTHER))]))
    assert (landed.codes, landed.tags) == ([DigestMismatch.code], ())


@pytest.mark.parametrize(
    ("saved", "error"),
    [
        (["a.test/web:1", "a.test/gone:1"], MissingContent),
        ([f"a.test/web@sha256:{'0' * 64}"], MissingContent),
        (["A B"], InvalidReference),
    ],
)
def test_what_is_listed_and_absent_is_refused(saved: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        opened(tar(kots_registry({"web": {"1": ONE}}, saved)))


@pytest.mark.parametrize(
    "content",
    [b"", b"kind: Airgap\n", b"apiVersion: v1\nkind: Airgap\n", b"apiVersion: kots.io/v1beta1\nkind: Other\n", b"\xff"],
)
def test_another_airgap_yaml_makes_no_bundle(content: bytes) -> None:
    with pytest.raises(ArchiveError):
        opened(tar([Member("airgap.yaml", content), Member("x", b"y")]))


@pytest.mark.parametrize("more", ["  releaseNotes: *alias\n", "  a: !!python/x b\n", "  a: 1\n  a: 2\n", "  x: [[[\n"])
async def test_what_cannot_be_read_of_airgap_yaml_costs_no_image(more: str) -> None:
    members = kots_registry({"web": {"1": ONE}}, ["a.test/team/web:1"], more=more)
    landed = await land(tar(members))
    assert landed.tags in {("team/web:1",), ("web:1",)}


def test_all_archives_inside_have_one_limit_of_members() -> None:
    data = tar(kots_archives({f"a.test/app{number}/1": WEB for number in range(5)}))
    with pytest.raises(LimitExceeded):
        opened(data, replace(DEFAULT_LIMITS, members=20))


def test_images_of_inner_archives_are_compared_with_their_own_configs_and_layers() -> None:
    """What is known by its place is known of one archive alone, however alike the inner ones are."""
    inner = {}
    for number, platform in enumerate(["linux/amd64", "linux/arm64", "linux/s390x"]):
        sample = archives.image({"a": b"%d" % number}, platform=platform)
        node = oci_image(sample, platform=platform)
        inner[platform] = Member(f"images/docker-archive/a.test/app{number}/1", oci_layout([entry(node)]))
    archive = opened(tar([*kots_archives({}), *inner.values()]))
    assert [[str(one) for one in entry.platforms] for entry in archive.images] == [[name] for name in inner]
    assert not [note for note in archive.notes if "media type" in note or "config" in note]
    assert archive.mislabelled == {}


def test_a_contradiction_in_any_of_them_is_known() -> None:
    """Each is a layout with a manifest.json of docker's that agrees with nothing."""
    parts = []
    for number in range(2):
        sample = tagged(archives.image({"a": b"%d" % number}, {"b": b"b"}), f"a.test/app{number}:1")
        node = oci_image(sample, compression="none")
        members = {**json.loads(node.raw)}
        wrong = replace(node, raw=archives.to_json({**members, "layers": members["layers"][::-1]}))
        inner = oci_layout([entry(wrong)], hybrid=[replace(sample, layers=sample.layers[::-1])])
        parts.append(Member(f"images/docker-archive/a.test/app{number}/1", inner))
    assert len(open_archive(*taken_in(tar([*kots_archives({}), *parts]))).contradictions) == 2
