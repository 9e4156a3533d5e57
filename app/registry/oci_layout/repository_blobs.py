"""The blobs of each repository in a layout that stores all of them in one directory.

A repository has what was pushed or mounted to it. A reference in a manifest grants nothing: otherwise a caller who
knows a digest of another repository could read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.errors import RegistryFault
from app.oci import Descriptor, Digest, Manifest
from app.registry.oci_layout.adoption import optional_content
from app.registry.oci_layout.index import IndexRoot

Held = tuple[str, Digest]
"""A repository and a blob that it has."""
MAX_REMEMBERED = 200_000  # digests, about 30 MB; beyond that manifests are read again


class RepositoryBlobs:
    """Determines the blobs of repositories.

    `parsed` returns a manifest of the layout, or None if it is missing; it raises RegistryFault for a damaged one.
    """

    def __init__(self, parsed: Callable[[Descriptor], Manifest | None]) -> None:
        self._parsed = parsed
        self._arrived: set[Held] = set()
        self._required: dict[Digest, frozenset[Digest]] = {}
        self._remembered = 0

    def add_unreferenced(self, repository: str, digest: Digest) -> None:
        """Record a blob that this process received and that no manifest of the repository refers to yet."""
        self._arrived.add((repository, digest))

    def mark_referenced(self, held: Iterable[Held]) -> None:
        """Drop blobs that a manifest of the repository now refers to."""
        self._arrived.difference_update(held)

    def has(self, repository: str, digest: Digest, roots: Iterable[IndexRoot]) -> bool:
        """Return whether `repository`, whose manifests are `roots`, has the blob."""
        if (repository, digest) in self._arrived:
            return True
        return any(digest == root.digest or digest in self._content_of(root) for root in roots)

    def _content_of(self, root: IndexRoot) -> frozenset[Digest]:
        if root.held is None:  # its content could not be read
            return frozenset()
        required = self._required_of(root.descriptor)
        return required | root.held if root.held else required

    def _required_of(self, descriptor: Descriptor) -> frozenset[Digest]:
        """Return the required config and layers of a manifest, or nothing if it is damaged or missing."""
        known = self._required.get(descriptor.digest)
        if known is not None:
            return known
        try:
            manifest = self._parsed(descriptor)
        except RegistryFault:
            manifest = None
        if manifest is None:
            return frozenset()
        optional = {content.digest for content in optional_content(manifest)}
        required = frozenset(blob.digest for blob in manifest.blobs).difference(optional)
        if self._remembered > MAX_REMEMBERED:
            self._required.clear()
            self._remembered = 0
        self._required[descriptor.digest] = required
        self._remembered += len(required)
        return required
