"""Artifacts of KubeKey 4, as their writer's source has them."""

from __future__ import annotations

import pytest

from app.errors import TruncatedArchive
from app.push import Destination, PushOptions
from app.push.plan.planning import draft_plan
from tests.support.archives import Member, image, oci_image, oci_index, tar
from tests.support.mirrors import kubekey
from tests.support.opening import opened, read

ONE = oci_image(image({"a": b"1"}))
ARM = image({"c": b"3"}, platform="linux/arm64")
MULTI = oci_index([oci_image(image({"b": b"2"}), platform="linux/amd64"), oci_image(ARM, platform="linux/arm64")])
STORED = {"registry-1.docker.io/library/nginx": {"1.25": ONE, "latest": ONE}, "quay.io/team/app": {"v1": MULTI}}


@pytest.mark.parametrize("directory", ["", "kubekey/images/", "a/b/"])
def test_every_tag_lands_under_its_name(directory: str) -> None:
    archive = opened(tar([*kubekey(STORED, directory=directory), Member("kubekey/kubectl", b"program")]))
    assert (archive.format, archive.producer) == ("kubekey", "KubeKey 4")
    assert [entry.names for entry in archive.images] == [
        ("docker.io/library/nginx:1.25", "docker.io/library/nginx:latest"),
        ("quay.io/team/app:v1",),
    ]
    assert [str(platform) for platform in archive.images[1].platforms] == ["linux/amd64", "linux/arm64"]
    assert not any("no pushed image" in note for note in archive.notes)


def test_what_has_no_tag_is_known_by_its_digest() -> None:
    archive = opened(tar(kubekey({"quay.io/team/app": {}}, untagged={"quay.io/team/app": [MULTI]})))
    assert [entry.names for entry in archive.images] == [(f"quay.io/team/app@{MULTI.digest}",)]


def test_a_tag_whose_manifest_is_missing_is_named() -> None:
    members = [member for member in kubekey(STORED) if not member.name.endswith(MULTI.digest)]
    plan = draft_plan([read(tar(members))], PushOptions(), Destination("default", "registry.test"))
    assert [problem.code for problem in plan.refused.values()] == ["missing_content"]
    assert "team/app:v1" in next(iter(plan.refused.values())).detail


def test_one_that_was_cut_off_is_truncated() -> None:
    data = tar(kubekey(STORED))
    with pytest.raises(TruncatedArchive):
        opened(data[: len(data.rstrip(b"\0")) // 512 * 512])
