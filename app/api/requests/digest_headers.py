"""Content-Digest and Repr-Digest (RFC 9530) as the checksum of an archive."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from app.errors import InvalidRequest

_SHA256_BYTES = 32


def parse_digest_field(values: Iterable[str]) -> str | None:
    """Return `sha-256=:<base64>:` as `sha256:<hex>`; None without such a field.

    Raises InvalidRequest if the field has only digests of other algorithms, because a client that sends a digest
    expects a check.
    """
    members = [member.strip() for value in values for member in value.split(",") if member.strip()]
    if not members:
        return None
    found = {name.strip().lower(): text for name, _, text in (member.partition("=") for member in members)}
    text = found.get("sha-256", "").split(";")[0].strip()
    if len(text) < 2 or text[0] != ":" or text[-1] != ":":
        raise InvalidRequest("the digest field must hold sha-256=:<base64>:; no other algorithm is checked")
    try:
        raw = base64.b64decode(text[1:-1], validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _SHA256_BYTES:
        raise InvalidRequest("the digest field's sha-256 is not 32 bytes in base64")
    return f"sha256:{raw.hex()}"
