"""hauler: a haul of `hauler store save`. It is an OCI image layout whose index.json says of each entry by the
annotation `kind` what it is: an image or index, a chart or file (both of the kind image), or what hangs on the image of
the same reference: signatures, attestations and SBOMs of cosign, and referrers (hauler, pkg/store and pkg/consts).

With --containerd there is no oci-layout. The manifest.json beside it is for docker alone, and lists no more."""

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
_PREFIXES = ("dev.hauler/", "dev.cosignproject.cosign/")  # the second is that of before hauler 1.3
_MARKS = tuple(f'"{prefix}'.encode() for prefix in _PREFIXES)
_IMAGES = frozenset({"image", "imageIndex"})
_COSIGN = {"sigs": ".sig", "atts": ".att", "sboms": ".sbom"}
_REFERRERS = "referrers"
_NAMES = frozenset({ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME})
_UNNAMEABLE = re.compile(r"hauler/[._-]")  # files that no repository can be called after; hauler leaves them out, too


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
    return (f"files whose names no repository can have are not pushed: {names}",) if left_out else ()


def _kind(descriptor: Descriptor) -> str:
    """`image`, `sigs`, …; of a referrer without its digest. Empty where hauler says none."""
    text = descriptor.annotations.get(ANNOTATION_KIND, "")
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix).partition("/")[0]
    return ""


def _reference(descriptor: Descriptor) -> str:
    return descriptor.annotations.get(ANNOTATION_REF_NAME, "")


def _named(listed: list[Descriptor]) -> Iterator[Descriptor]:
    """Images under their names. What hangs on one has the image's own name in a haul; it gets the tag alone that ties
    it to the image, as cosign makes it, or for referrers nothing: their `subject` says it."""
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
    """With the registry; what is no reference as it stands, so that it is the image that is refused."""
    name = descriptor.annotations.get(ANNOTATION_IMAGE_NAME) or _reference(descriptor)
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return name
    return f"{reference.registry}/{reference.repository}"


def _with_digest(entry: ImageEntry, referrers: Mapping[Digest, Descriptor]) -> ImageEntry:
    """A referrer to what is not in the haul has no image that it travels with: it goes alone, by its digest."""
    if not isinstance(entry.root, Descriptor) or entry.names or entry.root.digest not in referrers:
        return entry
    return replace(entry, names=(f"{_repository(referrers[entry.root.digest])}@{entry.root.digest}",))
