"""A registry's storage with no list beside it, and what oc-mirror makes of one: every tag is read."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from app.archive import DEFAULT_LIMITS
from app.errors import FormatMismatch, InvalidReference, LimitExceeded, MissingContent, UnknownFormat
from app.push import Destination, PushOptions, make_plan
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import Member, docker_save, oci_artifact, oci_image, oci_index, tagged, tar
from tests.support.opening import opened
from tests.support.storage_tree import (
    blob_place,
    bundle,
    directories,
    oc_mirror,
    revision_place,
    tree,
)

AMD = oci_image(archives.image({"app": b"amd"}), platform="linux/amd64")
ARM = oci_image(archives.image({"app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
MULTI = oci_index([AMD, ARM])
SIGNATURE = oci_artifact(b"a signature")
SIGNED = f"{MULTI.digest.replace(':', '-')}.sig"
STORED = {
    "alpine": {"3": AMD},
    "openshift/release-images": {"4.18.1-x86_64": MULTI, SIGNED: SIGNATURE},
    "registry.example.com/team/app": {"1": AMD},
}
PLACES = [
    "alpine:3",
    "registry.example.com/team/app:1",
    "openshift/release-images:4.18.1-x86_64",
    f"openshift/release-images:{SIGNED}",
]
PARTS = r"mirror_000001\.tar, mirror_000002\.tar"


def places(data: bytes, options: PushOptions | None = None) -> list[str]:
    plan = make_plan([opened(data)], options or PushOptions(), Destination("default", "registry.test"))
    return [f"{each.repository}:{each.tag}" for image in plan.images for each in image.destinations]


def without(members: list[Member], *starts: str) -> bytes:
    return tar(member for member in members if not member.name.startswith(starts))


def test_every_tag_of_a_storage_is_read_and_a_note_says_so() -> None:
    archive = opened(tar(directories(tree(STORED))))
    assert archive.format == "registry-storage"
    assert [image.paths for image in archive.images] == [
        ("alpine:3", "registry.example.com/team/app:1"),
        ("openshift/release-images:4.18.1-x86_64",),
        (f"openshift/release-images:{SIGNED}",),
    ]
    assert "every tag" in archive.notes[0]


def test_a_repository_keeps_its_path_whatever_it_looks_like() -> None:
    assert places(tar(tree(STORED))) == PLACES


@pytest.mark.parametrize("directory", ["registry", "var/lib/registry", "a/b/c/d/e", "docker", "Some Backup:1"])
@pytest.mark.parametrize("dotslash", [False, True])
def test_a_storage_may_lie_below_any_directory(directory: str, dotslash: bool) -> None:
    members = [replace(member, name=f"{directory}/{member.name}") for member in directories(tree(STORED))]
    archive = opened(tar(members, dotslash=dotslash))
    assert archive.format == "registry-storage"
    assert places(tar(members, dotslash=dotslash)) == PLACES


def test_a_registry_with_a_port_is_no_part_of_a_repository() -> None:
    """modctl keeps models so; the storage of a registry cannot."""
    stored = {"127.0.0.1:5000/team/model": {"1": AMD}, "a.test:5000/x": {"2": AMD}, "a.test/y": {"3": ARM}}
    assert sorted(places(tar(tree(stored)))) == ["a.test/y:3", "team/model:1", "x:2"]


def test_two_storages_are_both_read_and_an_image_of_both_has_the_names_of_both() -> None:
    other = {"other/alpine": {"4": AMD}, "docker/registry/v2": {"1": SIGNATURE}}
    members = [*tree(STORED), *(replace(member, name=f"second/{member.name}") for member in tree(other))]
    archive = opened(tar(members))
    assert archive.images[0].paths == ("alpine:3", "registry.example.com/team/app:1", "other/alpine:4")
    assert sorted(places(tar(members))) == sorted([*PLACES, "other/alpine:4", "docker/registry/v2:1"])


def test_repositories_without_a_tag_make_a_storage_without_images() -> None:
    members = [member for member in tree(STORED) if "/tags/" not in member.name]
    assert opened(tar(replace(member, name=f"x/{member.name}") for member in members)).images == ()


def test_a_path_is_picked_and_renamed_as_it_stands() -> None:
    data = tar(tree(STORED))
    assert places(data, PushOptions(images=("alpine:*",))) == ["alpine:3"]
    assert places(data, PushOptions(images=("alpine:3", "openshift/*"), rename=(("alpine:3", "base/alpine:3"),))) == [
        "base/alpine:3",
        *PLACES[2:],
    ]


def test_a_storage_of_nothing_holds_no_images() -> None:
    assert opened(tar(directories([Member("docker/registry/v2/repositories/a/_uploads", directory=True)]))).images == ()


def test_old_tags_and_odd_files_in_the_tree_are_no_tags() -> None:
    members = [
        *tree({"a": {"1": AMD}}),
        Member("docker/registry/v2/repositories/a/_manifests/tags/2/index/sha256/x/link", AMD.digest.encode()),
        Member("docker/registry/v2/repositories/a/current/link", b"x"),
        Member("docker/registry/v2/repositories/a/_manifests/tags/3/current/link/x", b"x"),
        Member("elsewhere/docker/registry/v2/repositories/b/_manifests/tags/1/current/link", b"x"),
    ]
    assert [image.paths for image in opened(tar(members)).images] == [("a:1",)]


@pytest.mark.parametrize(
    "gone", [blob_place(AMD.digest), revision_place("alpine", AMD.digest)], ids=["manifest", "revision"]
)
def test_a_tag_whose_manifest_is_gone_is_a_notice(gone: str) -> None:
    archive = opened(without(tree(STORED), gone))
    assert "alpine:3" not in [path for image in archive.images for path in image.paths]
    assert any(re.search(f"no manifest in the storage and are not pushed: alpine:3.*{PARTS}", x) for x in archive.notes)


def test_a_storage_of_which_all_manifests_are_gone_is_refused() -> None:
    with pytest.raises(MissingContent, match=f"alpine:3.*{PARTS}"):
        opened(tar(tree({"alpine": {"3": AMD}}, without=[AMD.digest])))


def test_too_many_tags_are_refused() -> None:
    with pytest.raises(LimitExceeded, match=r"4 tags.*3"):
        opened(tar(tree(STORED)), replace(DEFAULT_LIMITS, nodes=3))


def test_blobs_without_repositories_are_a_later_part_of_a_set() -> None:
    with pytest.raises(MissingContent, match=r"mirror_000001\.tar"):
        opened(without(tree(STORED), "docker/registry/v2/repositories"))


def test_an_archive_of_oc_mirror_is_read_whole() -> None:
    data = tar(oc_mirror(STORED))
    archive = opened(data)
    assert (archive.format, archive.notes) == ("oc-mirror", ())
    assert places(data) == PLACES


def test_a_storage_with_a_docker_archive_or_a_layout_beside_it_is_that() -> None:
    image = tagged(archives.image({"a": b"1"}), "example.com/a:1")
    assert opened(tar([*tree(STORED), *archives.docker_members([image])])).format == "docker-archive"
    assert opened(docker_save([image])).format == "docker-archive"


def test_a_first_part_of_oc_mirror_asks_for_the_others() -> None:
    with pytest.raises(MissingContent, match=rf"mirror_000002\.tar.*{PARTS}"):
        opened(without(oc_mirror(STORED), "isc_", "docker/registry/v2/blobs"))


@pytest.mark.parametrize(
    "starts",
    [
        ("docker/registry/v2/repositories",),
        ("docker/",),
        ("docker/registry/v2/repositories", "working-dir"),
        ("docker/registry/v2/repositories", "isc_"),
    ],
)
def test_a_later_part_of_oc_mirror_asks_for_the_first(starts: tuple[str, ...]) -> None:
    with pytest.raises(MissingContent, match=r"mirror_000001\.tar"):
        opened(without(oc_mirror(STORED), *starts))


@pytest.mark.parametrize("names", [["working-dir/a"], ["isc_2026"], ["working-dir/a", "x/isc_2026"]])
def test_a_working_directory_alone_is_not_of_oc_mirror(names: list[str]) -> None:
    with pytest.raises(UnknownFormat):
        opened(tar(Member(name) for name in names))


def test_tags_whose_manifests_an_earlier_archive_had_are_left_out_and_told() -> None:
    stored = {**STORED, "later": {"2": ARM}}
    archive = opened(tar(oc_mirror(stored, without=[AMD.digest, SIGNATURE.digest, MULTI.digest])))
    assert [image.paths for image in archive.images] == [("later:2",)]
    note, _ = archive.notes  # and the layers of those manifests
    assert "not pushed: alpine:3, openshift/release-images:4.18.1-x86_64" in note
    assert "earlier archives" in note


def test_an_archive_that_has_none_of_its_manifests_is_refused() -> None:
    with pytest.raises(MissingContent):
        opened(tar(oc_mirror(STORED, without=[AMD.digest, SIGNATURE.digest, MULTI.digest])))


def test_blobs_that_belong_to_no_tag_show_that_repositories_are_missing() -> None:
    with pytest.raises(MissingContent, match=f"^[0-9]+.*tag.*{PARTS}"):
        opened(without(oc_mirror(STORED), "docker/registry/v2/repositories/openshift"))


def test_what_is_missing_of_an_image_may_be_in_another_archive() -> None:
    with pytest.raises(MissingContent, match=f"workspace.*{PARTS}"):
        opened(tar(oc_mirror({"alpine": {"3": AMD}}, without=[list(AMD.blobs)[1]])))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (bundle({"a": {"1": AMD}}, images={"example.com": {"a": ["1"]}}), "mindthegap-bundle"),
        (tar(oc_mirror({"a": {"1": AMD}})), "oc-mirror"),
        (tar(tree({"a": {"1": AMD}})), "registry-storage"),
    ],
)
def test_where_an_image_archive_is_asserted_the_error_names_the_right_format(data: bytes, name: str) -> None:
    assert places(data, PushOptions(format=name)) == ["a:1"]
    for wanted in ("docker-archive", "oci-archive"):
        with pytest.raises(FormatMismatch) as refused:
            places(data, PushOptions(format=wanted))
        assert {f"format={wanted}", f"format={name}"} <= set(re.findall(r"format=[\w-]+", str(refused.value)))


@pytest.mark.parametrize("wanted", ["mindthegap-bundle", "oc-mirror", "registry-storage"])
def test_where_a_bundle_is_asserted_the_error_names_the_right_format(wanted: str) -> None:
    data = docker_save([tagged(archives.image({"a": b"1"}), "example.com/a:1")])
    with pytest.raises(FormatMismatch, match=rf"format={wanted}\b.*format=docker-archive\b"):
        places(data, PushOptions(format=wanted))


def test_a_tag_that_no_registry_could_hold_is_refused() -> None:
    with pytest.raises(InvalidReference):
        planned(tar(tree({"Upper/Case": {"1": AMD}})))
    with pytest.raises(InvalidReference):
        planned(tar(tree({"a": {".1": AMD}})))
