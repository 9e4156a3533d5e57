"""Layouts whose index.json is the image itself.

Either it lists one manifest per platform without names (paketo's `pack`, containers/skopeo#2463), or it has an
`artifactType`."""

from __future__ import annotations

from collections.abc import Sequence

from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import ImageEntry
from app.errors import ArchiveError
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, parse_manifest, strict_json
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT, INDEXES, OCI_INDEX

INDEX = "index.json"
NOTE = (
    "index.json has an artifactType, or lists one unnamed image for each of several platforms: it is pushed as one "
    "image index"
)


def read_index_as_image(
    contents: ArchiveReader, listed: Sequence[Descriptor], images: Sequence[ImageEntry]
) -> Manifest | None:
    """Return index.json as a manifest; None if one of its entries may be a separate image."""
    extent = contents.extent(INDEX)
    if extent is None or extent.size > MAX_MANIFEST_BYTES or any(image.names for image in images):
        return None
    raw = contents.source.read_at(extent.offset, extent.size)
    if not _is_artifact(raw):
        is_named = any(image.called for image in images)
        if is_named or not _is_one_image(listed) or len(images) < len(listed):
            return None
    try:
        return parse_manifest(raw, Descriptor(OCI_INDEX, Digest.of(raw), len(raw)))
    except ArchiveError:  # valid for a layout, but no registry accepts it as an index
        return None


def _is_artifact(raw: bytes) -> bool:
    """Return whether index.json has an artifactType, as in a UDS bundle (uds-cli, oci.NewBundleIndex)."""
    if b'"artifactType"' not in raw:  # descriptors may have one too
        return False
    members = strict_json(raw, what=INDEX, limit=MAX_MANIFEST_BYTES)
    return isinstance(members, dict) and isinstance(members.get("artifactType"), str) and bool(members["artifactType"])


def _is_one_image(listed: Sequence[Descriptor]) -> bool:
    digests = {str(item.digest) for item in listed}
    platforms = []
    for item in listed:
        if item.media_type in INDEXES or item.platform is None:
            return False
        if item.platform.known:
            platforms.append(item.platform)
        elif item.annotations.get(ANNOTATION_DOCKER_SUBJECT) not in digests:
            return False
    return 1 < len(platforms) == len(set(platforms)) and len(digests) == len(listed)


def index_as_image(index: Manifest, images: Sequence[ImageEntry]) -> ImageEntry:
    """Return one image instead of `images`, the children."""
    platforms = dict.fromkeys(platform for image in images for platform in image.platforms)
    return ImageEntry(root=index.descriptor, platforms=tuple(platforms))
