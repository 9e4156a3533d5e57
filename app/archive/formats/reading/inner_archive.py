"""Archives inside an archive, read in place: nothing is unpacked, so each must be a plain tar."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.archive.formats.docker_archive import DockerArchive
from app.archive.formats.oci_layout import OCILayout
from app.archive.formats.reading.reader import ArchiveReader, blob_name
from app.archive.manifests.image_config import ImageConfigs
from app.archive.model import Archive, Compression, DockerImage, Extent, ImageEntry, ReadAt
from app.archive.tar.indexer import index_file
from app.errors import ArchiveError, UnknownFormat

MAX_NAME = 300  # characters of a member's name in a message


@dataclass(frozen=True, slots=True)
class _Part:
    """A ReadAt over the bytes of one member."""

    source: ReadAt
    start: int

    def read_at(self, offset: int, size: int) -> bytes:
        return self.source.read_at(self.start + offset, size)


class InnerArchives:
    """Opens inner archives. All of one archive together may have as many members as that archive."""

    def __init__(self, contents: ArchiveReader) -> None:
        self._contents = contents
        self._left = contents.limits.members

    def open(self, name: str, extent: Extent) -> Archive:
        """Return the member `name` as an archive, with extents of the outer archive.

        Raises UnknownFormat with the remedy if it is not a plain tar of images, and what the readers raise."""
        shown = f"{name!r:.{MAX_NAME}}"
        compression = self._contents.compression(extent)
        if compression is not Compression.NONE:
            raise UnknownFormat(
                f"{shown} is an archive inside the archive, compressed with {compression}; it cannot be read in "
                "place; extract it and push it alone"
            )
        if not self._contents.is_plain_tar(extent):
            raise UnknownFormat(f"{shown} is not an image archive; remove it from the archive")
        try:
            archive = self._read(_Part(self._contents.source, extent.offset), extent)
        except ArchiveError as error:
            error.args = (f"{shown}: {error.args[0]}",)
            raise
        if archive is None:
            raise UnknownFormat(f"{shown} is a tar, but not an image archive; remove it from the archive")
        return _moved(archive, extent.offset)

    def _read(self, source: ReadAt, extent: Extent) -> Archive | None:
        index = index_file(source, extent.size, replace(self._contents.limits, members=self._left))
        self._left -= sum(map(len, index.members.values()))
        moved = {extent.offset + offset: compression for offset, compression in index.compressed.items()}
        self._contents.inner.update(moved)
        contents = replace(
            self._contents,
            index=index,
            source=source,
            directory="",
            place=blob_name,
            configs=ImageConfigs(self._contents.limits),  # keyed by extent, so valid for this archive only
            inner={},
        )
        readers = (OCILayout(), DockerArchive())
        return next((reader.read(contents) for reader in readers if reader.recognises(contents)), None)


def _moved(archive: Archive, by: int) -> Archive:
    blobs = {digest: _at(extent, by) for digest, extent in archive.blobs.items()}
    images = tuple(_image(image, by) for image in archive.images)
    return replace(archive, images=images, blobs=blobs)


def _image(image: ImageEntry, by: int) -> ImageEntry:
    if not isinstance(image.root, DockerImage):
        return image
    layers = tuple(replace(layer, extent=_at(layer.extent, by)) for layer in image.root.layers)
    return replace(image, root=replace(image.root, layers=layers))


def _at(extent: Extent, by: int) -> Extent:
    return Extent(extent.offset + by, extent.size)
