"""Public keys, based on `cryptography` (the extra `verify`), which is imported only if signatures are required."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MIN_RSA_BITS = 2048

_Public = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures of cosign: over SHA-256, RSA with PKCS #1 v1.5."""

    name: str
    key: _Public

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(self.key, EllipticCurvePublicKey):
                self.key.verify(signature, message, ECDSA(SHA256()))
            elif isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


def parse_key(name: str, pem: bytes) -> PublicKey:
    """Parse a key. Raises ValueError."""
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits is too short; at least {MIN_RSA_BITS} bits are required")
    if not isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey):
        raise ValueError("it is not an ECDSA, Ed25519 or RSA key")
    return PublicKey(name, key)
