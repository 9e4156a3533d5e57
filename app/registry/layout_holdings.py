"""Which blobs each repository of a layout has, though all of them lie in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.errors import RegistryFault
from app.oci import Descriptor, Digest, Manifest
from app.oci.media_types import is_manifest

Held = tuple[str, Digest]
"""A repository and a blob that it has."""


class Holdings:
    """`parsed` reads a manifest of the layout: None where it is not there. Raises RegistryFault for a damaged one."""

    def __init__(self, parsed: Callable[[Descriptor], Manifest | None]) -> None:
        self._parsed = parsed
        self._arrived: set[Held] = set()
        self._contents: dict[Digest, frozenset[Digest]] = {}

    def arrived(self, repository: str, digest: Digest) -> None:
        """It came with this process, and no manifest of the repository refers to it yet."""
        self._arrived.add((repository, digest))

    def referred(self, held: Iterable[Held]) -> None:
        """A manifest does now."""
        self._arrived.difference_update(held)

    def has(self, repository: str, digest: Digest, roots: Iterable[Descriptor]) -> bool:
        """`roots` are the manifests that the repository names."""
        if (repository, digest) in self._arrived:
            return True
        return any(digest == root.digest or digest in self._contents_of(root) for root in roots)

    def _contents_of(self, descriptor: Descriptor) -> frozenset[Digest]:
        """What a manifest refers to, and what its children do. Nothing of one that is damaged or not there."""
        known = self._contents.get(descriptor.digest)
        if known is not None:
            return known
        try:
            manifest = self._parsed(descriptor)
        except RegistryFault:
            manifest = None
        if manifest is None:
            return frozenset()
        children = [each for each in manifest.manifests if is_manifest(each.media_type)]
        own = (each.digest for each in (*manifest.blobs, *manifest.manifests))
        found = frozenset(own).union(*map(self._contents_of, children))
        if all(child.digest in self._contents for child in children):  # else one of them may come yet
            self._contents[descriptor.digest] = found
        return found
