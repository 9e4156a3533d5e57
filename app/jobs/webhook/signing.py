"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

_PREFIX = "whsec_"


def sign(secret: str, message: str, moment: int, body: bytes) -> Mapping[str, str]:
    """Return the headers of one attempt.

    `message` is the same in every attempt. `moment` (seconds since 1970) is the time of this one, so that a receiver
    can refuse old messages."""
    mac = hmac.new(_key(secret), f"{message}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _key(secret: str) -> bytes:
    """Decode `whsec_` and base64, as the receivers' libraries write it; use any other text literally."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
