"""Digest: the identity of content (image-spec descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from app.errors import MalformedArchive

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[a-f0-9]+")


class Hasher(Protocol):
    """The part of hashlib's interface that is used: bytes in, hex out."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:encoded`. Only a registered algorithm and hex of its exact length can exist as a value.

    A Digest is therefore safe in a path, a URL or a key (CVE-2024-3727: an unchecked digest)."""

    algorithm: str
    encoded: str

    def __post_init__(self) -> None:
        if len(self.encoded) != HEX_LENGTHS.get(self.algorithm) or not _HEX.fullmatch(self.encoded):
            raise _no_digest(f"{self.algorithm}:{self.encoded}")

    @classmethod
    def parse(cls, text: object) -> Digest:
        """Parse `sha256:<64 hex>` or `sha512:<128 hex>` in lower case. Raises MalformedArchive."""
        if not isinstance(text, str) or ":" not in text:
            raise _no_digest(text)
        algorithm, _, encoded = text.partition(":")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Return the canonical (sha256) digest of `content`."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def is_same(self, other: Digest | None, content: bytes) -> bool:
        """Return whether `other` is a digest of `content`, as this one is. A registry may use a different algorithm."""
        if other is None or other.algorithm == self.algorithm:
            return other == self
        hasher = other.hasher()
        hasher.update(content)
        return hasher.hexdigest() == other.encoded

    def hasher(self) -> Hasher:
        """Return a new hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


def _no_digest(text: object) -> MalformedArchive:
    return MalformedArchive("a digest is not of the form sha256:<64 hex> or sha512:<128 hex>", content=f"{text!r:.200}")
