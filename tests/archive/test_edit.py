from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.archive import Archive, DockerImage, keep_original_manifests, pick_images, pick_platforms
from app.errors import InvalidRequest
from app.oci import Descriptor, Digest, Manifest, Platform
from tests.support import archives
from tests.support.archives import Node, entry, oci_image, oci_index, oci_layout, tagged
from tests.support.opening import opened

APPS = {
    platform: oci_image(archives.image({"app": platform.encode()}, platform=platform), platform=platform)
    for platform in ("linux/amd64", "linux/arm64/v8", "linux/arm64/v9", "windows/amd64")
}
AMD, ARM8, ARM9, WINDOWS = APPS.values()
WHOLE = oci_index(list(APPS.values()))


def platforms(*texts: str) -> tuple[Platform, ...]:
    return tuple(Platform.parse(text) for text in texts)


def cut(node: Node, *wanted: str, **more: Any) -> tuple[Archive, Manifest]:
    """A layout of `node` cut to `wanted`, and the manifest of its root."""
    archive = pick_platforms(opened(oci_layout([entry(node, ref="example.com/app:1", **more)])), platforms(*wanted))
    (image,) = archive.images
    assert isinstance(image.root, Descriptor)
    return archive, archive.manifests[image.root.digest]


def fault_of(node: Node, *wanted: str) -> str:
    """Why nothing is left of `node`."""
    (image,) = cut(node, *wanted)[0].images
    assert image.fault is not None
    assert image.fault.kind is InvalidRequest
    return image.fault.message


def children(manifest: Manifest) -> list[str]:
    return [str(child.digest) for child in manifest.manifests]


# --- pick_images -----------------------------------------------------------------------------------------------------


def library() -> Archive:
    """Three images: with two names, with a tag alone, with nothing."""
    return opened(
        oci_layout(
            [
                entry(AMD, ref="docker.io/library/nginx:1.25"),
                entry(AMD, ref="example.com/mirror/nginx:stable"),
                entry(ARM8, ref="v1"),
                entry(ARM9),
            ]
        )
    )


def called(archive: Archive) -> list[tuple[str, ...]]:
    return [image.names + image.bare_tags for image in archive.images]


@pytest.mark.parametrize(
    "glob", ["nginx:1.25", "nginx:*", "docker.io/library/nginx:1.25", "docker.io/*", "*/library/*", "n?inx:1.2[45]"]
)
def test_a_name_is_matched_in_every_form_of_it(glob: str) -> None:
    assert called(pick_images(library(), [glob])) == [("docker.io/library/nginx:1.25",)]


def test_only_the_names_that_match_stay() -> None:
    assert called(pick_images(library(), ["*stable"])) == [("example.com/mirror/nginx:stable",)]


def test_one_of_several_globs_is_enough() -> None:
    picked = pick_images(library(), ["*:stable", "v*", "nothing"])
    assert called(picked) == [("example.com/mirror/nginx:stable",), ("v1",)]


def test_an_image_without_a_name_is_matched_by_a_star_and_by_its_digest() -> None:
    assert pick_images(library(), ["*"]) == library()
    (image,) = pick_images(library(), [ARM9.digest[:30] + "*"]).images
    assert isinstance(image.root, Descriptor)
    assert str(image.root.digest) == ARM9.digest


def test_an_untagged_image_of_a_docker_archive_is_matched_by_the_digest_of_its_config() -> None:
    sample = archives.image({"a": b"1"})
    archive = opened(archives.docker_save([sample, tagged(archives.image({"b": b"1"}), "b:1")]))
    assert len(pick_images(archive, [sample.config_digest]).images) == 1


def test_a_named_image_is_not_matched_by_its_digest() -> None:
    with pytest.raises(InvalidRequest):
        pick_images(library(), [AMD.digest])


def test_an_invalid_name_is_matched_as_it_stands() -> None:
    archive = opened(oci_layout([entry(AMD, ref="UPPER/Case:1")]))
    assert pick_images(archive, ["UPPER/*"]) == archive


def test_a_pattern_in_another_case_does_not_match() -> None:
    with pytest.raises(InvalidRequest):
        pick_images(library(), ["NGINX:*"])


def test_when_nothing_matches_the_message_says_what_there_is() -> None:
    with pytest.raises(InvalidRequest) as refused:
        pick_images(library(), ["redis:*", "redis"])
    message = str(refused.value)
    assert "redis:*, redis" in message
    assert "docker.io/library/nginx:1.25, example.com/mirror/nginx:stable, v1" in message
    assert ARM9.digest in message


def test_a_long_list_of_names_is_cut() -> None:
    many = opened(archives.docker_save([tagged(archives.image(), *(f"a/b:{number}" for number in range(50)))]))
    with pytest.raises(InvalidRequest, match="40 more"):
        pick_images(many, ["c"])


def test_in_an_archive_of_nothing_nothing_matches() -> None:
    with pytest.raises(InvalidRequest, match="nothing"):
        pick_images(opened(oci_layout([])), ["*"])


def test_no_globs_pick_everything() -> None:
    assert pick_images(library(), []) == library()


# --- pick_platforms --------------------------------------------------------------------------------------------------


def test_an_index_is_cut_to_the_children_that_are_asked_for() -> None:
    archive, root = cut(WHOLE, "linux/amd64", "windows/amd64")
    assert children(root) == [AMD.digest, WINDOWS.digest]
    assert [str(platform) for platform in archive.images[0].platforms] == ["linux/amd64", "windows/amd64"]
    assert archive.images[0].names == ("example.com/app:1",)


@pytest.mark.parametrize(("wanted", "expected"), [("linux/arm64", [ARM8, ARM9]), ("linux/arm64/v9", [ARM9])])
def test_a_platform_without_a_variant_takes_every_variant(wanted: str, expected: list[Node]) -> None:
    assert children(cut(WHOLE, wanted)[1]) == [node.digest for node in expected]


def test_the_new_index_is_the_old_one_without_what_went() -> None:
    node = oci_index([AMD, ARM8], annotations={"title": "schön"}, more={"b": 1, "a": [1.5, None]})
    _, root = cut(node, "linux/amd64")
    expected = json.loads(node.raw)
    expected["manifests"] = expected["manifests"][:1]
    assert root.raw == json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()
    assert root.descriptor.media_type == archives.OCI_INDEX
    assert root.descriptor.digest == Digest.of(root.raw)
    assert root.descriptor.size == len(root.raw)


def test_a_note_tells_the_digest_before_and_after() -> None:
    archive, root = cut(WHOLE, "linux/amd64")
    note, _ = archive.notes
    assert WHOLE.digest in note
    assert str(root.descriptor.digest) in note
    assert "example.com/app:1" in note


def test_a_manifest_list_stays_a_manifest_list() -> None:
    _, root = cut(oci_index([AMD, ARM8], docker=True), "linux/arm64")
    assert root.descriptor.media_type == archives.DOCKER_LIST
    assert json.loads(root.raw)["mediaType"] == archives.DOCKER_LIST


def test_an_index_that_loses_nothing_keeps_its_bytes() -> None:
    archive = opened(oci_layout([entry(WHOLE)]))
    assert pick_platforms(archive, platforms("linux/amd64", "linux/arm64", "windows/amd64")) == archive


def test_no_platforms_pick_everything() -> None:
    archive = opened(oci_layout([entry(WHOLE)]))
    assert pick_platforms(archive, ()) is archive


def test_attestations_follow_what_they_are_about() -> None:
    notes = [archives.attestation(AMD), archives.attestation(ARM8)]
    _, root = cut(oci_index([AMD, ARM8, *notes]), "linux/arm64")
    assert children(root) == [ARM8.digest, notes[1].digest]


def test_an_attestation_of_something_elsewhere_stays() -> None:
    elsewhere = archives.attestation(WINDOWS)
    _, root = cut(oci_index([AMD, ARM8, elsewhere]), "linux/amd64")
    assert children(root) == [AMD.digest, elsewhere.digest]


def test_what_tells_no_platform_stays() -> None:
    sbom, odd = archives.oci_artifact(b"sbom"), Node(b"odd", "application/vnd.example.odd")
    archive, root = cut(oci_index([AMD, sbom, odd, ARM8]), "linux/amd64")
    assert children(root) == [AMD.digest, sbom.digest, odd.digest]
    assert Digest.parse(odd.digest) in archive.blobs


def test_a_platform_that_only_the_config_tells_is_known() -> None:
    untold = [replace(node, platform=None) for node in (AMD, ARM8)]
    assert children(cut(oci_index(untold), "linux/amd64")[1]) == [AMD.digest]


def test_nested_indexes_are_cut_too() -> None:
    inner, other = oci_index([AMD, ARM8]), oci_index([WINDOWS])
    archive, root = cut(oci_index([inner, other, inner]), "linux/amd64")
    (made, again) = root.manifests
    assert made == again
    assert made.digest not in {Digest.parse(inner.digest), Digest.parse(other.digest)}
    assert made.size == len(archive.manifests[made.digest].raw)
    assert children(archive.manifests[made.digest]) == [AMD.digest]


def test_a_nested_index_that_loses_nothing_keeps_its_bytes() -> None:
    inner = oci_index([AMD])
    assert children(cut(oci_index([inner, ARM8]), "linux/amd64")[1]) == [inner.digest]


def test_an_index_with_nothing_of_what_is_asked_for_is_refused_with_what_it_has() -> None:
    message = fault_of(WHOLE, "linux/s390x", "linux/riscv64")
    assert "linux/s390x, linux/riscv64" in message
    assert "linux/amd64, linux/arm64/v8, linux/arm64/v9, windows/amd64" in message


def test_an_index_that_tells_no_platforms_is_refused() -> None:
    assert "no known platform" in fault_of(oci_index([archives.oci_artifact(b"x")]), "linux/amd64")


@pytest.mark.parametrize("docker", [False, True])
def test_an_image_outside_of_an_index_stays_and_a_note_says_so(docker: bool) -> None:
    sample = tagged(archives.image({"a": b"1"}, platform="linux/arm64"), "a:1")
    data = archives.docker_save([sample]) if docker else oci_layout([entry(oci_image(sample), ref="a:1")])
    archive = opened(data)
    assert pick_platforms(archive, platforms("linux/arm64")) == archive
    picked = pick_platforms(archive, platforms("linux/amd64"))
    assert picked.images == archive.images
    assert "a:1 is an image for linux/arm64" in picked.notes[0]


def test_an_artifact_stays_without_a_note() -> None:
    archive = opened(oci_layout([entry(archives.oci_artifact(b"x"), ref="a:1")]))
    assert pick_platforms(archive, platforms("linux/amd64")) == archive


def test_referrers_of_what_was_cut_away_are_left_out() -> None:
    index = oci_index([AMD, ARM8])
    kept = oci_index([archives.oci_artifact(b"sbom")], subject=archives.descriptor(AMD.media_type, AMD.raw))
    signed = archives.oci_artifact(b"signature of the sbom", subject=kept)
    gone = [archives.oci_artifact(b"whole", subject=index), archives.oci_artifact(b"arm", subject=ARM8)]
    data = oci_layout([entry(index, ref="a/b:1"), *map(entry, [kept, signed, *gone])])
    whole = opened(data)
    assert len(whole.images[0].referrers) == 4
    archive = pick_platforms(whole, platforms("linux/amd64"))
    (image,) = archive.images
    assert [str(referrer.digest) for referrer in image.referrers] == [kept.digest, signed.digest]
    assert any("2 referrers" in note for note in archive.notes)


def test_two_images_over_one_index_are_cut_alike() -> None:
    outer = oci_index([WHOLE, AMD])
    data = oci_layout([entry(WHOLE, ref="a/b:1"), entry(outer, ref="a/b:2")])
    archive = pick_platforms(opened(data), platforms("linux/amd64"))
    first, second = archive.images
    assert isinstance(first.root, Descriptor)
    assert isinstance(second.root, Descriptor)
    assert archive.manifests[second.root.digest].manifests[0].digest == first.root.digest


# --- keep_originals --------------------------------------------------------------------------------------------------


def test_originals_are_kept_where_there_are_any() -> None:
    sample = tagged(archives.image({"a": b"1"}), "a/b:1")
    node = oci_image(sample, compression="none")
    archive = opened(oci_layout([entry(node, ref="a/b:1"), entry(WHOLE)], hybrid=[sample]))
    assert isinstance(archive.images[0].root, DockerImage)
    first, second = keep_original_manifests(archive).images
    assert isinstance(first.root, Descriptor)
    assert str(first.root.digest) == node.digest
    assert first.original is None
    assert first.names == ("a/b:1",)
    assert second == archive.images[1]
