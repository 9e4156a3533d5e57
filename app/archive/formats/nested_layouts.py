"""oci-archive: image layouts in directories, each with its own `oci-layout` and `index.json`.

Writers are Deckhouse's `d8 mirror pull` (the root is a layout too), KubeKey's artifact, and zot's storage.

Names are read from annotations. A bare tag belongs to the repository that the directory names (zot); if the directory
is not a valid repository, the tag remains bare. The blobs of a layout are below its directory or another layout's:
digests identify them anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.formats.layout.names import Listed
from app.archive.formats.oci_layout import MARKER, Layout, check_version, is_layout, list_layout, read_layouts
from app.archive.formats.reading.addressed_members import TEMPORARY, place_anywhere
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, DockerImage
from app.errors import InvalidReference, LimitExceeded, join_limited
from app.oci import parse_repository

MAX_LAYOUTS = 10_000  # each takes the reading of two documents; only a large registry has as many repositories
_ZOT_ROOT = re.compile(r"(?:^|/)(?:cache\.db|meta\.db|_trivy|_restore_complete)(?:/|$)")
_ZOT_REPOSITORY = re.compile(r"/\.uploads(?:/|$)")


@dataclass(frozen=True, slots=True)
class NestedLayouts:
    """`root`: whether the root is a layout too. If not, the root may have the marks of another format."""

    root: bool
    name: str = "oci-archive"
    lists_content: bool = False  # no document states how many layouts there are

    def recognises(self, contents: ArchiveReader) -> bool:
        return is_layout(contents) is self.root and any(_directories(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        """Read all layouts as one archive. Raises LimitExceeded."""
        directories = list(_directories(contents))
        if len(directories) > MAX_LAYOUTS:
            raise LimitExceeded(
                f"the archive contains {len(directories)} image layouts; at most {MAX_LAYOUTS} are read"
            )
        root = _root_of_zot(contents, directories)
        reader = replace(contents, place=place_anywhere(contents))
        layouts = [_layout(reader, directory, root or "") for directory in directories]
        entries = sum(len(layout.listed) for layout in layouts)
        if entries > contents.limits.nodes:
            raise LimitExceeded(
                f"the {len(layouts)} image layouts list {entries} manifests; at most {contents.limits.nodes} are read"
            )
        archive = read_layouts(reader, self.name, layouts)
        return archive if root is None else _tagged(archive)


def _directories(contents: ArchiveReader) -> Iterator[str]:
    """Yield the directories of all layouts: empty for the root, with a slash at the end for others."""
    for name in contents.names():
        if name == MARKER or (name.endswith(f"/{MARKER}") and not TEMPORARY.search(name)):
            directory = name.removesuffix(MARKER)
            if is_layout(contents.below(directory)):
                yield directory


def _layout(contents: ArchiveReader, directory: str, root: str) -> Layout:
    inner = contents.below(directory)
    check_version(inner)
    repository = _repository(directory.removeprefix(root))
    return Layout(inner, [Listed(descriptor, repository) for descriptor in list_layout(inner, contents)])


def _repository(directory: str) -> str:
    try:
        return parse_repository(directory.removesuffix("/"))
    except InvalidReference:
        return ""


def _root_of_zot(contents: ArchiveReader, directories: Sequence[str]) -> str | None:
    """Return the directory that contains zot's repositories; None if the layouts have no mark of zot."""
    above = {name[: found.start()] for name in contents.names() if (found := _ZOT_ROOT.search(name))}
    for directory in sorted(above, key=len):
        root = directory and f"{directory}/"
        if all(layout.startswith(root) for layout in directories):
            return root
    return "" if any(map(_ZOT_REPOSITORY.search, contents.names())) else None


def _tagged(archive: Archive) -> Archive:
    """Return `archive` without images that were pushed to zot by digest, and with a note about them.

    A registry keeps such manifests while others refer to them, and here none does."""
    images = tuple(image for image in archive.images if image.called)
    roots = [image.root.config if isinstance(image.root, DockerImage) else image.root for image in archive.images]
    untagged = [str(root.digest) for root, image in zip(roots, archive.images, strict=True) if not image.called]
    if not untagged:
        return archive
    note = f"untagged manifests of zot's storage are not pushed: {join_limited(untagged)}"
    return replace(archive, images=images, notes=(*archive.notes, note))
