from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, SizeMismatch
from app.oci import (
    MAX_MANIFEST_BYTES,
    Descriptor,
    Digest,
    Manifest,
    media_type_of,
    media_types,
    new_manifest,
    parse_manifest,
)
from app.oci.manifest import MAX_REFERENCES


def entry(content: bytes = b"content", media_type: str = media_types.OCI_LAYER) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


CONFIG = entry(b"{}", media_types.OCI_CONFIG)


def image(**members: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": [entry()]} | members).encode()


def index(**members: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": [entry(b"m", media_types.OCI_MANIFEST)]} | members).encode()


def read(raw: bytes, media_type: str = media_types.OCI_MANIFEST) -> Manifest:
    return new_manifest(raw, media_type)


@pytest.mark.parametrize("media_type", sorted(media_types.MANIFESTS))
def test_an_image_manifest_gives_config_and_layers_in_order(media_type: str) -> None:
    manifest = read(image(layers=[entry(b"1"), entry(b"2"), entry(b"1")]), media_type)
    assert not manifest.is_index
    assert media_types.is_manifest(media_type)
    assert [blob.digest for blob in manifest.blobs] == [Digest.of(raw) for raw in (b"{}", b"1", b"2", b"1")]
    assert manifest.manifests == ()


@pytest.mark.parametrize("media_type", sorted(media_types.INDEXES))
def test_an_index_gives_its_children(media_type: str) -> None:
    manifest = read(index(), media_type)
    assert manifest.is_index
    assert media_types.is_manifest(media_type)
    assert list(manifest.blobs) == []
    assert [child.digest for child in manifest.manifests] == [Digest.of(b"m")]


def test_the_bytes_are_kept_as_they_stand() -> None:
    raw = b"\n " + image() + b"\n"
    manifest = read(raw)
    assert manifest.raw == raw
    assert manifest.descriptor == Descriptor(media_types.OCI_MANIFEST, Digest.of(raw), len(raw))


def test_subject_and_annotations_are_read() -> None:
    manifest = read(image(subject=entry(b"s", media_types.OCI_MANIFEST), annotations={"a": "b"}))
    assert manifest.subject is not None
    assert manifest.subject.digest == Digest.of(b"s")
    assert manifest.annotations == {"a": "b"}


def test_a_list_that_go_wrote_as_null_is_empty() -> None:
    assert read(index(manifests=None), media_types.OCI_INDEX).manifests == ()
    assert read(image(layers=None)).layers == ()


def test_one_flipped_bit_is_a_digest_mismatch() -> None:
    raw = image()
    descriptor = Descriptor(media_types.OCI_MANIFEST, Digest.of(raw), len(raw))
    with pytest.raises(DigestMismatch, match="sha256"):
        parse_manifest(raw[:-1] + b" ", descriptor)


@pytest.mark.parametrize("more", [-1, 1])
def test_another_length_is_a_size_mismatch(more: int) -> None:
    raw = image()
    with pytest.raises(SizeMismatch, match=f"{len(raw)} bytes.*{len(raw) + more}"):
        parse_manifest(raw, Descriptor(media_types.OCI_MANIFEST, Digest.of(raw), len(raw) + more))


def test_a_manifest_above_the_size_that_registries_take_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        read(image() + b" " * MAX_MANIFEST_BYTES)


def test_a_manifest_that_calls_itself_something_else_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        read(image(mediaType=media_types.DOCKER_MANIFEST))
    assert read(image(mediaType=media_types.OCI_MANIFEST)).layers


@pytest.mark.parametrize("more", [{"layers": []}, {"config": CONFIG}])
@pytest.mark.parametrize("media_type", [media_types.OCI_INDEX, media_types.OCI_MANIFEST])
def test_a_document_that_is_an_index_and_an_image_is_refused(more: dict[str, Any], media_type: str) -> None:
    with pytest.raises(MalformedArchive):
        read(index(**more), media_type)


def test_a_document_of_another_shape_than_its_media_type_is_refused() -> None:
    with pytest.raises(MalformedArchive, match="media type"):
        read(image(), media_types.OCI_INDEX)
    with pytest.raises(MalformedArchive, match="media type"):
        read(index(), media_types.OCI_MANIFEST)


def test_an_image_manifest_without_config_is_refused() -> None:
    with pytest.raises(MalformedArchive, match="config"):
        read(image(config=None))


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"7", b"null"])
def test_what_is_no_object_is_no_manifest(raw: bytes) -> None:
    with pytest.raises(MalformedArchive):
        read(raw)


def test_layers_that_are_no_list_are_refused() -> None:
    with pytest.raises(MalformedArchive):
        read(image(layers={"0": entry()}))


def test_a_broken_layer_is_named_by_its_number() -> None:
    with pytest.raises(MalformedArchive, match=r"layer 2.*sha256"):
        read(image(layers=[entry(), {"mediaType": "x"}]))


def test_more_descriptors_than_any_honest_image_has_are_refused() -> None:
    raw = b'{"schemaVersion":2,"manifests":[' + b",".join([b"0"] * (MAX_REFERENCES + 1)) + b"]}"
    with pytest.raises(LimitExceeded, match="20000 descriptors"):
        read(raw, media_types.OCI_INDEX)


def test_a_second_list_of_layers_in_other_letters_is_refused() -> None:
    with pytest.raises(MalformedArchive, match=r"'Layers'.*'layers'"):
        read(image(Layers=[]))


@pytest.mark.parametrize(
    ("members", "media_type"),
    [
        ({"mediaType": "a/b"}, "a/b"),
        ({"mediaType": 7, "manifests": []}, media_types.OCI_INDEX),
        ({"manifests": []}, media_types.OCI_INDEX),
        ({"config": {}}, media_types.OCI_MANIFEST),
    ],
)
def test_a_manifest_without_media_type_is_told_by_its_shape(members: dict[str, Any], media_type: str) -> None:
    assert media_type_of(members) == media_type
