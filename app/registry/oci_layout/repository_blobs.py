"""The blobs of each repository in a layout that stores all of them in one directory.

A repository has what was pushed or mounted to it. A reference in a manifest grants nothing: otherwise a caller who
knows a digest of another repository could read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.errors import RegistryFault
from app.oci import Digest
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.manifest_cache import ManifestCache

Held = tuple[str, Digest]
"""A repository and a blob that it has."""


class RepositoryBlobs:
    """Determines the blobs of repositories."""

    def __init__(self, manifests: ManifestCache) -> None:
        self._manifests = manifests
        self._arrived: set[Held] = set()

    def add_unreferenced(self, repository: str, digest: Digest) -> None:
        """Record a blob that this process received and that no manifest of the repository refers to yet."""
        self._arrived.add((repository, digest))

    def mark_referenced(self, held: Iterable[Held]) -> None:
        """Drop blobs that a manifest of the repository now refers to."""
        self._arrived.difference_update(held)

    def has(self, repository: str, digest: Digest, roots: Iterable[IndexRoot]) -> bool:
        """Return whether `repository`, whose manifests are `roots`, has the blob."""
        return (repository, digest) in self._arrived or self.referring(digest, roots) is not None

    def referring(self, digest: Digest, roots: Iterable[IndexRoot]) -> IndexRoot | None:
        """Return a manifest among `roots` that is the blob, or refers to it."""
        return next((root for root in roots if digest == root.digest or digest in self._content_of(root)), None)

    def _content_of(self, root: IndexRoot) -> Collection[Digest]:
        if root.held is None:  # its content could not be read
            return ()
        try:
            content = self._manifests.content(root.descriptor)
        except RegistryFault:  # damaged
            content = None
        required = {} if content is None else content.required
        return required.keys() | root.held if root.held else required
