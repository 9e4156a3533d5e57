"""Members that are archives of images or charts, in an archive of no known format.

They are detected from their first bytes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator

from app.archive.compression import decompressor
from app.archive.formats.reading.addressed_members import digest_in_name
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Compression, Extent
from app.archive.tar.index import Member
from app.archive.tar.indexer import TarIndexer
from app.errors import ArchiveError

MAX_FILES = 2_000  # whose first block is read
MAX_ARCHIVES = 20  # that are searched
HEAD_BYTES = 128 << 10  # of each archive; the first header of an image archive is sufficient
_IMAGE = re.compile(
    r"(?:\./)?(?:index\.json|manifest\.json|repositories|airgap\.yaml"
    r"|(?:.*/)?(?:oci-layout|blobs/sha256/.*|docker/registry/v2/.*|v2/.+/(?:blobs|manifests)/.*)"
    r"|[0-9a-f]{64}(?:\.json|\.tar|/.*)?|(?:sha256[:-])?[0-9a-f]{64}(?:\.tar\.gz)?)"
)
_MARKER = "oci-layout"
MAX_SHOWN = 10  # layouts that are named
_CHART = re.compile(r"(?:\./)?[^/]+/Chart\.yaml")


def archives_within(contents: ArchiveReader) -> tuple[list[str], list[str]]:
    """Return the names of members that contain images, and of those that are charts."""
    images, charts = [], []
    for member in _archives(contents):
        names = _first_names(contents, member.extent)
        if any(map(_IMAGE.fullmatch, names)):
            images.append(member.name)
        elif any(map(_CHART.fullmatch, names)):
            charts.append(member.name)
    return images, charts


def archives_beside(contents: ArchiveReader, read: Collection[Extent]) -> list[str]:
    """Return the names of members that are archives of images and contain none of the extents in `read`."""
    offsets = sorted(extent.offset for extent in read)
    found: list[str] = []
    count = 0
    for member in sorted(contents.index.files(), key=lambda member: -member.extent.size)[:MAX_FILES]:
        extent = member.extent
        place = bisect_left(offsets, extent.offset)
        is_read = place < len(offsets) and offsets[place] < extent.offset + extent.size
        if is_read or not extent.size or digest_in_name(member.name) is not None:
            continue
        if contents.compression(extent) is Compression.NONE and not contents.is_plain_tar(extent):
            continue
        count += 1
        if count > MAX_ARCHIVES:
            break
        if holds_images(contents, extent):
            found.append(member.name)
    return found


def layouts_beside(contents: ArchiveReader, read: Collection[Extent]) -> list[str]:
    """Return the directories with an image layout of which no blob is in `read`."""
    marked = [name.removesuffix(_MARKER) for name in contents.names() if name.endswith(f"/{_MARKER}")]
    held = {member.name for member in contents.index.files() if member.extent in read} if marked else set()
    return [directory for directory in marked if not any(name.startswith(directory) for name in held)][:MAX_SHOWN]


def holds_images(contents: ArchiveReader, extent: Extent) -> bool:
    """Return whether a member is an archive of images, as its first members tell."""
    return any(map(_IMAGE.fullmatch, _first_names(contents, extent)))


def _archives(contents: ArchiveReader) -> Iterator[Member]:
    """Yield the members that start as an archive, the largest first."""
    files = sorted(contents.index.files(), key=lambda member: -member.extent.size)[:MAX_FILES]
    count = 0
    for member in files:
        if not member.extent.size or count == MAX_ARCHIVES:
            return
        if contents.compression(member.extent) is not Compression.NONE or contents.is_plain_tar(member.extent):
            count += 1
            yield member


def _first_names(contents: ArchiveReader, extent: Extent) -> list[str]:
    indexer = TarIndexer(contents.limits)
    head = contents.source.read_at(extent.offset, min(extent.size, HEAD_BYTES))
    try:
        left = 4 * HEAD_BYTES
        for piece in decompressor(contents.compression(extent), contents.limits).feed(head):
            indexer.feed(piece)
            left -= len(piece)
            if left < 0:
                break
    except ArchiveError:
        pass
    return [member.name for member in indexer.files_since(0)]
