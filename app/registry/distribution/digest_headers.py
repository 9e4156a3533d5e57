"""Digests as a registry states them, and digests of what it sent."""

from __future__ import annotations

from app.errors import MalformedArchive, RegistryFault
from app.net.response import Response
from app.oci import Digest


class WrongDigest(RegistryFault):
    """The registry says that it has other content than it was sent or asked for."""


def digest_header(reply: Response) -> Digest | None:
    """Docker-Content-Digest, None where it is missing or not readable (distribution-spec made it optional)."""
    try:
        return Digest.parse(reply.header("docker-content-digest"))
    except MalformedArchive:
        return None


def digest_with_algorithm_of(wanted: Digest | None, raw: bytes) -> Digest:
    """Of at most 4 MiB, which takes some 2 ms."""
    if wanted is None:
        return Digest.of(raw)
    hasher = wanted.hasher()
    hasher.update(raw)
    return Digest(wanted.algorithm, hasher.hexdigest())


def compare(reply: Response, digest: Digest, raw: bytes | None = None) -> None:
    """Raises WrongDigest if the registry says it stored something else. `raw`: the bytes, to be hashed if the registry
    names another algorithm; without them such a digest cannot be compared."""
    stated = digest_header(reply)
    if stated is None or (raw is None and stated.algorithm != digest.algorithm):
        return
    if not digest.is_same(stated, raw or b""):
        raise WrongDigest(f"the registry says it stored {stated} where {digest} was sent; it may be damaged")
