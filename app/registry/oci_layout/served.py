"""ServedLayout: the layout for clients of the distribution-spec, which pull from it and delete in it."""

from __future__ import annotations

import asyncio

from app.errors import Conflict, NotFound
from app.oci import Digest, parse_repository
from app.registry import StoredManifest
from app.registry.oci_layout.index import LayoutIndex
from app.registry.oci_layout.registry import LayoutRegistry
from app.registry.oci_layout.uses import Needed


class ServedLayout:
    """The layout for clients. `reader` is the client of a pull; collections keep the content of its manifests."""

    def __init__(self, layout: LayoutRegistry) -> None:
        self._layout = layout
        self.repositories = layout.repositories
        self.tags = layout.tags
        self.referrers = layout.referrers
        self.read_blob = layout.read_blob
        self.read_manifest = layout.read_manifest
        self.blob_size = layout.blob_size

    async def pull_manifest(self, repository: str, reference: str, reader: str) -> StoredManifest | None:
        """Return a manifest, and protect its content for the client that will pull it."""
        return await asyncio.to_thread(self._pull, parse_repository(repository), reference, reader)

    async def pull_blob(self, repository: str, digest: Digest, reader: str) -> int | None:
        """Return the size of a blob that `reader` will read.

        Return None if the repository does not have it, unless the client received a manifest that refers to it.
        """
        return await asyncio.to_thread(self._pull_blob, parse_repository(repository), digest, reader)

    async def continue_pull(self, reader: str) -> None:
        """Record that `reader` is still active."""
        await asyncio.to_thread(self._layout.uses.touch, reader)

    async def end_pull(self, repository: str, digest: Digest, reader: str) -> None:
        """Record that `reader` has all of a blob."""
        await asyncio.to_thread(self._layout.uses.end_blob, reader, repository, digest)

    async def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a tag, or a manifest with its tags. Raises NotFound, and Conflict for a part of an image index."""
        await asyncio.to_thread(self._delete_manifest, parse_repository(repository), reference)

    async def delete_blob(self, repository: str, digest: Digest) -> None:
        """Raise Conflict for a blob that a manifest refers to, and NotFound for another.

        A prune deletes blobs that no manifest refers to.
        """
        referring = await asyncio.to_thread(self._layout.referring, parse_repository(repository), digest)
        if referring is None:
            raise NotFound(f"{repository} has no blob {digest}")
        raise Conflict(f"{digest} is a part of the manifest {referring.digest}; delete that first")

    def _pull(self, repository: str, reference: str, reader: str) -> StoredManifest | None:
        root = self._layout.present(repository, reference)
        while root is not None:
            self._layout.uses.begin_pull(reader, self._layout.needed(repository, root))
            before, root = root, self._layout.present(repository, reference)
            if root is not None and root.digest == before.digest:
                break
        return self._layout.read(repository, reference)

    def _pull_blob(self, repository: str, digest: Digest, reader: str) -> int | None:
        """Record a pull of the blob and return its size. Check again afterwards: a collection may have been faster."""
        layout = self._layout
        if not layout.has(repository, digest) and not layout.uses.is_pulling(reader, repository, digest):
            return None
        if layout.files.blob_size(digest) is not None:
            layout.uses.begin_pull(reader, Needed(blobs=frozenset({(repository, digest)})))
        return layout.files.blob_size(digest)

    def _delete_manifest(self, repository: str, reference: str) -> None:
        def change(index: LayoutIndex) -> LayoutIndex:
            found = index.find(repository, reference)
            if found is None:
                raise NotFound(f"{repository} has no manifest {reference:.200}")
            if ":" not in reference:
                return index.without_tag(repository, reference)
            self._layout.check_deletable(index, repository, found.digest)
            entries = index.repositories[repository]
            return index.with_repository(
                repository, {key: root for key, root in entries.items() if root.digest != found.digest}
            )

        self._layout.change_index(change)
