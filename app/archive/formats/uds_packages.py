"""Zarf packages in a UDS bundle, which lists their manifests as its own files.

See uds-cli, packageManifestLayerDescriptor. Only their content distinguishes them from other files, which have a title.
"""

from __future__ import annotations

from app.archive.formats.reading.reader import ArchiveReader
from app.errors import ArchiveError
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Manifest, media_type_of, parse_manifest, strict_json
from app.oci.media_types import OCI_MANIFEST

ZARF_FILE = "application/vnd.zarf.layer.v1.blob"
TITLE = "org.opencontainers.image.title"


def may_be_package(layer: Descriptor) -> bool:
    return layer.media_type == ZARF_FILE and TITLE not in layer.annotations and layer.size <= MAX_MANIFEST_BYTES


def read_package(contents: ArchiveReader, layer: Descriptor) -> Manifest | None:
    """Return the manifest in `layer`, or None. Raises LimitExceeded."""
    extent = contents.extent(contents.place(layer.digest))
    if extent is None or extent.size != layer.size:
        return None
    raw = contents.read_extent(extent)
    try:
        members = strict_json(raw, what="a package", limit=MAX_MANIFEST_BYTES)
        if not isinstance(members, dict) or media_type_of(members) != OCI_MANIFEST:
            return None
        return parse_manifest(raw, Descriptor(OCI_MANIFEST, layer.digest, layer.size))
    except ArchiveError:  # its bytes are verified during the push
        return None
