"""Every archive by a real tool is understood as an independent reader understood it (tests/data/corpus/facts.json)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.archive import Archive, DockerImage, ImageEntry
from app.errors import TarmacError
from tests.support.opening import Memory, opened, taken_in

CORPUS = Path(__file__).parents[2] / "data" / "corpus"
FACTS: dict[str, dict[str, Any]] = {
    entry["file"]: entry["facts"] for entry in json.loads((CORPUS / "facts.json").read_text())
}
REFUSED = {
    "bad-bomb.tar.gz": "limit_exceeded",
    "bad-diffid.tar": "digest_mismatch",  # its config was changed and still has its old name
    "bad-missing-blob.tar": "missing_content",
    "bad-random.bin": "unknown_format",
    "bad-symlink-escape.tar": "malformed_archive",
    "bad-truncated.tar": "truncated_archive",
    "d20-export-rootfs.tar": "unknown_format",
    "outer-gz-truncated.tar.gz": "truncated_archive",
}
ELSEWHERE = {"imgpkg-image.tar", "other-helm-chart.tgz"}  # held to account in test_imgpkg and test_helm_chart
ACCEPTED = sorted(FACTS.keys() - REFUSED.keys() - ELSEWHERE)
BUNDLES = [file for file in ACCEPTED if FACTS[file]["formats"] == ["mindthegap"]]
DOCKER = [file for file in ACCEPTED if FACTS[file]["docker"] and not FACTS[file]["oci"]]
OCI = [file for file in ACCEPTED if FACTS[file]["oci"]]


def read(file: str) -> bytes:
    return (CORPUS / file).read_bytes()


def walk(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in listed:
        yield item
        yield from walk(item.get("manifests", []))


def root_digest(image: ImageEntry) -> str:
    root = image.original if isinstance(image.root, DockerImage) else image.root
    assert root is not None
    return str(root.digest)


@pytest.mark.parametrize("file", sorted(REFUSED))
def test_what_cannot_be_read_is_refused_with_its_code(file: str) -> None:
    with pytest.raises(TarmacError) as refused:
        opened(read(file))
    assert refused.value.code == REFUSED[file]


@pytest.mark.parametrize("file", DOCKER)
def test_a_docker_archive_has_the_images_names_and_layers_that_it_has(file: str) -> None:
    archive = opened(read(file))
    merged: dict[str, dict[str, Any]] = {}
    for fact in FACTS[file]["docker_images"]:
        kept = merged.setdefault(fact["config"], {**fact, "tags": []})
        kept["tags"] += [tag for tag in fact["tags"] or [] if tag not in kept["tags"]]
    assert archive.format == "docker-archive"
    assert len(archive.images) == len(merged)
    for image, fact in zip(archive.images, merged.values(), strict=True):
        assert isinstance(image.root, DockerImage)
        assert list(image.names) == fact["tags"]
        assert str(image.root.config.digest) == fact["config"]
        assert [str(layer.diff_id) for layer in image.root.layers] == fact["diff_ids"]
        assert [layer.compression.replace("none", "tar") for layer in image.root.layers] == fact["layers"]
        assert [str(platform) for platform in image.platforms] == [fact["arch"]]
        assert image.root.config.digest in archive.blobs


@pytest.mark.parametrize("file", OCI)
def test_an_image_layout_has_the_images_and_names_that_it_has(file: str) -> None:
    archive = opened(read(file))
    expected: dict[str, tuple[list[str], list[str]]] = {}
    for fact in FACTS[file]["oci_index"]:
        if "subject" not in fact:
            names, tags = expected.setdefault(fact["digest"], ([], []))
            ref = fact.get("ref") or ""
            names += [fact["ctrd"]] if "ctrd" in fact else [ref] if any(char in ref for char in ":/@") else []
            tags += [] if "ctrd" in fact or any(char in ref for char in ":/@") or not ref else [ref]
    found = {root_digest(image): (list(image.names), list(image.bare_tags)) for image in archive.images}
    assert archive.format == "oci-archive"
    assert found == expected


@pytest.mark.parametrize("file", OCI)
def test_an_image_layout_has_every_manifest_and_every_blob_that_it_has(file: str) -> None:
    archive = opened(read(file))
    facts = {fact["digest"]: fact for fact in walk(FACTS[file]["oci_index"])}
    manifests = {str(digest): manifest for digest, manifest in archive.manifests.items()}
    assert manifests.keys() == facts.keys()
    for digest, manifest in manifests.items():
        assert manifest.descriptor.media_type == facts[digest]["mediaType"]
        assert (str(manifest.config.digest) if manifest.config else None) == facts[digest].get("config")
        assert len(manifest.layers) == len(facts[digest].get("layers", []))
        assert all(blob.digest in archive.blobs for blob in manifest.blobs)


@pytest.mark.parametrize("file", [file for file in OCI if FACTS[file]["docker"]])
def test_an_image_of_docker_25_with_plain_layers_is_read_the_docker_way(file: str) -> None:
    archive = opened(read(file))
    by_config = {fact["config"]: fact for fact in FACTS[file]["docker_images"]}
    for image, listed in zip(archive.images, distinct(FACTS[file]["oci_index"]), strict=True):
        plain = "layers" in listed and set(listed["layers"]) == {"tar"}
        assert isinstance(image.root, DockerImage) is plain
        if isinstance(image.root, DockerImage):
            fact = by_config[str(image.root.config.digest)]
            assert [str(layer.diff_id) for layer in image.root.layers] == fact["diff_ids"]


def distinct(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({item["digest"]: item for item in listed}.values())


@pytest.mark.parametrize("file", ["oci-referrer.tar", "oras-backup-referrers.tar"])
def test_an_untagged_referrer_belongs_to_its_subject(file: str) -> None:
    (image,) = opened(read(file)).images
    (fact,) = [fact for fact in FACTS[file]["oci_index"] if "subject" in fact]
    assert [str(referrer.digest) for referrer in image.referrers] == [fact["digest"]]


@pytest.mark.parametrize("file", BUNDLES)
def test_a_bundle_of_mindthegap_has_the_images_that_its_maker_was_told_to_put_in(file: str) -> None:
    archive = opened(read(file))
    assert archive.format == "mindthegap-bundle"
    assert [image.names for image in archive.images] == [
        ("127.0.0.1:5559/bench/app:1.0",),
        ("127.0.0.1:5559/bench/app:2.0",),
        ("127.0.0.1:5559/bench/multi:1",),
    ]
    assert [[str(platform) for platform in image.platforms] for image in archive.images] == [["linux/amd64"]] * 3
    assert archive.notes == ()


@pytest.mark.parametrize("file", BUNDLES)
def test_every_blob_of_a_bundle_has_the_digest_it_is_stored_under(file: str) -> None:
    stored = contents_of(file)
    assert stored
    assert all(f"sha256:{hashlib.sha256(data).hexdigest()}" == digest for digest, data in stored.items())


@pytest.mark.parametrize("file", sorted(file for file in FACTS if file.startswith(("outer-d", "outer-mindthegap"))))
def test_an_outer_compression_changes_nothing(file: str) -> None:
    plain = file.removeprefix("outer-").rpartition(".")[0]
    assert opened(read(file)) == opened(read(plain))


@pytest.mark.parametrize("file", ["odd-dotslash.tar", "odd-index-last.tar", "odd-pax.tar", "odd-symlink-blob.tar"])
def test_odd_but_honest_layouts_mean_what_their_plain_form_means(file: str) -> None:
    assert contents_of(file) == contents_of("skopeo193-oci-archive.tar")


def contents_of(file: str) -> dict[str, bytes]:
    """Every blob by digest, so that the place in the tar does not matter."""
    index, source = taken_in(read(file))
    archive: Archive = opened(read(file))
    assert isinstance(source, Memory)
    assert index.size == len(source.data)
    return {str(digest): source.read_at(extent.offset, extent.size) for digest, extent in archive.blobs.items()}


def test_where_manifest_json_names_another_tag_the_index_counts_and_a_note_says_so() -> None:
    archive = opened(read("odd-hybrid-disagree.tar"))
    assert [image.names for image in archive.images] == [("bench.local/tiny/app:1.0",)]
    assert any("bench.local/other/name:9" in note for note in archive.notes)


def test_every_file_of_the_corpus_is_expected_to_be_something() -> None:
    assert {path.name for path in CORPUS.iterdir()} - FACTS.keys() <= {"facts.json", "INDEX.md", "README.md"}
