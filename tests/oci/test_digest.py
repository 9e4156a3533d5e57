from __future__ import annotations

import hashlib

import pytest

from app.errors import MalformedArchive
from app.oci import Digest

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha512:{HEX}{HEX}"])
def test_a_registered_algorithm_with_hex_of_its_length_is_a_digest(text: str) -> None:
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        f"sha256{HEX}",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX}\n",
        f" sha256:{HEX}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}",
        f"md5:{HEX[:32]}",
        f"sha256:../../../../{HEX[:52]}",
        f"sha256:{'/' * 64}",
        f"sha256+b64:{HEX}",
        f"sha256:{HEX[:-1]}\u0661",
        None,
        7,
        [f"sha256:{HEX}"],
        HEX.encode(),
    ],
)
def test_anything_else_is_refused_and_quoted(text: object) -> None:
    with pytest.raises(MalformedArchive):
        Digest.parse(text)


def test_a_digest_that_is_none_cannot_be_made_without_parsing_either() -> None:
    with pytest.raises(MalformedArchive):
        Digest("sha256", "../../etc/passwd")
    with pytest.raises(MalformedArchive):
        Digest("../..", HEX)


def test_a_very_long_text_is_not_quoted_whole() -> None:
    with pytest.raises(MalformedArchive) as caught:
        Digest.parse("x" * 10_000_000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_hasher_is_of_the_digests_own_algorithm(algorithm: str) -> None:
    digest = Digest(algorithm, hashlib.new(algorithm, b"content").hexdigest())
    hasher = digest.hasher()
    hasher.update(b"con")
    hasher.update(memoryview(b"tent"))
    assert hasher.hexdigest() == digest.encoded


def test_the_digest_of_content_is_its_sha256() -> None:
    assert str(Digest.of(b"content")) == f"sha256:{hashlib.sha256(b'content').hexdigest()}"


def test_digests_are_keys_and_have_an_order() -> None:
    one, same, other = Digest.of(b"1"), Digest.of(b"1"), Digest.of(b"2")
    assert {one: 1}[same] == 1
    assert sorted({one, same, other}) == sorted([one, other])
