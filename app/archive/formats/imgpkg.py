"""imgpkg: the output of `imgpkg copy --to-tar` (imgpkg, pkg/imgpkg/imagedesc and pkg/imgpkg/imagetar).

`manifest.json` is a list of objects with an `Image` or an `ImageIndex`, which contain manifests, indexes and configs as
texts. Each layer is a member `sha256-<hex>.tar.gz`, in any compression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from app.archive.formats.docker_archive import MANIFEST, read_manifest
from app.archive.formats.reading.manifest_graph import UNUSABLE, ManifestGraph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, Extent, Fault, ImageEntry
from app.errors import InvalidReference, LimitExceeded, MalformedArchive, join_limited
from app.oci import Descriptor, Digest, Manifest, Platform, Reference, parse_manifest, strict_json, verify
from app.oci.media_types import DOCKER_CONFIG, NON_DISTRIBUTABLE, OCI_CONFIG, OCI_MANIFEST

_KINDS = ("ImageIndex", "Image")


class Imgpkg:
    name = "imgpkg"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        return _holds_images(read_manifest(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        value = read_manifest(contents)
        reading = _ImgpkgReader(contents)
        roots = [reading.root(item, f"image {number} of {MANIFEST}") for number, item in enumerate(_list(value), 1)]
        graph = reading.graph()
        platforms = graph.platforms([root.descriptor.digest for root in roots])
        images: dict[Digest, ImageEntry] = {}
        for root in roots:
            digest = root.descriptor.digest
            descriptor = graph.manifests[digest].descriptor if digest in graph else root.descriptor
            known = images.get(digest) or ImageEntry(descriptor, platforms=platforms[digest], fault=root.fault)
            images[digest] = replace(known, names=tuple(dict.fromkeys((*known.names, *root.names))))
        found = tuple(images.values())
        return Archive(self.name, found, graph.manifests, graph.blobs, graph.notes, faults=graph.faults)


def _holds_images(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Return whether `value` is imgpkg's list. An empty list is docker's."""
    return isinstance(value, list) and any(isinstance(item, dict) and set(_KINDS) & item.keys() for item in value)


def _list(value: object) -> list[dict[str, Any]]:
    return value if _holds_images(value) else []


@dataclass(frozen=True, slots=True)
class _Root:
    descriptor: Descriptor
    names: tuple[str, ...]
    fault: Fault | None = None


@dataclass(slots=True)
class _ImgpkgReader:
    """Reads the list, and collects manifests by digest."""

    contents: ArchiveReader
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: dict[Digest, Extent] = field(default_factory=dict)
    faults: dict[Digest, Fault] = field(default_factory=dict)
    absent: dict[str, None] = field(default_factory=dict)

    def root(self, value: object, what: str) -> _Root:
        """Read one entry; invalid manifests and configs become its fault. Raises MalformedArchive, LimitExceeded."""
        members = _object(value, what)
        given = [kind for kind in _KINDS if members.get(kind) is not None]
        if len(given) != 1:
            raise MalformedArchive(f"{what} must have either `Image` or `ImageIndex`")
        described = _object(members[given[0]], what)
        read = self._index if given[0] == "ImageIndex" else self._image
        names = tuple(_names(described, what))
        try:
            return _Root(read(described, what, 1), names)
        except UNUSABLE as error:
            unusable = Descriptor(OCI_MANIFEST, Digest.of(f"{what} {names}".encode()), 0)
            return _Root(unusable, names, Fault.of(error))

    def _index(self, value: dict[str, Any], what: str, depth: int) -> Descriptor:
        if depth > self.contents.limits.depth:
            raise LimitExceeded(f"{what} is nested deeper than {self.contents.limits.depth} indexes")
        index = self._manifest(value, what)
        for child in _objects(value, "Images", what):
            self._image(child, what, depth)
        for child in _objects(value, "Indexes", what):
            self._index(child, what, depth + 1)
        return index.descriptor

    def _image(self, value: dict[str, Any], what: str, depth: int) -> Descriptor:
        manifest = self._manifest(_object(value.get("Manifest"), what), what)
        config = manifest.config
        if config is None:
            raise MalformedArchive(f"{what} is listed as an image, but its manifest is an index")
        raw = _text(_object(value.get("Config"), what), "Raw", what)
        verify(raw, config, f"the config of {what}")
        # this text is the only copy: no member contains it
        complete = replace(manifest, config=replace(config, data=raw), descriptor=_with_platform(manifest, raw, what))
        self.manifests[manifest.descriptor.digest] = complete
        for layer in manifest.layers:
            self._layer(layer)
        return manifest.descriptor

    def _manifest(self, value: dict[str, Any], what: str) -> Manifest:
        raw = _text(value, "Raw", what)
        descriptor = Descriptor.parse(
            {"mediaType": value.get("MediaType"), "digest": value.get("Digest"), "size": len(raw)}, what
        )
        if len(self.manifests) >= self.contents.limits.nodes:
            raise LimitExceeded(f"{MANIFEST} has more than {self.contents.limits.nodes} manifests; split it")
        manifest = self.manifests.get(descriptor.digest)
        if manifest is None or manifest.descriptor.media_type != descriptor.media_type:
            manifest = parse_manifest(raw, descriptor)
        self.manifests[descriptor.digest] = manifest
        return manifest

    def _layer(self, layer: Descriptor) -> None:
        try:
            extent = self.contents.extent(f"{layer.digest.algorithm}-{layer.digest.encoded}.tar.gz")
        except MalformedArchive as error:
            self.faults[layer.digest] = Fault.of(error)
            return
        if extent is not None:
            self.blobs[layer.digest] = extent
        elif layer.urls or layer.media_type in NON_DISTRIBUTABLE:
            self.absent[str(layer.digest)] = None

    def graph(self) -> ManifestGraph:
        absent = f"not in the archive and not pushed, which their manifests permit: {join_limited(list(self.absent))}"
        notes = (absent,) if self.absent else ()
        return ManifestGraph(self.manifests, self.blobs, _parents(self.manifests), notes, self.faults)


def _parents(manifests: Mapping[Digest, Manifest]) -> dict[Digest, tuple[Digest, ...]]:
    parents: dict[Digest, dict[Digest, None]] = {}
    for digest, manifest in manifests.items():
        for child in manifest.manifests:
            parents.setdefault(child.digest, {})[digest] = None
    return {digest: tuple(above) for digest, above in parents.items()}


def _with_platform(manifest: Manifest, config: bytes, what: str) -> Descriptor:
    if manifest.config is None or manifest.config.media_type not in {OCI_CONFIG, DOCKER_CONFIG}:
        return manifest.descriptor
    try:
        members = strict_json(config, what=what, limit=len(config))
    except MalformedArchive:  # for display only; the config is pushed unchanged
        return manifest.descriptor
    return replace(manifest.descriptor, platform=Platform.of(members) if isinstance(members, dict) else None)


def _names(value: dict[str, Any], what: str) -> Iterator[str]:
    """Yield the names: references are digests, and `Tag` is the tag from which an image was copied, if any."""
    references, tag = value.get("Refs"), value.get("Tag")
    if not isinstance(references, list | None) or not isinstance(tag, str | None):
        raise MalformedArchive(f"`Refs` of {what} is not a list, or its `Tag` is not a text")
    for text in references or ():
        if not isinstance(text, str):
            raise MalformedArchive(f"`Refs` of {what} is not a list of texts")
        yield _tagged(text, tag) if tag else text


def _tagged(text: str, tag: str) -> str:
    try:
        reference = Reference.parse(text)
    except InvalidReference:  # reported when the images are named
        return text
    return f"{reference.registry}/{reference.repository}:{tag}"


def _object(value: object, what: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise MalformedArchive(f"{what} does not have the form that imgpkg writes")


def _objects(value: dict[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    listed = value.get(key)
    if not isinstance(listed, list | None):  # Go writes an empty list as null
        raise MalformedArchive(f"`{key}` of {what} is not a list")
    return [_object(item, what) for item in listed or ()]


def _text(value: dict[str, Any], key: str, what: str) -> bytes:
    text = value.get(key)
    if not isinstance(text, str):
        raise MalformedArchive(f"`{key}` of {what} is not a text")
    return text.encode()
