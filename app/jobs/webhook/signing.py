"""Signatures as Standard Webhooks 1.0 has them: HMAC-SHA256 over `id.timestamp.body`. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

_PREFIX = "whsec_"


def sign(secret: str, message: str, moment: int, body: bytes) -> Mapping[str, str]:
    """The headers of one delivery. `message` is the same for every try, `moment` (seconds since 1970) is of this one,
    so that a receiver can refuse what is old."""
    mac = hmac.new(_key(secret), f"{message}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _key(secret: str) -> bytes:
    """`whsec_` and base64, as libraries of receivers write it; any other text is taken as it is."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
