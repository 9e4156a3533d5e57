"""Content-Digest and Repr-Digest of RFC 9530."""

from __future__ import annotations

import base64
import hashlib

import pytest

from app.api.requests.digest_headers import parse_digest_field
from app.errors import InvalidRequest

RAW = hashlib.sha256(b"x").digest()
TEXT = base64.b64encode(RAW).decode()


@pytest.mark.parametrize(
    "values",
    [
        [f"sha-256=:{TEXT}:"],
        [f"sha-512=:AAAA:, SHA-256=:{TEXT}:"],
        ["sha-512=:AAAA:", f" sha-256 = :{TEXT}: ;p=1"],
    ],
)
def test_the_sha_256_of_the_field_is_found(values: list[str]) -> None:
    assert parse_digest_field(values) == f"sha256:{RAW.hex()}"


def test_no_field_is_no_checksum() -> None:
    assert parse_digest_field([]) is None
    assert parse_digest_field([" "]) is None


@pytest.mark.parametrize(
    "value", ["sha-512=:AAAA:", f"sha-256={TEXT}", "sha-256=:AAAA:", "sha-256=:%%%:", "sha-256=:", "sha-256", "md5=:x:"]
)
def test_a_digest_that_cannot_be_checked_is_refused_not_passed_over(value: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_digest_field([value])
