"""What each program that writes archives calls its images, and where these go; a case for every program.

The archives are those that the programs made, or are built as their code writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import MissingTag
from app.push import PushOptions, make_plan
from tests.push.given import LOCAL
from tests.support import archives
from tests.support.archives import docker_save, entry, oci_image, oci_index, oci_layout, tagged
from tests.support.opening import opened

CORPUS = Path(__file__).parents[2] / "data" / "corpus"
APP = archives.image({"bin/app": b"one"})
AMD = oci_image(APP, platform="linux/amd64")
ARM = oci_image(archives.image({"bin/app": b"arm"}, platform="linux/arm64"), platform="linux/arm64")
PLAIN = oci_image(APP, compression="none")
MULTI = ("tiny/app:1.0 tiny/app:stable library/tiny-short:latest team/app:p1", "tiny/app:2.0", "tiny/dup:1")


@dataclass(frozen=True, slots=True)
class Row:
    """`archive`: bytes, or a file of the corpus. `landed`: per image its destinations, none where `tag` is needed;
    `tags` are then the tags alone that it has."""

    producer: str
    archive: bytes | str
    landed: Sequence[str] = ()
    tags: Sequence[tuple[str, ...]] = ((),)


def hybrid(repo_tag: str, name: str) -> bytes:
    """docker save of 25 and newer: RepoTags short, ref.name the tag alone, the full name beside it."""
    tag = name.rpartition(":")[2]
    return oci_layout([entry(PLAIN, ref=tag, name=name)], hybrid=[tagged(APP, repo_tag)], index_last=True)


ROWS = (
    Row(
        "docker >= 25, short name",
        hybrid("alpine:latest", "docker.io/library/alpine:latest"),
        ["library/alpine:latest"],
    ),
    Row("docker >= 25, full name", hybrid("quay.io/a/b:v1", "quay.io/a/b:v1"), ["a/b:v1"]),
    Row("docker >= 25, graph driver", "d29g-save-one.tar", ["tiny/app:1.0"]),
    Row("docker >= 25, several names", "d29g-save-multi.tar", MULTI),
    Row("docker >= 25, containerd store", "d29c-save-one.tar", ["tiny/app:1.0"]),
    Row("docker >= 25, containerd store, index", "d29c-save-multiarch.tar", ["bk/multi:1"]),
    Row("docker >= 25, containerd store, attested", "d29c-save-provenance.tar", ["bk/prov:1"]),
    Row("docker >= 25, by id", "d29c-save-id.tar"),
    Row(
        "docker >= 25, by id, two images",
        docker_save([APP, archives.image({"b": b"2"})], style="docker25"),
        tags=((), ()),
    ),
    Row("docker <= 24", "d20-save-one.tar", ["tiny/app:1.0"]),
    Row("docker <= 24, short name", docker_save([tagged(APP, "alpine:3.19")]), ["library/alpine:3.19"]),
    Row("docker <= 24, several names", "d20-save-multi.tar", MULTI),
    Row("docker <= 24, repeated layer", "d20-save-dup.tar", ["tiny/dup:1"]),
    Row("docker <= 24, by id", "d20-save-id.tar"),
    Row("docker, RepoTags null", "docker-null-tags.tar"),
    Row("nerdctl save", hybrid("nginx:1.25", "docker.io/library/nginx:1.25"), ["library/nginx:1.25"]),
    Row("ctr export", "ctr-export.tar", ["tiny/app:1.0"]),
    Row("ctr export, all platforms", "ctr-export-all.tar", ["bk/multi:1"]),
    Row("ctr export --skip-manifest-json", oci_layout([entry(AMD, ref="1", name="ghcr.io/a/b:1")]), ["a/b:1"]),
    Row("buildx type=oci", "buildx-oci.tar", ["bk/app:oci"]),
    Row("buildx type=oci, index", "buildx-oci-multi.tar", ["bk/multi:oci"]),
    Row("buildx type=oci, no name", "buildx-oci-noname.tar"),
    Row("buildx type=docker", "buildx-docker.tar", ["bk/app:dk"]),
    Row("BuildKit type=oci, a tag alone", oci_layout([entry(AMD, ref="v1")]), tags=[("v1",)]),
    Row("podman docker-archive", "podman-docker-archive.tar", ["bah/app:docker"]),
    Row(
        "podman docker-archive, Docker Hub",
        docker_save([tagged(APP, "docker.io/library/alpine:3.19")], style="podman"),
        ["library/alpine:3.19"],
    ),
    Row(
        "podman docker-archive, several",
        "podman-docker-archive-multi.tar",
        ["bah/app:docker bah/app:two", "bah/app:oci"],
    ),
    Row("podman docker-archive, by id", "podman-docker-archive-id.tar"),
    Row("skopeo docker-archive", "skopeo193-docker-archive.tar", ["sk/app:1.0"]),
    Row(
        "skopeo docker-archive, tags added", "skopeo1222-docker-archive-addtags.tar", ["sk/app:a sk/app:b other/app:c"]
    ),
    Row("podman oci-archive", "podman-oci-archive.tar", ["bah/app:oci"]),
    Row("buildah oci-archive", "buildah-oci-archive.tar", ["bah/app:oci"]),
    Row("skopeo oci-archive, full name", "skopeo193-oci-archive.tar", ["sk/oci:1"]),
    Row("skopeo oci-archive, a tag alone", "skopeo193-oci-archive-tag.tar", tags=[("1",)]),
    Row("skopeo oci-archive, nothing", "skopeo1222-oci-archive-noref.tar"),
    Row("skopeo oci, several", "skopeo1222-oci-layout-3refs.tar", ["l/a:1", "l/b:1", "l/c:1"]),
    Row("crane tarball", "crane-tarball.tar", ["bench/app:1.0"]),
    Row("crane tarball, several", "crane-tarball-multi.tar", ["bench/app:1.0", "bench/app:2.0"]),
    Row("crane legacy", "crane-legacy.tar", ["bench/app:1.0"]),
    Row("crane oci", "crane-oci.tar"),
    Row("crane oci, index", "crane-oci-index.tar"),
    Row("crane oci --annotate-ref", oci_layout([entry(AMD, ref="quay.io/a/b:1")]), ["a/b:1"]),
    Row("umoci", "umoci-oci.tar", tags=[("v1",), ("v2",)]),
    Row("oras backup", "oras-backup-referrers.tar", tags=[("1",)]),
    Row("oras layout", "oras-artifact-layout.tar", tags=[("v1",)]),
    Row(
        "oras backup, children listed",
        oci_layout([entry(oci_index([AMD, ARM]), ref="1"), entry(AMD), entry(ARM)]),
        tags=[("1",)],
    ),
    Row("regctl export", "regctl-export.tar", ["bench/oci:1"]),
    Row("regctl export, docker types", "regctl-export-docker.tar", ["bench/app:1.0"]),
    Row("regctl export, index", "regctl-export-index.tar", ["bench/multi:1"]),
    Row("regctl ocidir", oci_layout([entry(AMD, ref="v1")]), tags=[("v1",)]),
    Row("imgpkg --to-tar", "imgpkg-image.tar", ["bench/oci:1"]),
    Row("mindthegap", "mindthegap-bundle.tar", ["bench/app:1.0", "bench/app:2.0", "bench/multi:1"]),
    *(
        Row(f"wrapped in {name}", docker_save([tagged(APP, "alpine:3")], outer=name), ["library/alpine:3"])
        for name in ("gzip", "zstd", "xz", "bzip2")
    ),
)
# Each row of what was seen of the programs, by the beginning of the names of its cases. skopeo's dir: has no list of
# images and is refused with a hint (tests/archive/formats/test_detection.py).
SEEN = (
    "docker >= 25, short name",
    "docker >= 25, full name",
    "docker >= 25, graph driver",
    "docker >= 25, containerd store",
    "docker >= 25, by id",
    "docker <= 24",
    "docker <= 24, repeated layer",
    "nerdctl save",
    "ctr export",
    "buildx type=oci",
    "buildx type=docker",
    "BuildKit type=oci",
    "podman docker-archive",
    "skopeo docker-archive",
    "podman oci-archive",
    "buildah oci-archive",
    "skopeo oci-archive, full name",
    "skopeo oci-archive, a tag alone",
    "skopeo oci-archive, nothing",
    "crane tarball",
    "crane legacy",
    "crane oci",
    "umoci",
    "oras",
    "regctl export",
    "regctl ocidir",
    "imgpkg",
    "mindthegap",
    "wrapped in gzip",
    "wrapped in zstd",
    "wrapped in xz",
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.producer)
def test_what_a_program_calls_its_images_is_where_they_go(row: Row) -> None:
    data = (CORPUS / row.archive).read_bytes() if isinstance(row.archive, str) else row.archive
    archive = opened(data)
    if row.landed:
        images = make_plan([archive], PushOptions(), LOCAL).images
        found = [
            [str(destination).removeprefix("registry.local:5000/") for destination in image.destinations]
            for image in images
        ]
        assert found == [landed.split() for landed in row.landed]
        return
    assert [(image.names, image.paths, image.bare_tags) for image in archive.images] == [((), (), t) for t in row.tags]
    with pytest.raises(MissingTag) as refused:
        make_plan([archive], PushOptions(), LOCAL)
    assert ("`tag`" if len(row.tags) == 1 else "`rename`") in str(refused.value)
    assert all(f"{tag!r}" in str(refused.value) for tags in row.tags for tag in tags)


def test_no_row_of_what_was_seen_is_without_a_case() -> None:
    names = [row.producer for row in ROWS]
    assert len(set(names)) == len(names)
    assert [seen for seen in SEEN if not any(name.startswith(seen) for name in names)] == []


def test_what_needs_a_name_lands_once_it_is_given_one() -> None:
    nameless = [row for row in ROWS if not row.landed and len(row.tags) == 1]
    assert len(nameless) > 10
    for row in nameless:
        data = (CORPUS / row.archive).read_bytes() if isinstance(row.archive, str) else row.archive
        (image,) = make_plan([opened(data)], PushOptions(tag="team/app:1"), LOCAL).images
        assert [str(destination) for destination in image.destinations] == ["registry.local:5000/team/app:1"], (
            row.producer
        )
