"""Digests in the headers of a registry, and digests of the bytes it sent."""

from __future__ import annotations

from app.errors import MalformedArchive, RegistryFault
from app.net.response import Response
from app.oci import Digest


class WrongDigest(RegistryFault):
    """The registry reports other content than it was sent or asked for."""


def digest_header(response: Response) -> Digest | None:
    """Return Docker-Content-Digest, or None if it is missing or unreadable (it is optional in the
    distribution-spec).
    """
    try:
        return Digest.parse(response.header("docker-content-digest"))
    except MalformedArchive:
        return None


def digest_with_algorithm_of(wanted: Digest | None, raw: bytes) -> Digest:
    """Return the digest of `raw` by the algorithm of `wanted`. At most 4 MiB, which takes about 2 ms."""
    if wanted is None:
        return Digest.of(raw)
    hasher = wanted.hasher()
    hasher.update(raw)
    return Digest(wanted.algorithm, hasher.hexdigest())


def compare(response: Response, digest: Digest, raw: bytes | None = None) -> None:
    """Raise WrongDigest if the registry reports other content.

    `raw` is hashed if the registry uses another algorithm; without it such a digest is not compared.
    """
    stated = digest_header(response)
    if stated is None or (raw is None and stated.algorithm != digest.algorithm):
        return
    if not digest.is_same(stated, raw or b""):
        raise WrongDigest(
            f"the registry reports that it stored {stated} instead of {digest}; the content may be damaged"
        )
