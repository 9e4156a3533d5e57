"""zarf: a package of `zarf package create`. Images are in `images/`, an OCI image layout.

The root also contains zarf.yaml, checksums.txt and a tar per component (zarf, src/pkg/packager/layout and
src/pkg/images)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from app.archive.formats.oci_layout import INDEX, MARKER, check_version, list_layout, read_layout
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive
from app.errors import TruncatedArchive
from app.oci import Descriptor
from app.oci.media_types import ANNOTATION_REF_NAME

PACKAGE = "zarf.yaml"
CHECKSUMS = "checksums.txt"
IMAGES = "images"
ANNOTATION_BASE_NAME = "org.opencontainers.image.base.name"  # packages from before 2025 have the name only here
ONLY_IMAGES = "only the images of the zarf package are pushed, not its components (charts, manifests, files)"


class ZarfPackage:
    name = "zarf"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        if contents.extent(PACKAGE) is None:
            return False
        return contents.extent(CHECKSUMS) is not None or contents.extent(f"{IMAGES}/{INDEX}") is not None

    def read(self, contents: ArchiveReader) -> Archive:
        images = contents.below(f"{IMAGES}/")
        if images.extent(MARKER) is None and images.extent(INDEX) is None:
            if not contents.index.ended:
                raise TruncatedArchive("the zarf package has no end-of-archive marker and no images; transfer it again")
            return Archive(self.name, (), {}, {}, (ONLY_IMAGES,))
        check_version(images)
        archive = read_layout(images, self.name, [_named(item) for item in list_layout(images)])
        return replace(archive, notes=(ONLY_IMAGES, *archive.notes))


def _named(descriptor: Descriptor) -> Descriptor:
    annotations = descriptor.annotations
    name = annotations.get(ANNOTATION_BASE_NAME)
    if not name or annotations.get(ANNOTATION_REF_NAME):
        return descriptor
    return replace(descriptor, annotations=MappingProxyType({**annotations, ANNOTATION_REF_NAME: name}))
