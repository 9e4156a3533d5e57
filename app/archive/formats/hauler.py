"""hauler: the output of `hauler store save`, an OCI image layout (hauler, pkg/store and pkg/consts).

The annotation `kind` of each entry in index.json states its type: an image or index; a chart or file (of the kind
image); or an artifact of the image with the same reference: cosign signatures, attestations and SBOMs, and referrers.

With --containerd the file oci-layout is absent. The manifest.json is for docker only and lists no further images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from app.archive.formats.oci_layout import INDEX, MARKER, check_version, list_layout, read_layout
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, ImageEntry
from app.errors import InvalidReference, join_limited
from app.oci import Descriptor, Digest, Reference
from app.oci.media_types import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME

ANNOTATION_KIND = "kind"
_PREFIXES = ("dev.hauler/", "dev.cosignproject.cosign/")  # the second prefix was used before hauler 1.3
_MARKS = tuple(f'"{prefix}'.encode() for prefix in _PREFIXES)
_IMAGES = frozenset({"image", "imageIndex"})
_COSIGN = {"sigs": ".sig", "atts": ".att", "sboms": ".sbom"}
_REFERRERS = "referrers"
_NAMES = frozenset({ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME})
_UNNAMEABLE = re.compile(r"hauler/[._-]")  # files whose names are invalid as repositories; hauler omits them too


class HaulerHaul:
    name = "hauler"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        extent = contents.extent(INDEX)
        if extent is None or extent.size > contents.limits.docker_manifest_bytes:
            return False
        raw = contents.read(INDEX, extent.size) or b""
        return any(mark in raw for mark in _MARKS) and any(_kind(item) for item in list_layout(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        if contents.extent(MARKER) is not None:
            check_version(contents)
        listed = list_layout(contents)
        left_out = [item for item in listed if _UNNAMEABLE.match(_reference(item))]
        archive = read_layout(contents, self.name, list(_named([item for item in listed if item not in left_out])))
        referrers = {item.digest: item for item in listed if _kind(item) == _REFERRERS}
        images = tuple(_with_digest(entry, referrers) for entry in archive.images)
        return replace(archive, images=images, notes=(*archive.notes, *_note(left_out)))


def _note(left_out: list[Descriptor]) -> tuple[str, ...]:
    names = join_limited([_reference(item) for item in left_out])
    return (f"files with names that are invalid as repositories are not pushed: {names}",) if left_out else ()


def _kind(descriptor: Descriptor) -> str:
    """Return `image`, `sigs`, …; for a referrer without its digest. Empty if the annotation is absent."""
    text = descriptor.annotations.get(ANNOTATION_KIND, "")
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix).partition("/")[0]
    return ""


def _reference(descriptor: Descriptor) -> str:
    return descriptor.annotations.get(ANNOTATION_REF_NAME, "")


def _named(listed: list[Descriptor]) -> Iterator[Descriptor]:
    """Yield the entries with their final names. An artifact has the name of its image in the archive.

    An artifact of cosign gets the tag that cosign would use; referrers get no name, because they state their `subject`.
    """
    images = {_reference(item): item.digest for item in listed if _kind(item) in _IMAGES}
    for item in listed:
        suffix = _COSIGN.get(_kind(item))
        image = images.get(_reference(item))
        if suffix is not None:
            name = f"{_repository(item)}@{item.digest}" if image is None else _tie(image, suffix)
            yield _under(item, {ANNOTATION_REF_NAME: name})
        elif _kind(item) == _REFERRERS:
            yield _under(item, {})
        else:
            yield item


def _tie(image: Digest, suffix: str) -> str:
    return f"{image.algorithm}-{image.encoded}{suffix}"


def _under(descriptor: Descriptor, names: Mapping[str, str]) -> Descriptor:
    rest = {key: text for key, text in descriptor.annotations.items() if key not in _NAMES}
    return replace(descriptor, annotations=MappingProxyType({**rest, **names}))


def _repository(descriptor: Descriptor) -> str:
    """Return registry and repository; an invalid name is returned unchanged, so that only its image is rejected."""
    name = descriptor.annotations.get(ANNOTATION_IMAGE_NAME) or _reference(descriptor)
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return name
    return f"{reference.registry}/{reference.repository}"


def _with_digest(entry: ImageEntry, referrers: Mapping[Digest, Descriptor]) -> ImageEntry:
    """Name a referrer by its own digest if its subject is not in the archive, so that it is pushed alone."""
    if not isinstance(entry.root, Descriptor) or entry.names or entry.root.digest not in referrers:
        return entry
    return replace(entry, names=(f"{_repository(referrers[entry.root.digest])}@{entry.root.digest}",))
