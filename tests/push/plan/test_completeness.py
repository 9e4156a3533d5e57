"""Whether an image is whole is a property of the image: judged after it was picked, told for every one that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.errors import InvalidReference, MissingContent, TarmacError
from app.oci import Platform
from app.push import Destination, ImageState, PushOptions
from app.push.plan.planning import draft_plan
from tests.push.given import planned, pushed, surveyed
from tests.support.archives import (
    Image,
    Member,
    Node,
    blob_name,
    docker_members,
    docker_save,
    entry,
    image,
    oci_image,
    oci_index,
    oci_layout,
    oci_members,
    tagged,
    tar,
)
from tests.support.fake_registry import FakeRegistry
from tests.support.opening import read
from tests.support.storage_tree import bundle, tree

GOOD = image({"bin/good": b"good"})
BAD = image({"bin/bad": b"bad"}, label="bad")
GOOD_NODE, BAD_NODE = oci_image(GOOD), oci_image(BAD)
CONFIG, LAYER = list(BAD_NODE.blobs)[:2]
PICKED = "example.com/team/good:1"
LEFT = "example.com/team/bad:1"


def layout(change: Callable[[Member], bytes | None]) -> bytes:
    members = oci_members([entry(GOOD_NODE, ref=PICKED), entry(BAD_NODE, ref=LEFT)])
    kept = [(member, change(member)) for member in members]
    return tar(replace(member, data=data) for member, data in kept if data is not None)


def without(digest: str, data: bytes | None = None) -> bytes:
    """A layout in which one blob is missing, or has `data`."""
    return layout(lambda member: data if member.name == blob_name(digest) else member.data)


def docker(change: Callable[[Member], bytes | None]) -> bytes:
    members = docker_members([tagged(GOOD, PICKED), tagged(BAD, LEFT)], style="podman")
    kept = [(member, change(member)) for member in members]
    return tar(replace(member, data=data) for member, data in kept if data is not None)


def of_bad(suffix: str, data: bytes | None) -> bytes:
    """A docker archive whose second image lacks its config or layer, or has another one."""
    encoded = {".json": BAD.config_digest, ".tar": BAD.diff_ids[0]}[suffix].removeprefix("sha256:")
    return docker(lambda member: data if member.name == f"{encoded}{suffix}" else member.data)


STORED = {"team/good": {"1": GOOD_NODE}, "team/bad": {"1": BAD_NODE}}
LISTED = {"example.com": {"team/good": ["1"], "team/bad": ["1"]}}
BROKEN: dict[str, tuple[bytes, str]] = {
    "layer missing": (without(LAYER), "missing_content"),
    "config missing": (without(CONFIG), "missing_content"),
    "manifest missing": (without(BAD_NODE.digest), "missing_content"),
    "layer of another size": (without(LAYER, b"short"), "size_mismatch"),
    "manifest with other bytes": (without(BAD_NODE.digest, BAD_NODE.raw.replace(b"2", b"3", 1)), "digest_mismatch"),
    "manifest that is none": (
        oci_layout([entry(GOOD_NODE, ref=PICKED), entry(Node(b"{}", BAD_NODE.media_type), ref=LEFT)]),
        "malformed_archive",
    ),
    "docker: layer missing": (of_bad(".tar", None), "missing_content"),
    "docker: config missing": (of_bad(".json", None), "missing_content"),
    "docker: config with other bytes": (of_bad(".json", b"{}"), "malformed_archive"),
    "docker: layer that nobody unpacks": (of_bad(".tar", b"\xfd7zXZ\0" + b"x" * 600), "malformed_archive"),
    "bundle: listed and absent": (bundle({"team/good": {"1": GOOD_NODE}}, images=LISTED), "missing_content"),
    "storage: layer missing": (tar(tree(STORED, without=[LAYER])), "missing_content"),
    "a name that is none": (
        docker_save([tagged(GOOD, PICKED), tagged(BAD, "example.com/team/BAD:1")]),
        "invalid_reference",
    ),
    "no name": (docker_save([tagged(GOOD, PICKED), BAD]), "missing_tag"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_bad_image_refuses_the_request_and_is_told_by_its_name(what: str) -> None:
    data, code = BROKEN[what]
    with pytest.raises(TarmacError) as refused:
        planned(data)
    assert refused.value.code == code
    assert what == "no name" or "bad:1" in str(refused.value).lower()
    assert "keep_going=true" in str(refused.value)


@pytest.mark.parametrize("what", BROKEN)
def test_images_leaves_the_bad_one_out(what: str) -> None:
    plan = planned(BROKEN[what][0], images=["*good*"])
    assert not plan.refused
    assert [target.destinations[0].repository for target in plan.images] == ["team/good"]


@pytest.mark.parametrize("what", BROKEN)
async def test_the_good_ones_are_pushed_where_it_is_to_keep_going(what: str) -> None:
    data, code = BROKEN[what]
    registry = FakeRegistry()
    run = await pushed(registry, data, keep_going="true")
    assert sorted(run.states) == [ImageState.FAILED, ImageState.PUSHED]
    assert run.problem(run.states.index(ImageState.FAILED)).code == code
    assert registry.manifest("team/good", "1")
    assert ("team/bad", "1") not in registry.tags


@pytest.mark.parametrize("what", BROKEN)
async def test_a_dry_run_shows_the_same(what: str) -> None:
    run = await surveyed(FakeRegistry(), BROKEN[what][0], keep_going="true")
    assert sorted(run.states) == [ImageState.FAILED, ImageState.PLANNED]


def test_every_bad_image_is_told_with_its_reason() -> None:
    images: list[Image] = [tagged(image({"x": b"%d" % number}), f"a/b{number}:1") for number in range(5)]
    gone = [sample.diff_ids[0].removeprefix("sha256:") + ".tar" for sample in images[1:]]
    members = [member for member in docker_members(images, style="podman") if member.name not in gone]
    with pytest.raises(MissingContent) as refused:
        planned(tar(members))
    told = str(refused.value)
    assert told.startswith("4 of 5 images cannot be pushed: ")
    for number in range(1, 5):
        assert f"a/b{number}:1: the archive lacks layer" in told
    assert told.endswith("pass keep_going=true to push the other one")


def test_many_bad_images_are_counted_in_a_bounded_message() -> None:
    images = [tagged(image({"x": b"%d" % number}), f"a/UPPER{number}:1") for number in range(200)]
    with pytest.raises(InvalidReference) as refused:
        planned(docker_save(images))
    assert str(refused.value).startswith("200 of 200 images cannot be pushed: ")
    assert len(str(refused.value)) < 8_000
    assert "more" in str(refused.value)


def index_with(other: Node) -> bytes:
    return oci_layout([entry(oci_index([oci_image(GOOD, platform="linux/amd64"), other]), ref=PICKED)])


ARM = oci_image(image({"bin/arm": b"arm"}, platform="linux/arm64"), platform="linux/arm64")


@pytest.mark.parametrize(
    "data",
    [
        index_with(replace(ARM, raw=b"{}")),
        tar(
            replace(member, data=b"{}") if member.name == blob_name(ARM.digest) else member
            for member in oci_members([entry(oci_index([oci_image(GOOD, platform="linux/amd64"), ARM]), ref=PICKED)])
        ),
        oci_layout(
            [entry(oci_index([oci_image(GOOD, platform="linux/amd64"), ARM]), ref=PICKED)], without=[ARM.digest]
        ),
        oci_layout(
            [entry(oci_index([oci_image(GOOD, platform="linux/amd64"), ARM]), ref=PICKED)],
            without=[list(ARM.blobs)[1]],
        ),
    ],
    ids=["malformed", "other bytes", "missing", "lacks a layer"],
)
def test_platforms_picks_a_whole_child_of_an_index_that_is_not(data: bytes) -> None:
    with pytest.raises(TarmacError):
        planned(data)
    assert len(planned(data, platforms="linux/amd64").images) == 1


def test_a_whole_copy_in_another_archive_is_pushed() -> None:
    whole = oci_layout([entry(BAD_NODE, ref="example.com/other:1")])
    plan = planned(without(LAYER), whole)
    assert not plan.refused
    assert {str(place) for target in plan.images for place in target.destinations} == {
        "registry.local:5000/team/good:1",
        "registry.local:5000/team/bad:1",
        "registry.local:5000/other:1",
    }


def test_of_two_images_for_one_destination_neither_is_pushed() -> None:
    clash = [tagged(GOOD, "quay.io/a:1"), tagged(BAD, "ghcr.io/a:1"), tagged(image({"c": b"c"}), "quay.io/c:1")]
    plan = planned(docker_save(clash), keep_going="true")
    assert {number: problem.code for number, problem in plan.refused.items()} == {
        0: "destination_conflict",
        1: "destination_conflict",
    }


def test_a_bad_image_can_be_renamed_and_is_bad_all_the_same() -> None:
    with pytest.raises(MissingContent, match="keep_going"):
        planned(without(LAYER), rename=[f"{LEFT}=x/y:1"])
    plan = planned(without(LAYER), rename=[f"{LEFT}=x/y:1"], keep_going="true")
    assert [str(place) for place in plan.images[1].destinations] == ["registry.local:5000/x/y:1"]


# --- what the options leave out --------------------------------------------------------------------------------------


PLACE = Destination("default", "registry.test")
ARCHES = ("amd64", "arm64", "s390x")


def notes_of(archives: list[bytes], **options: object) -> list[str]:
    plan = draft_plan([read(data) for data in archives], PushOptions(**options), PLACE)  # type: ignore[arg-type]
    return [note for note in plan.notes if "leaves out" in note]


def test_what_the_globs_leave_out_is_counted() -> None:
    sample = docker_save([tagged(image({"a": b"1"}), "a:1", "a:2"), tagged(image({"b": b"2"}), "b:1")])
    (note,) = notes_of([sample], images=("a:1",))
    assert "1 of 2 images" in note
    assert "2 names" in note
    assert notes_of([sample], images=("*",)) == []
    assert len(notes_of([sample, docker_save([tagged(image({"c": b"3"}), "c:1")])], images=("a:*",))) == 2


def test_what_the_platforms_leave_out_is_counted() -> None:
    nodes = [oci_image(image({"a": b"%d" % number}), platform=f"linux/{name}") for number, name in enumerate(ARCHES)]
    sample = oci_layout([entry(oci_index(nodes), ref="example.com/a:1")])
    (note,) = notes_of([sample], platforms=(Platform("linux", "amd64"),))
    assert "2 manifests" in note
    assert notes_of([sample], platforms=tuple(Platform("linux", name) for name in ARCHES)) == []
