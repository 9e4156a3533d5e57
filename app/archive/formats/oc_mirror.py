"""oc-mirror: the output of oc-mirror v2 (its internal/pkg/archive), a registry's storage with a working directory.

It writes mirror_000001.tar and, above `archiveSize`, mirror_000002.tar and so on. The order is: all of repositories/,
the blobs, working-dir/, and the file isc_<time> at the very end. Directories are not written. Blobs in an earlier
archive of the same workspace are omitted, but all tags are present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import (
    TagRequest,
    count_stray,
    holds_repositories,
    holds_tree,
    read_archive,
    resolve_tags,
    tags,
)
from app.archive.model import Archive
from app.errors import MissingContent, join_limited

_WORKING_DIRECTORY = "working-dir"
_IMAGE_SET = "isc_"  # + the time of the run
JOIN = "send all parts of the set (mirror_000001.tar, mirror_000002.tar, …) in one request"
_EARLIER = "oc-mirror omits content of earlier archives of the same workspace, and platforms that were not requested"


class OcMirror:
    name = "oc-mirror"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        """Return whether the marks of a set are there. The last part of a set may have no storage."""
        marks = _has_working_directory(contents) + has_last_part(contents)
        return marks == 2 or (marks == 1 and holds_tree(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return every tag whose manifest is in the archive. Raises MissingContent for a part of a set."""
        wanted = all_tags(contents)
        if not has_last_part(contents):
            raise MissingContent(
                f"this is the first part of an oc-mirror set; mirror_000002.tar and later parts are missing; {JOIN}"
            )
        found, absent = resolve_tags(contents, wanted)
        if absent and not found:
            raise MissingContent(f"the archive lacks the manifests of all its tags: {list_absent(absent)}; {_EARLIER}")
        notes = [f"not in this archive and not pushed: {list_absent(absent)}; {_EARLIER}"] if absent else []
        archive = read_archive(contents, self.name, found, notes)
        archive = replace(archive, advice=f"{_EARLIER}; if this is one of several parts, {JOIN}")
        stray = 0 if absent else count_stray(contents, archive)
        if stray:  # oc-mirror writes no blob that none of its tags needs
            raise MissingContent(
                f"{stray} blobs have no tag in this archive; their repositories are in another part of the set; {JOIN}"
            )
        return archive


def all_tags(contents: ArchiveReader) -> list[TagRequest]:
    """Return all tags with their paths. Raises MissingContent if the archive has no repositories."""
    if not holds_repositories(contents):
        raise MissingContent(
            "the archive contains no repositories; only mirror_000001.tar, the first part of an oc-mirror set, has "
            f"them; {JOIN}"
        )
    return [_tag_request(repository, tag) for repository, tag in tags(contents)]


def _tag_request(repository: str, tag: str) -> TagRequest:
    """Return the tag to look up. modctl prefixes a model's repository with registry and port.

    Only such a repository has a colon."""
    called = f"{repository}:{tag}"
    is_full = ":" in repository.partition("/")[0]
    return TagRequest(repository, tag, name=called) if is_full else TagRequest(repository, tag, path=called)


def _has_working_directory(contents: ArchiveReader) -> bool:
    return any(name.startswith(f"{_WORKING_DIRECTORY}/") for name in contents.names())


def has_last_part(contents: ArchiveReader) -> bool:
    return any(name.startswith(_IMAGE_SET) and "/" not in name for name in contents.names())


def list_absent(absent: Sequence[TagRequest]) -> str:
    return join_limited([str(item) for item in absent])
