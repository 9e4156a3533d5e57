"""docker-archive: archives of docker save (before 25), podman, skopeo, buildah, crane, jib, kaniko and bazel.

`manifest.json` is a list of {Config, RepoTags, Layers}. Layer number i has the i-th of the config's `rootfs.diff_ids`.
The archive has no image manifest: one is made when the blobs of the layers are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.formats.docker_manifest import DockerEntry, holds_docker_images, parse_entries
from app.archive.formats.reading.reader import ArchiveReader, is_known_platform
from app.archive.model import Archive, Compression, DockerImage, DockerLayer, Extent, Fault, ImageEntry
from app.errors import ArchiveError, DigestMismatch, LimitExceeded, MalformedArchive, MissingContent, join_limited
from app.oci import Descriptor, Digest, Platform, refuse_lookalikes, strict_json
from app.oci.manifest import MAX_REFERENCES
from app.oci.media_types import DOCKER_CONFIG, OCI_CONFIG

MANIFEST = "manifest.json"
_DIGEST_NAME = re.compile(r"(?:blobs/sha256/|sha256:)?([a-f0-9]{64})(?:\.json)?")
_LAYER_NAME = re.compile(r"(?:blobs/sha256/)?([a-f0-9]{64})(?:\.tar)?")
_BAD_CONFIG = (MalformedArchive, DigestMismatch, MissingContent)
_LAYER_COMPRESSIONS = frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD})  # runtimes unpack these


class DockerArchive:
    name = "docker-archive"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        return holds_docker_images(read_manifest(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        value = read_manifest(contents)
        entries = parse_entries(value, contents.limits) if holds_docker_images(value) else ()
        images, blobs, notes = read_images(contents, entries)
        return Archive(self.name, images, {}, blobs, notes)


def read_manifest(contents: ArchiveReader) -> object:
    """Return the value of manifest.json, None if it is absent. Raises LimitExceeded, MalformedArchive."""
    raw = contents.read(MANIFEST, contents.limits.docker_manifest_bytes)
    if raw is None:
        return None
    value: object = strict_json(raw, what=MANIFEST, limit=contents.limits.docker_manifest_bytes)
    return value


def read_images(
    contents: ArchiveReader, entries: Sequence[DockerEntry], *, oci: bool = False
) -> tuple[tuple[ImageEntry, ...], dict[Digest, Extent], tuple[str, ...]]:
    """Return the images of `entries`, their config blobs, and notes. Raises LimitExceeded.

    Entries with the same config are one image with the names of all. If `oci` is true, the manifests to be made have
    OCI media types. An image with missing content or an unusable config gets a fault."""
    reading = _DockerArchiveReader(contents, oci)
    for entry in entries:
        reading.add(entry)
    return reading.finish()


@dataclass(frozen=True, slots=True)
class _Config:
    descriptor: Descriptor
    diff_ids: tuple[Digest, ...]
    platform: Platform


class _DockerArchiveReader:
    def __init__(self, contents: ArchiveReader, oci: bool) -> None:
        self._contents = contents
        self._oci = oci
        self._configs: dict[Extent, _Config] = {}  # by extent: thousands of names may be links to one large config
        self._images: dict[Digest, ImageEntry] = {}
        self._names: dict[Digest, dict[str, None]] = {}
        self._blobs: dict[Digest, Extent] = {}
        self._references = 0
        self._notes: dict[str, None] = {}

    def add(self, entry: DockerEntry) -> None:
        try:
            config = self._config(entry)
        except _BAD_CONFIG as error:
            descriptor = _unusable_descriptor(entry)
            digest = descriptor.digest
            self._images.setdefault(digest, ImageEntry(DockerImage(descriptor, ()), fault=Fault.of(error)))
        else:
            digest = config.descriptor.digest
            known = self._images.get(digest)
            if known is None or known.fault is not None:
                self._images[digest] = self._image(entry, config)
        names = self._names.setdefault(digest, {})
        names.update(dict.fromkeys(entry.tags))
        if len(names) > self._contents.limits.tags:
            raise LimitExceeded(f"{entry.what} has more than {self._contents.limits.tags} names")

    def _image(self, entry: DockerEntry, config: _Config) -> ImageEntry:
        faults: list[ArchiveError] = []
        layers = tuple(self._layers(entry, config.diff_ids, faults))
        missing = [str(fault) for fault in faults if isinstance(fault, MissingContent)]
        if missing:
            faults.insert(0, MissingContent(f"the archive lacks {join_limited(missing)}; save it again"))
        return ImageEntry(
            DockerImage(config.descriptor, layers, self._oci),
            platforms=(config.platform,) if is_known_platform(config.platform) else (),
            fault=Fault.of(faults[0]) if faults else None,
        )

    def _config(self, entry: DockerEntry) -> _Config:
        """Read and check the config. Raises MissingContent, DigestMismatch, LimitExceeded, MalformedArchive."""
        extent = self._contents.extent(entry.config)
        if extent is None:
            raise MissingContent(f"the archive lacks the config {entry.config!r:.200} of {entry.what}; save it again")
        if extent not in self._configs:
            self._configs[extent] = self._read_config(entry)
        config = self._configs[extent]
        if named_digest(entry.config) not in {None, config.descriptor.digest}:
            raise DigestMismatch(
                f"the config of {entry.what} is named {entry.config}, but its bytes have {config.descriptor.digest}"
            )
        if len(config.diff_ids) != len(entry.layers):
            raise MalformedArchive(
                f"{entry.what} lists {len(entry.layers)} layers, but its config has {len(config.diff_ids)} diff_ids"
            )
        self._blobs[config.descriptor.digest] = extent
        return config

    def _read_config(self, entry: DockerEntry) -> _Config:
        raw = self._contents.read(entry.config, self._contents.limits.config_bytes) or b""
        what = f"the config of {entry.what}"
        members = strict_json(raw, what=what, limit=self._contents.limits.config_bytes)
        diff_ids = parse_diff_ids(members, what)
        descriptor = Descriptor(OCI_CONFIG if self._oci else DOCKER_CONFIG, Digest.of(raw), len(raw))
        return _Config(descriptor, diff_ids, Platform.of(members))

    def _layers(
        self, entry: DockerEntry, diff_ids: tuple[Digest, ...], faults: list[ArchiveError]
    ) -> Iterator[DockerLayer]:
        """Yield the layers in the archive, and append the errors of the others to `faults`."""
        self._references += len(diff_ids)
        if self._references > self._contents.limits.references or len(diff_ids) > MAX_REFERENCES:
            raise LimitExceeded(
                f"{entry.what} has {len(diff_ids)} layers; at most {MAX_REFERENCES} per image, and "
                f"{self._contents.limits.references} of all images, are read"
            )
        known = frozenset(digest.encoded for digest in diff_ids)
        for name, diff_id in zip(entry.layers, diff_ids, strict=True):
            try:
                layer = self._layer(entry, name, diff_id)
                _refuse_order(entry, name, layer, known)
                yield layer
            except (MalformedArchive, MissingContent, DigestMismatch) as error:
                faults.append(error)

    def _layer(self, entry: DockerEntry, name: str, diff_id: Digest) -> DockerLayer:
        """Find a layer. Raises MissingContent, MalformedArchive."""
        extent = self._contents.extent(name)
        if extent is None:
            foreign = "a foreign layer, " if diff_id in entry.foreign else ""
            raise MissingContent(f"layer {name!r:.200} ({foreign}diff_id {diff_id}) of {entry.what}")
        if diff_id in entry.foreign:
            self._notes[f"layer {diff_id} is a foreign layer; its bytes are in the archive and are pushed"] = None
        return DockerLayer(diff_id, extent, self._layer_compression(extent, name, entry))

    def _layer_compression(self, extent: Extent, name: str, entry: DockerEntry) -> Compression:
        """Return the compression of one layer: some writers mix them.

        go-containerregistry checks only the first layer (its #284)."""
        compression = self._contents.compression(extent)
        if compression in _LAYER_COMPRESSIONS:
            return compression
        raise MalformedArchive(
            f"layer {name!r:.200} of {entry.what} is compressed with {compression}, which no container runtime "
            "supports; save the image again with plain, gzip or zstd layers"
        )

    def finish(self) -> tuple[tuple[ImageEntry, ...], dict[Digest, Extent], tuple[str, ...]]:
        images = (replace(image, names=tuple(self._names[digest])) for digest, image in self._images.items())
        return tuple(images), self._blobs, tuple(self._notes)


def _refuse_order(entry: DockerEntry, name: str, layer: DockerLayer, known: frozenset[str]) -> None:
    """Raise DigestMismatch for a layer that is named by another diff_id of the same config.

    Podman, skopeo and docker >= 25 name layers by diff_id, and every runtime rejects such an image. Other names mean
    nothing; the bytes are verified when they are read."""
    named = _LAYER_NAME.fullmatch(name)
    if named is None or layer.compression is not Compression.NONE or named[1] == layer.diff_id.encoded:
        return
    if named[1] in known:
        image = entry.tags[0] if entry.tags else entry.what
        raise DigestMismatch(
            f"{image:.300}: layer {entry.layers.index(name) + 1} is {name!r:.200}, but the config has diff_id "
            f"{layer.diff_id} at this position; manifest.json and config list the layers in different orders; save "
            "the image again"
        )


def _unusable_descriptor(entry: DockerEntry) -> Descriptor:
    """Return a descriptor that identifies an image whose config cannot be used."""
    return Descriptor(DOCKER_CONFIG, named_digest(entry.config) or Digest.of(f"{entry.what} {entry}".encode()), 0)


def named_digest(config: str) -> Digest | None:
    """Return the digest that the name of a config member states, or None."""
    named = _DIGEST_NAME.fullmatch(config)
    return None if named is None else Digest("sha256", named[1])


def parse_diff_ids(config: object, what: str) -> tuple[Digest, ...]:
    """Return `rootfs.diff_ids` of an image config. Raises MalformedArchive."""
    members: dict[str, object] = config if isinstance(config, dict) else {}
    rootfs = members.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(rootfs, dict) or not isinstance(diff_ids, list | None):
        raise MalformedArchive(f"{what} has no list `rootfs.diff_ids`; it is not an image config")
    refuse_lookalikes(members, ("os", "architecture", "variant", "rootfs"), what)
    refuse_lookalikes(rootfs, ("diff_ids",), f"`rootfs` of {what}")
    return tuple(Digest.parse(diff_id) for diff_id in diff_ids or ())
