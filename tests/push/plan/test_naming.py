"""Which image goes where (PRODUCT: names and options of a request)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import (
    DestinationConflict,
    InvalidReference,
    InvalidRequest,
    MissingTag,
    SingleImageRequired,
)
from app.push import Destination, ImageState
from tests.push.given import LOCAL, planned, pushed
from tests.support.archives import Image, docker_save, entry, image, oci_image, oci_layout, tagged
from tests.support.fake_registry import FakeRegistry

APP = image({"bin/app": b"one"})
OTHER = image({"bin/app": b"two"})
NODE = oci_image(APP)
ELSEWHERE = "sha256:" + "0" * 64


def destinations(*tars: bytes, destination: Destination = LOCAL, **options: str | Sequence[str]) -> list[list[str]]:
    plan = planned(*tars, destination=destination, **options)
    return [[str(item) for item in target.destinations] for target in plan.images]


def named(*names: str, sample: Image = APP) -> bytes:
    return docker_save([tagged(sample, *names)])


@pytest.mark.parametrize(
    ("embedded", "landed"),
    [
        ("nginx", "library/nginx:latest"),
        ("a", "library/a:latest"),
        ("a:b", "library/a:b"),
        ("a/b:c", "a/b:c"),
        ("x.io/a:1", "a:1"),
        ("Registry.example/app:V1", "app:V1"),
        (f"example.com/{'a' * 255}:{'t' * 128}", f"{'a' * 255}:{'t' * 128}"),
        ("nginx:1.25", "library/nginx:1.25"),
        ("docker.io/library/nginx:1.25", "library/nginx:1.25"),
        ("index.docker.io/nginx:1.25", "library/nginx:1.25"),
        ("org/app:1", "org/app:1"),
        ("quay.io/org/app:1", "org/app:1"),
        ("localhost:5000/a/b/c:v1", "a/b/c:v1"),
        (f"example.com/app:1@{ELSEWHERE}", "app:1"),
    ],
)
def test_an_embedded_name_loses_its_host_and_keeps_library(embedded: str, landed: str) -> None:
    assert destinations(named(embedded)) == [[f"registry.local:5000/{landed}"]]


def test_path_and_prefix_stand_before_the_repository() -> None:
    plan = planned(
        named("nginx:1"), destination=Destination("r", "host", "base/path"), prefix="/mirror/", rename=["nginx:1=web:2"]
    )
    assert str(plan.images[0].destinations[0]) == "host/base/path/mirror/web:2"


def test_every_name_becomes_a_destination_once_and_in_order() -> None:
    tar = named("example.com/b:1", "example.com/a:1", "quay.io/b:1")
    assert destinations(tar) == [["registry.local:5000/b:1", "registry.local:5000/a:1"]]


def test_tag_replaces_every_name_and_is_used_as_written() -> None:
    assert destinations(named("nginx:1", "nginx:2"), tag="override:v3") == [["registry.local:5000/override:v3"]]
    assert destinations(docker_save([APP]), tag="override:v3") == [["registry.local:5000/override:v3"]]


def test_tag_rescues_an_invalid_name_and_takes_the_prefix() -> None:
    assert destinations(named("UPPER/../x:1"), tag="a/b:v3", prefix="p") == [["registry.local:5000/p/a/b:v3"]]


@pytest.mark.parametrize(
    ("tars", "counts"),
    [
        ([named("a:1"), named("b:1", sample=OTHER)], "2 in 2 archive"),
        ([docker_save([tagged(APP, "a:1"), tagged(OTHER, "b:1")])], "2 in 1 archive"),
        ([docker_save([])], "0 in 1 archive"),
    ],
)
def test_tag_with_other_than_one_image_is_refused_with_the_counts(tars: list[bytes], counts: str) -> None:
    with pytest.raises(SingleImageRequired, match=counts):
        planned(*tars, tag="override:v3")


def test_one_image_in_two_archives_is_one_image_with_the_names_of_both() -> None:
    plan = planned(named("a:1"), named("b:1"))
    assert len(plan.images) == 1
    assert plan.images[0].entry.names == ("a:1", "b:1")
    assert destinations(named("a:1"), named("b:1"), tag="c:1") == [["registry.local:5000/c:1"]]


@pytest.mark.parametrize("embedded", ["nginx:1.25", "library/nginx:1.25", "docker.io/library/nginx:1.25"])
def test_rename_meets_a_name_in_any_form(embedded: str) -> None:
    tar = docker_save([tagged(APP, "nginx:1.25", "other:1"), tagged(OTHER, "third:1")])
    assert destinations(tar, rename=[f"{embedded}=team/web:2"]) == [
        ["registry.local:5000/team/web:2", "registry.local:5000/library/other:1"],
        ["registry.local:5000/library/third:1"],
    ]


def test_rename_meets_a_name_with_a_digest_by_its_tag() -> None:
    assert destinations(named(f"app:1@{ELSEWHERE}"), rename=["app:1=a:2"]) == [["registry.local:5000/a:2"]]


def test_rename_rescues_an_invalid_name() -> None:
    assert destinations(named("a/UPPER:1"), rename=["a/UPPER:1=ok:1"]) == [["registry.local:5000/ok:1"]]


def test_rename_names_nameless_images_by_digest_and_bare_tags_as_written() -> None:
    assert destinations(docker_save([APP, OTHER]), rename=[f"{APP.config_digest}=a:1", f"{OTHER.config_digest}=b:1"])
    tar = oci_layout([entry(NODE, ref="1.2.3")])
    assert destinations(tar, rename=["1.2.3=team/app:1.2.3"]) == [["registry.local:5000/team/app:1.2.3"]]


def test_a_rename_that_meets_nothing_is_refused_with_the_names_there_are() -> None:
    names = [f"app:{number}" for number in range(12)]
    with pytest.raises(InvalidRequest, match=r"'nothing:1' matches no image; the names are: app:0, .* and 2 more"):
        planned(named(*names), rename=["nothing:1=a:1"])
    with pytest.raises(InvalidRequest, match="the names are: none"):
        planned(docker_save([]), rename=["nothing:1=a:1"])


def test_an_image_without_a_name_asks_for_tag() -> None:
    with pytest.raises(MissingTag, match=rf"image {APP.config_digest} has no name; pass `tag` \(tag=REPO:TAG\)"):
        planned(docker_save([APP]))


def test_a_tag_alone_is_offered_in_the_message() -> None:
    with pytest.raises(
        MissingTag,
        match=rf"image {NODE.digest} in archive 2 of 2 .* '1.2.3' .*; pass `rename` \(rename={NODE.digest}=REPO:1",
    ):
        planned(named("a:1"), oci_layout([entry(NODE, ref="1.2.3")]))


def test_a_name_of_the_archive_that_is_not_valid_can_be_given_another() -> None:
    with pytest.raises(InvalidReference, match=r"lower case; pass `tag` or `rename`"):
        planned(named("Team/App:1"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("UPPER", "lower case"),
        ("quay.io/Team/app:1", "lower case"),
        ("example.com/" + "a" * 256 + ":1", "256 characters.* 255 "),
        ("example.com/app:" + "t" * 129, " 128 "),
        ("a" * 1025, "1025 characters.* 1024 "),
        ("example.com/app@sha256:12", "'example.com/app@sha256:12'"),
        ("../../etc:1", "etc"),
        ("a//b:1", "'a//b'"),
    ],
)
def test_a_name_that_no_registry_takes_is_refused_with_why_and_rescued_by_tag(name: str, words: str) -> None:
    with pytest.raises(InvalidReference, match=rf"{words}.*pass `tag` or `rename`"):
        planned(named(name))
    assert destinations(named(name), tag="x:1") == [["registry.local:5000/x:1"]]


@pytest.mark.parametrize("given", [{"tag": "BAD:1"}, {"prefix": "Bad"}, {"rename": ["a:1=BAD:1"]}])
def test_a_name_that_was_given_and_is_not_valid_is_to_be_mended_itself(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidReference, match=r"lower case$"):
        planned(named("a:1"), **given)


def test_all_problems_are_told_at_once_with_the_class_of_the_first() -> None:
    images = [tagged(image({"x": b"%d" % n}), f"a/UPPER{n}:1") for n in range(6)]
    with pytest.raises(InvalidReference, match=r"^7 of 7 images cannot be pushed: .*UPPER0.*UPPER5.*pass `rename`"):
        planned(docker_save([*images, APP]))
    with pytest.raises(InvalidReference, match=r"^2 of 2 images cannot be pushed: .*UPPER.*pass `rename`.*$"):
        planned(docker_save([tagged(APP, "a/UPPER:1"), OTHER]))


def test_two_images_at_one_destination_are_refused_naming_both() -> None:
    tar = docker_save([tagged(APP, "quay.io/dup:v1"), tagged(OTHER, "ghcr.io/dup:v1")])
    with pytest.raises(DestinationConflict, match=r"quay.io/dup:v1 .*ghcr.io/dup:v1 .*registry.local:5000/dup:v1"):
        planned(tar)


def test_a_final_repository_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidReference, match="at most 255"):
        planned(named("example.com/" + "a" * 200 + ":1"), prefix="b" * 60)


async def test_a_name_by_digest_alone_is_pushed_without_a_tag() -> None:
    registry = FakeRegistry()
    tar = oci_layout([entry(NODE, ref=f"example.com/app@{NODE.digest}")])
    run = await pushed(registry, tar)
    assert run.states == [ImageState.PUSHED]
    assert registry.tags == {}
    assert registry.manifest("app", NODE.digest) == NODE.raw
    assert (await pushed(registry, tar)).states == [ImageState.ALREADY_PRESENT]


async def test_a_name_by_another_digest_is_pushed_by_the_own_one_with_a_note() -> None:
    registry = FakeRegistry()
    run = await pushed(registry, oci_layout([entry(NODE, ref=f"example.com/app@{ELSEWHERE}")]))
    assert registry.manifest("app", NODE.digest) == NODE.raw
    assert any(NODE.digest in note for note in run.plan.notes)


async def test_a_docker_image_named_by_digest_is_pushed_by_the_digest_it_gets() -> None:
    registry = FakeRegistry()
    tar = docker_save([tagged(APP, f"example.com/app@{ELSEWHERE}"), tagged(OTHER, f"example.com/app@{ELSEWHERE}")])
    run = await pushed(registry, tar)
    assert run.states == [ImageState.PUSHED, ImageState.PUSHED]
    assert registry.tags == {}
    assert registry.manifest("app", str(run.last().digest))
    assert [str(destination) for destination in run.plan.images[0].destinations] == ["registry.local:5000/app"]
    assert any("docker archive" in note for note in run.plan.notes)
