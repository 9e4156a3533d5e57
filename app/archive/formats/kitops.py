"""oci-archive: the local storage of KitOps, in which `kit pack` and `kit pull` store models.

It is an image layout whose index.json has no tags (kitops, pkg/lib/repo/local). The tags of a repository are in a file
next to it, named by the repository in base64: tag -> descriptor."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from app.archive.formats.oci_layout import check_version, is_layout, list_layout, read_layout
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive
from app.errors import InvalidReference, MalformedArchive, join_limited
from app.oci import Descriptor, Reference, strict_json
from app.oci.media_types import ANNOTATION_REF_NAME

_TAGS = re.compile(r"((?:[A-Za-z0-9_-]{4})+|(?:[A-Za-z0-9_-]{4})*[A-Za-z0-9_-]{2,3}={1,2})-tags\.json")


class KitOpsStorage:
    name = "oci-archive"
    lists_content = False  # the tags of each repository are in a separate file

    def recognises(self, contents: ArchiveReader) -> bool:
        return is_layout(contents) and any(_repositories(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return the tagged content. Raises MalformedArchive, MissingContent, LimitExceeded."""
        check_version(contents)
        tagged = [
            descriptor
            for file, repository in _repositories(contents)
            for descriptor in _read_tags(contents, file, repository)
        ]
        digests = {descriptor.digest for descriptor in tagged}
        untagged = [str(entry.digest) for entry in list_layout(contents) if entry.digest not in digests]
        archive = read_layout(contents, self.name, tagged)
        if not untagged:
            return archive
        note = f"untagged content of the KitOps storage is not pushed: {join_limited(untagged)}"
        return replace(archive, notes=(*archive.notes, note))


def _repositories(contents: ArchiveReader) -> Iterator[tuple[str, str]]:
    """Yield each file of tags, and the registry and repository in its name."""
    for file in contents.index.roots:
        found = _TAGS.fullmatch(file)
        if found is None:
            continue
        try:
            repository = base64.urlsafe_b64decode(found[1]).decode("ascii")
            Reference.parse(repository)
        except (ValueError, InvalidReference):  # not a file of KitOps
            continue
        yield file, repository


def _read_tags(contents: ArchiveReader, file: str, repository: str) -> Iterator[Descriptor]:
    limit = contents.limits.docker_manifest_bytes
    tags = strict_json(contents.read(file, limit) or b"", what=file, limit=limit)
    if not isinstance(tags, dict):
        raise MalformedArchive(f"{file} is not a mapping of tags")
    for tag, members in tags.items():
        descriptor = Descriptor.parse(members, file)
        yield replace(descriptor, annotations=MappingProxyType({ANNOTATION_REF_NAME: f"{repository}:{tag}"}))
