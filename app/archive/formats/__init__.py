"""Formats: archives are recognized by content alone. A new format is one file and one line in FORMATS.

docker_archive      docker-archive
docker_manifest     its manifest.json
docker_oci          an OCI layout that is also a docker archive
hauler              hauler stores
helm_chart          packaged Helm charts -> OCI artifacts
imgpkg              imgpkg tars
kitops              the local storage of KitOps
kots_airgap         KOTS airgap bundles
mindthegap          mindthegap bundles
mindthegap_listing  images.yaml and charts.yaml
nested_layouts      layouts in directories of an archive
oc_image_mirror     mirrors of oc and oc-mirror v1
oc_mirror           oc-mirror v2
oci_artifact        a single OCI manifest
oci_layout          oci-archive
registry_storage    a tar of a registry's storage
uds_packages        packages that contain archives
unknown             the error unknown_format with a hint
zarf                zarf packages
layout              parts of the reader of OCI layouts
reading             code that the readers of several formats share
storage             the storage tree of a registry
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from app.archive.formats.docker_archive import DockerArchive
from app.archive.formats.hauler import HaulerHaul
from app.archive.formats.helm_chart import HelmChart
from app.archive.formats.imgpkg import Imgpkg
from app.archive.formats.kitops import KitOpsStorage
from app.archive.formats.kots_airgap import KotsAirgap
from app.archive.formats.mindthegap import MindthegapBundle
from app.archive.formats.nested_layouts import NestedLayouts
from app.archive.formats.oc_image_mirror import OcImageMirror
from app.archive.formats.oc_mirror import OcMirror
from app.archive.formats.oci_artifact import OciArtifact
from app.archive.formats.oci_layout import INDEX, MARKER, OCILayout
from app.archive.formats.reading.inner_hint import archives_beside, layouts_beside
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.reading.runnable import check_runnable
from app.archive.formats.reading.total_size import check_total_size
from app.archive.formats.registry_storage import RegistryStorage
from app.archive.formats.storage.kubekey import KubeKeyImages
from app.archive.formats.storage.parts import join_charts, join_indexes, parts_of_charts, parts_of_storage
from app.archive.formats.unknown import unknown_format_error
from app.archive.formats.zarf import ZarfPackage
from app.archive.leftovers import extents_of, find_leftovers
from app.archive.model import DEFAULT_LIMITS, Archive, Fault, ImageEntry, Limits, ReadAt
from app.archive.placeholders import split_names
from app.archive.producer import producer_of
from app.archive.tar.index import TarIndex
from app.errors import TruncatedArchive, join_limited

NO_END = (
    "the archive has no end-of-archive marker: it may be truncated. All content that its documents list is pushed; "
    "other content may be missing"
)
_NO_LIST_THERE = "the document that lists its content is missing; transfer it again"
_EXTRACT = "they are not pushed; extract them, and push each"
_READ_LAYOUTS = frozenset({OCILayout.name, ZarfPackage.name, HaulerHaul.name})
NO_LIST = "no document in it lists its content, so any part may be missing; transfer it again"


class Format(Protocol):
    """A format of archives. Both methods block, read only through `contents`, and raise ArchiveError."""

    @property
    def name(self) -> str:
        """Return the name in the contract: the option `format`, `Archive.format`."""
        ...

    @property
    def lists_content(self) -> bool:
        """Return whether documents in the archive list all its content, so that missing content is noticed."""
        ...

    def recognises(self, contents: ArchiveReader) -> bool:
        """Return whether the root has the marks of this format, in any order of members and under any file name."""
        ...

    def read(self, contents: ArchiveReader) -> Archive:
        """Read and verify all manifests, without reading blobs. Call `recognises` first."""
        ...


# the first format that recognises an archive reads it
FORMATS: tuple[Format, ...] = (
    MindthegapBundle(),
    HaulerHaul(),
    NestedLayouts(root=True),
    KitOpsStorage(),
    OCILayout(),
    DockerArchive(),
    Imgpkg(),
    ZarfPackage(),
    KotsAirgap(),
    OcMirror(),
    RegistryStorage(),
    OcImageMirror(),
    KubeKeyImages(),
    NestedLayouts(root=False),
    OciArtifact(),
    HelmChart(),
)


def _without_placeholders(archive: Archive) -> Archive:
    """Move placeholders out of the names, in every format. Paths of a registry's storage are never placeholders."""
    return replace(archive, images=tuple(map(_with_names_only, archive.images)))


def _with_names_only(image: ImageEntry) -> ImageEntry:
    (names, others), (tags, more) = split_names(image.names), split_names(image.bare_tags)
    if names == image.names and tags == image.bare_tags:
        return image
    placeholders = tuple(dict.fromkeys((*image.placeholders, *others, *more)))
    return replace(image, names=names, bare_tags=tags, placeholders=placeholders)


def open_archive(index: TarIndex, source: ReadAt, limits: Limits = DEFAULT_LIMITS) -> Archive:
    """Parse an indexed tar. Blocks. Raises UnknownFormat with a description of it, or another ArchiveError."""
    contents = ArchiveReader(index, source, limits)
    for known in FORMATS:
        if known.recognises(contents):
            _check_list(contents, known)
            archive = check_runnable(check_total_size(_without_placeholders(known.read(contents)), limits), contents)
            return replace(
                archive,
                producer=producer_of(index, archive),
                notes=tuple(_notes(contents, archive)),
                fault=Fault(TruncatedArchive, index.cut) if index.cut else None,
            )
    if index.cut:
        raise TruncatedArchive(f"{index.cut}; {_NO_LIST_THERE}")
    raise unknown_format_error(contents, list(dict.fromkeys(known.name for known in FORMATS)))


def _check_list(contents: ArchiveReader, found: Format) -> None:
    """Raise TruncatedArchive for an archive without an end, if nothing in it lists its whole content."""
    index = contents.index
    if not index.ended and not found.lists_content:
        raise TruncatedArchive(f"{index.cut or 'the archive has no end'}, and {NO_LIST}")
    if index.cut and isinstance(found, DockerArchive) and any(map(_is_of_layout, index.members)):
        raise TruncatedArchive(f"{index.cut}; {_NO_LIST_THERE}")  # index.json was to follow


def _is_of_layout(name: str) -> bool:
    return name.startswith("blobs/") or name in {MARKER, INDEX}


def _notes(contents: ArchiveReader, archive: Archive) -> Iterator[str]:
    yield from archive.notes
    if not contents.index.ended:
        yield NO_END
    left = find_leftovers(contents.index, contents.source, archive)
    if left is not None:
        yield str(left)
    read = extents_of(archive)
    beside = archives_beside(contents, read)
    if archive.format not in _READ_LAYOUTS:
        beside += layouts_beside(contents, read)
    if beside:
        names = join_limited(beside)
        yield f"the archive contains {len(beside)} other archives or layouts of images: {names}; {_EXTRACT}"


__all__ = [
    "FORMATS",
    "ArchiveReader",
    "Format",
    "join_charts",
    "join_indexes",
    "open_archive",
    "parts_of_charts",
    "parts_of_storage",
]
