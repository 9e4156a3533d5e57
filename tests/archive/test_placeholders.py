"""What stands in the place of a name, and is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.archive.formats.layout.leading_names import read_image_names
from app.archive.placeholders import is_name
from app.errors import InvalidRequest, MissingTag
from tests.push.given import planned
from tests.support import archives
from tests.support.archives import (
    docker_save,
    entry,
    image,
    oci_artifact,
    oci_image,
    oci_layout,
    sha256,
    tagged,
    to_json,
)
from tests.support.opening import opened

HEX = "0123456789abcdef" * 4
AT = f"@sha256:{HEX}"
PLACEHOLDERS = (
    "",
    " ",
    f"sha256:{HEX}",
    HEX,
    f"sha512:{HEX}{HEX}",
    f"docker.io/library/sha256:{HEX}",
    f"index.docker.io/library/sha256:{HEX}",
    "<none>:<none>",
    "<none>",
    "example.com/team/app:<none>",
    f"<none>{AT}",
    AT,
    f"docker.io/library/import-2024-05-06{AT}",
    f"import-2026-06-03{AT}",
    f"moby-dangling{AT}",
    f"docker.io/library/moby-dangling{AT}",
    f"untagged{AT}",
    f"overlayfs{AT}",
    f"fuse-overlayfs{AT}",
    f"docker.io/library/stargz{AT}",
    "index.docker.io/unset-repo/unset-image-name:latest",
    "docker.io/unset-repo/unset-image-name:latest",
    "unset-repo/unset-image-name",
    "unset-repo/unset-image-name:v1",
    "registry.k8s.io/etcd:i-was-a-digest",
    "i-was-a-digest",
)
NAMES = (
    "nginx",
    "nginx:1.25",
    "sha256",
    "sha256:1",
    f"team/app:{HEX}",
    f"example.com/sha256:{HEX}",
    f"app{AT}",
    f"example.com/team/app:1{AT}",
    f"example.com/team/overlayfs{AT}",
    "overlayfs:1",
    "untagged:1",
    f"untagged:1{AT}",
    "import-2024-05-06:1",
    "docker.io/library/import-2024-05-06",
    "team/unset-image-name:latest",
    "unset-repo/app:1",
    "app:was-a-digest",
    "none:none",
    "bazel/app:image",
    "ko.local/app-46c4b272b3716c422d5ff6dfc7547fa9:latest",
    "kind.local/kwok:latest",
    "localhost/app:latest",
    HEX[:63],
    f"sha256:{HEX[:63]}",
    HEX.upper(),
)
APP = image({"a": b"one"})
NODE = oci_image(APP, compression="none")


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_these_are_no_names(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize("text", NAMES)
def test_these_may_be_names(text: str) -> None:
    assert is_name(text)


def test_the_guide_lists_every_placeholder() -> None:
    guide = (Path(__file__).parents[2] / "app" / "docs" / "naming.md").read_text(encoding="utf-8")
    section = guide.partition("## Placeholders")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    written = [text.replace("…", HEX) for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(written) > 12
    assert [text for text in written if is_name(text)] == []


WRITERS: dict[str, Callable[[str], bytes]] = {
    "docker-archive": lambda text: docker_save([tagged(APP, text)]),
    "docker-archive, podman": lambda text: docker_save([tagged(APP, text)], style="podman"),
    "image.name": lambda text: oci_layout([entry(NODE, name=text)]),
    "ref.name": lambda text: oci_layout([entry(NODE, ref=text)]),
    "both": lambda text: oci_layout([entry(NODE, name=text, ref=text)]),
    "hybrid": lambda text: oci_layout([entry(NODE, name=text, ref=text)], hybrid=[tagged(APP, text)]),
    "RepoTags alone": lambda text: oci_layout([entry(NODE)], hybrid=[tagged(APP, text)]),
    "with the repository it came from": lambda text: oci_layout(
        [entry(NODE, name=text, ref=text, annotations={"containerd.io/distribution.source.field.local": "team/app"})]
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_an_image_with_nothing_else_has_no_name(text: str, writer: str) -> None:
    data = WRITERS[writer](text)
    (found,) = opened(data).images
    assert (found.names, found.bare_tags) == ((), ())
    with pytest.raises(MissingTag, match="pass `tag`") as refused:
        planned(data)
    assert not text.strip() or repr(text)[:300] in str(refused.value)
    (target,) = planned(data, tag="team/app:1").images
    assert [str(destination) for destination in target.destinations] == ["registry.local:5000/team/app:1"]


@pytest.mark.parametrize("text", [text for text in PLACEHOLDERS if text.strip()])
def test_it_can_be_renamed_and_picked(text: str) -> None:
    for writer in WRITERS.values():
        (target,) = planned(writer(text), rename=f"{text}=team/app:1").images
        assert [str(destination) for destination in target.destinations] == ["registry.local:5000/team/app:1"]
    assert planned(WRITERS["image.name"](text), tag="a/b:1", images=text.replace("[", "?")).images


@pytest.mark.parametrize("text", [f"sha256:{HEX}", "index.docker.io/unset-repo/unset-image-name:latest", "<none>"])
def test_a_rule_for_many_names_gives_it_none(text: str) -> None:
    with pytest.raises((MissingTag, InvalidRequest)):
        planned(WRITERS["image.name"](text), rename="*=mirror/*")


def test_an_id_is_met_with_and_without_its_algorithm() -> None:
    for written, asked in ((HEX, f"sha256:{HEX}"), (f"sha256:{HEX}", HEX)):
        data = WRITERS["docker-archive"](written)
        assert planned(data, rename=f"{asked}=team/app:1").images[0].destinations
        assert planned(data, images=asked, tag="a/b:1").images


def test_kaniko_s_placeholder_is_met_in_any_length() -> None:
    data = WRITERS["docker-archive"]("index.docker.io/unset-repo/unset-image-name:latest")
    assert planned(data, rename="unset-repo/unset-image-name:latest=team/app:1").images[0].destinations


def landed(data: bytes, **options: Any) -> list[list[str]]:
    images = planned(data, **options).images
    return [
        [str(destination).removeprefix("registry.local:5000/") for destination in target.destinations]
        for target in images
    ]


def test_a_proper_name_beside_it_counts_alone() -> None:
    for text in PLACEHOLDERS:
        assert landed(docker_save([tagged(APP, text, "example.com/team/app:1")])) == [["team/app:1"]]
        both = [entry(NODE, name=text), entry(NODE, name="example.com/team/app:1", ref="1")]
        assert landed(oci_layout(both)) == landed(oci_layout(both[::-1])) == [["team/app:1"]]


def test_names_that_cri_keeps_do_not_stop_the_others() -> None:
    """`ctr -n k8s.io images export` of all names."""
    config = APP.config_digest
    names = ["field.local/team/web:1.4", f"field.local/team/web@{NODE.digest}", config]
    source = {"containerd.io/distribution.source.field.local": "team/web"}
    refs = ["1.4", f"@{NODE.digest}", config]
    entries = [entry(NODE, name=name, ref=ref, annotations=source) for name, ref in zip(names, refs, strict=True)]
    data = oci_layout(entries, hybrid=[tagged(APP, *names)])
    assert landed(data) == [["team/web:1.4", "team/web"]]  # the digest that comes to be
    assert landed(data, layer_compression="none") == [["team/web:1.4", f"team/web@{NODE.digest}"]]
    assert landed(data, rename=f"{config}=other/app:1")[0][0] == "other/app:1"
    assert landed(data, images=config) == landed(data)


def test_repo_tags_name_what_index_json_has_only_an_id_for() -> None:
    data = oci_layout(
        [entry(NODE, name=APP.config_digest)], hybrid=[tagged(APP, APP.config_digest, "example.com/team/app:1")]
    )
    assert landed(data) == [["team/app:1"]]
    assert planned(data).notes == ()


def test_several_images_of_which_one_has_no_name_are_told_by_digest() -> None:
    other = oci_image(image({"b": b"two"}))
    data = oci_layout([entry(NODE, name="example.com/team/app:1"), entry(other, name=f"moby-dangling{AT}")])
    with pytest.raises(MissingTag, match=f"rename={other.digest}=REPO:TAG"):
        planned(data)
    assert landed(data, images="*/team/*") == [["team/app:1"]]


def test_a_referrer_that_has_only_an_id_stays_a_referrer() -> None:
    signature = oci_artifact(b"signature", subject=NODE)
    data = oci_layout([entry(NODE, name="example.com/team/app:1"), entry(signature, name=f"sha256:{HEX}")])
    (found,) = opened(data).images
    assert [str(referrer.digest) for referrer in found.referrers] == [signature.digest]


def test_blobs_go_early_by_proper_names_alone() -> None:
    listed = [
        {**NODE.descriptor, "annotations": {archives.IMAGE_NAME: name}}
        for name in ("example.com/team/app:1", f"sha256:{HEX}")
    ]
    assert read_image_names("index.json", to_json({"manifests": listed})) == ("example.com/team/app:1",)
    entries = [{"Config": "c", "RepoTags": ["unset-repo/unset-image-name:latest"], "Layers": []}]
    assert read_image_names("manifest.json", to_json(entries)) == ()


@pytest.mark.parametrize("tags", [None, [], [""], ["", ""], ["", "example.com/team/app:1"]])
def test_empty_repo_tags_are_none(tags: Sequence[str] | None) -> None:
    data = docker_save([replace(APP, tags=None if tags is None else tuple(tags))])
    (found,) = opened(data).images
    assert found.names == tuple(filter(None, tags or ()))
    assert sha256(APP.config) == APP.config_digest
