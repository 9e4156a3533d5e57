"""`rename` with a `*` at the end of both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import DestinationConflict, InvalidReference, InvalidRequest, LimitExceeded
from app.push import PushOptions, make_plan
from app.push.plan.renames import RenameRules
from tests.push.given import LOCAL, opened, planned
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, tagged

NODE = oci_image(image({"a": b"1"}))
OTHER = oci_image(image({"a": b"2"}))


def moved(names: list[str], *renames: str) -> list[str]:
    """What the names of one image become, without the registry."""
    tar = docker_save([tagged(image({"a": b"1"}), *names)])
    (target,) = planned(tar, rename=list(renames)).images
    return [str(destination).removeprefix("registry.local:5000/") for destination in target.destinations]


@pytest.mark.parametrize(
    ("name", "rename", "wanted"),
    [
        ("quay.io/foo/app:1", "quay.io/foo/*=mirror/foo/*", "mirror/foo/app:1"),
        ("quay.io/foo/a/b:1", "quay.io/*=mirror/*", "mirror/foo/a/b:1"),
        ("quay.io/foo/app:1", "foo/*=bar/*", "bar/app:1"),
        ("quay.io/foo/app:1", "*=mirror/*", "mirror/foo/app:1"),
        ("localhost:5000/app:1", "*=mirror/*", "mirror/app:1"),
        ("nginx:1.25", "docker.io/*=hub/*", "hub/library/nginx:1.25"),
        ("nginx:1.25", "*=*", "library/nginx:1.25"),
        ("nginx:1.25", "library/*=base/*", "base/nginx:1.25"),
        ("nginx:1.25", "nginx*=web/nginx*", "web/nginx:1.25"),
        ("nginx:1.25", "nginx:*=web/nginx:v*", "web/nginx:v1.25"),
        ("nginx", "nginx:*=web/nginx:*", "web/nginx:latest"),
        ("quay.io/Foo/app:1", "quay.io/Foo/*=foo/*", "foo/app:1"),
    ],
)
def test_what_the_star_stands_for_is_put_in_again(name: str, rename: str, wanted: str) -> None:
    assert moved([name], rename) == [wanted]


def test_a_whole_name_goes_before_a_move_and_the_longest_start_before_the_others() -> None:
    names = ["quay.io/foo/app:1", "quay.io/foo/app:2", "quay.io/bar/app:3"]
    renames = ["quay.io/*=short/*", "quay.io/foo/*=long/*", "quay.io/foo/app:1=whole:1"]
    assert moved(names, *renames) == ["whole:1", "long/app:2", "short/bar/app:3"]


def test_a_move_that_takes_the_whole_name_away_moves_nothing() -> None:
    with pytest.raises(InvalidRequest, match="matches no image"):
        moved(["quay.io/foo:1"], "quay.io/foo:1*=x:*")


def test_a_name_with_a_digest_keeps_it() -> None:
    tar = oci_layout([entry(NODE, ref=f"quay.io/foo/app@{NODE.digest}")])
    (target,) = planned(tar, rename=["quay.io/foo/*=mirror/*"]).images
    assert [str(destination) for destination in target.destinations] == [
        f"registry.local:5000/mirror/app@{NODE.digest}"
    ]


def test_tags_alone_are_moved_to_a_repository() -> None:
    tar = oci_layout([entry(NODE, ref="v1"), entry(OTHER, ref="v2")])
    found = [str(each) for target in planned(tar, rename=["*=team/app:*"]).images for each in target.destinations]
    assert found == ["registry.local:5000/team/app:v1", "registry.local:5000/team/app:v2"]
    with pytest.raises(InvalidRequest, match="matches no image"):
        planned(oci_layout([entry(NODE, ref="v1"), entry(OTHER, ref="a/b:1")]), rename=["v*=team/*", "v1=x:1"])


def test_two_images_that_are_moved_together_clash() -> None:
    tar = oci_layout([entry(NODE, ref="quay.io/foo/app:1"), entry(OTHER, ref="ghcr.io/foo/app:1")])
    with pytest.raises(DestinationConflict):
        planned(tar, rename=["*=mirror/*"])


@pytest.mark.parametrize("rename", ["a/*=b:1", "a:1=b/*", "*/a=*/b", "a/**=b/*", "a/*=*/b", "a/*/*=b/*"])
def test_a_star_elsewhere_is_refused(rename: str) -> None:
    with pytest.raises(InvalidRequest, match="option `rename`"):
        PushOptions.parse({"rename": [rename]})


@pytest.mark.parametrize("rename", ["a/*=UPPER/*", "a/*=b//*", "a/*=b:-*"])
def test_a_move_to_what_is_no_name_is_refused(rename: str) -> None:
    with pytest.raises(InvalidReference, match="option `rename`"):
        PushOptions.parse({"rename": [rename]})


@pytest.mark.parametrize(
    ("rename", "wanted"),
    [([], "team/app:1"), (["team/*=mirror/*"], "mirror/app:1"), (["team/app:1=x:1"], "x:1")],
)
def test_the_path_of_a_registrys_storage_is_moved_as_it_stands(rename: list[str], wanted: str) -> None:
    archive = opened(oci_layout([entry(NODE)]))
    stored = replace(archive, images=(replace(archive.images[0], paths=("team/app:1",)),))
    (target,) = make_plan([stored], PushOptions.parse({"rename": rename}), LOCAL).images
    assert [str(destination) for destination in target.destinations] == [f"registry.local:5000/{wanted}"]


def test_moves_of_all_names_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.push.plan.renames.MAX_COMPARED", 30)
    renames = RenameRules([(f"start{number}*", "team/*") for number in range(10)])
    for name in ("a:1", "b:1", "c:1"):
        assert renames.of(name) == ()
    with pytest.raises(LimitExceeded):
        renames.of("d:1")
