"""registry-storage: a tar of the storage of CNCF distribution (registry:2, registry:3).

The storage is at the root or in any directory, as in `tar czf backup.tgz /var/lib/registry`."""

from __future__ import annotations

from dataclasses import replace

from app.archive.formats.oc_mirror import JOIN, all_tags, list_absent
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.reading.union import unite
from app.archive.formats.storage.tree import read_archive, resolve_tags, storages
from app.archive.model import Archive
from app.errors import MissingContent


class RegistryStorage:
    name = "registry-storage"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        return bool(storages(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return every tag of every storage."""
        archives = [self._read(contents.below(directory)) for directory in storages(contents)]
        return unite(archives, contents.limits)

    def _read(self, contents: ArchiveReader) -> Archive:
        """Return every tag whose manifest exists: a registry keeps the tags of deleted manifests."""
        found, absent = resolve_tags(contents, all_tags(contents))
        remedy = f"if this is the first part of an oc-mirror set, {JOIN}"
        if absent and not found:
            raise MissingContent(
                f"the archive lacks the manifests of all its tags: {list_absent(absent)}; save the storage again; "
                f"{remedy}"
            )
        notes = ["the storage has no list of images to push: every tag in it is pushed"]
        if absent:
            notes.append(
                f"these tags have no manifest in the storage and are not pushed: {list_absent(absent)}; {remedy}"
            )
        return replace(read_archive(contents, self.name, found, notes), advice=f"save the storage again; {remedy}")
