"""Members that are archives of images or charts, in an archive of no known format.

They are detected from their first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.archive.compression import decompressor
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
