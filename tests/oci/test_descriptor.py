from __future__ import annotations

import base64
from typing import Any

import pytest

from app.errors import DigestMismatch, InvalidRequest, MalformedArchive
from app.oci import Descriptor, Digest, Platform

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DIGEST = Digest.of(b"content")


def members(**changes: Any) -> dict[str, Any]:
    return {"mediaType": LAYER, "digest": str(DIGEST), "size": 7} | changes


def parse(**changes: Any) -> Descriptor:
    return Descriptor.parse(members(**changes), "layer 1")


def test_a_descriptor_needs_media_type_digest_and_size_alone() -> None:
    assert parse() == Descriptor(LAYER, DIGEST, 7)
    assert parse().annotations == {}


def test_every_member_is_read_as_it_stands() -> None:
    descriptor = parse(
        platform={"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"},
        annotations={"a": "b"},
        urls=["https://example.com/x"],
        artifactType="application/vnd.example",
        data=base64.b64encode(b"content").decode(),
        unknown={"is": "left alone"},
    )
    assert descriptor.platform == Platform("linux", "arm64", "v8")
    assert descriptor.annotations == {"a": "b"}
    assert descriptor.urls == ("https://example.com/x",)
    assert descriptor.artifact_type == "application/vnd.example"
    assert descriptor.data == b"content"


def test_a_descriptor_is_a_key_and_cannot_be_changed() -> None:
    descriptor = parse(annotations={"a": "b"})
    assert {descriptor: 1}[parse(annotations={"a": "b"})] == 1
    with pytest.raises(TypeError):
        descriptor.annotations["a"] = "c"  # type: ignore[index]


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_object_is_no_descriptor(value: object) -> None:
    with pytest.raises(MalformedArchive, match="layer 1"):
        Descriptor.parse(value, "layer 1")


@pytest.mark.parametrize("size", [None, -1, 2**63, 10**19, 7.0, "7", True, [], {}])
def test_a_size_that_is_no_count_of_bytes_is_refused(size: object) -> None:
    with pytest.raises(MalformedArchive, match="layer 1"):
        parse(size=size)


@pytest.mark.parametrize("size", [0, 2**63 - 1])
def test_the_smallest_and_the_largest_size_are_taken(size: int) -> None:
    assert parse(size=size).size == size


@pytest.mark.parametrize(
    "media_type",
    [None, "", "tar", "/", "a/", "/b", "a/b/c", "a/b;x=y", "a/b\r\nX: 1", "a/b\n", "a b/c", "ä/b", 7, "a/" + "b" * 128],
)
def test_a_media_type_that_cannot_be_a_header_is_refused(media_type: object) -> None:
    with pytest.raises(MalformedArchive, match="media type"):
        parse(mediaType=media_type)


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedArchive):
        parse(digest="sha256:../../x")


@pytest.mark.parametrize("annotations", [[], "a", {"a": 1}, {"a": None}, 7])
def test_annotations_are_an_object_of_strings(annotations: object) -> None:
    with pytest.raises(MalformedArchive, match=r"annotations.*layer 1"):
        parse(annotations=annotations)


@pytest.mark.parametrize("urls", ["https://example.com", [1], {}, 7])
def test_urls_are_a_list_of_strings(urls: object) -> None:
    with pytest.raises(MalformedArchive, match=r"urls.*layer 1"):
        parse(urls=urls)


@pytest.mark.parametrize("data", ["%%%", "YQ", "ä", "Y Q = =", 7, ["YQ=="]])
def test_inline_data_is_base64(data: object) -> None:
    with pytest.raises(MalformedArchive, match=r"inline.*layer 1.*base64"):
        parse(data=data)


@pytest.mark.parametrize("content", [b"", b"contenu", b"content!"])
def test_inline_data_that_is_not_the_content_is_refused(content: bytes) -> None:
    with pytest.raises(DigestMismatch, match=r"inline.*layer 1"):
        parse(data=base64.b64encode(content).decode())


def test_inline_data_has_to_have_the_size_that_is_stated() -> None:
    with pytest.raises(DigestMismatch):
        parse(data=base64.b64encode(b"content").decode(), size=8)


@pytest.mark.parametrize("key", ["Digest", "SIZE", "mediatype"])
def test_a_key_in_other_letters_is_refused(key: str) -> None:
    with pytest.raises(MalformedArchive):
        parse(**{key: "x"})


@pytest.mark.parametrize("artifact_type", [None, "", 7])
def test_an_odd_artifact_type_is_none(artifact_type: object) -> None:
    assert parse(artifactType=artifact_type).artifact_type is None


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8", "windows/amd64"])
def test_a_platform_prints_as_it_was_written(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "Linux/amd64", "a/b\n"])
def test_a_platform_that_is_none_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequest, match="os/architecture"):
        Platform.parse(text)


@pytest.mark.parametrize("value", [{}, {"os": None, "architecture": 7}, {"os": "", "architecture": ""}])
def test_a_platform_without_its_members_is_unknown(value: dict[str, Any]) -> None:
    platform = Platform.of(value)
    assert str(platform) == "unknown/unknown"
    assert not platform.known
    assert Platform("linux", "unknown").known


def test_what_stands_in_place_of_a_platform_and_is_no_object_is_left_out() -> None:
    assert parse(platform="linux/amd64").platform is None


def test_a_wish_without_variant_takes_every_variant() -> None:
    arm = Platform.parse("linux/arm64/v8")
    assert arm.matches(Platform.parse("linux/arm64"))
    assert arm.matches(Platform.parse("linux/arm64/v8"))
    assert not arm.matches(Platform.parse("linux/arm64/v9"))
    assert not arm.matches(Platform.parse("linux/amd64"))
    assert not Platform.parse("linux/arm64").matches(arm)
