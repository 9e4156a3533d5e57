"""Archive -> Archive with the media types of OCI or of Docker's schema 2 (option `media_types`); pure.

Only manifests and indexes change, and so do their digests; configs and layers keep their bytes. A new manifest states
the actual compression of each layer, even if the old one did not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.archive.manifests.descendants import replace_root
from app.archive.manifests.index_rewriting import list_anew
from app.archive.manifests.layer_types import stated_compression, with_compression
from app.archive.model import Archive, Compression, DockerImage, ImageEntry
from app.errors import InvalidRequest, join_limited
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, media_types, new_manifest, strict_json

MAX_SHOWN = 10  # digests in one note
_TO_OCI: Mapping[str, str] = {
    media_types.DOCKER_MANIFEST: media_types.OCI_MANIFEST,
    media_types.DOCKER_LIST: media_types.OCI_INDEX,
    media_types.DOCKER_CONFIG: media_types.OCI_CONFIG,
    media_types.DOCKER_LAYER: media_types.OCI_LAYER,
    media_types.DOCKER_LAYER_GZIP: media_types.OCI_LAYER_GZIP,
    media_types.DOCKER_FOREIGN_LAYER: media_types.OCI_FOREIGN_LAYER_GZIP,
    media_types.DOCKER_FOREIGN_LAYER_PLAIN: media_types.OCI_FOREIGN_LAYER,
}
_TYPES: Mapping[str, Mapping[str, str]] = {
    "oci": _TO_OCI,
    "docker": {oci: docker for docker, oci in _TO_OCI.items()},
}
_ZSTD = (
    "media_types=docker: {} has zstd layers, which Docker's media types do not support; pass media_types=oci or keep"
)


def convert(archive: Archive, wanted: str, compression: Compression) -> Archive:
    """Convert to `wanted`: `oci`, `docker`, or `keep` (unchanged). `compression` is applied to plain layers.

    Content that one of the families cannot describe (artifacts, unknown types) is unchanged, with a note. Raises
    InvalidRequest if layers in zstd would need Docker's types."""
    if wanted == "keep":
        return archive
    converter = _Converter(archive, wanted)
    images = tuple(converter.image(image, compression) for image in archive.images)
    return replace(archive, images=images, manifests=converter.manifests, notes=(*archive.notes, *converter.notes()))


class _Converter:
    def __init__(self, archive: Archive, wanted: str) -> None:
        self.manifests = dict(archive.manifests)
        self._mislabelled = archive.mislabelled
        self._wanted = wanted
        self._types = _TYPES[wanted]
        self._family = frozenset(self._types.values())
        self._done: dict[Digest, Manifest] = {}
        self._left: dict[Digest, None] = {}
        self._notes: list[str] = []

    def notes(self) -> list[str]:
        if not self._left:
            return self._notes
        shown = join_limited([str(name) for name in self._left])
        return [*self._notes, f"media_types={self._wanted}: unchanged, because they are not plain images: {shown}"]

    def image(self, image: ImageEntry, compression: Compression) -> ImageEntry:
        if image.fault is not None:
            return image
        name = image.called[0] if image.called else "the image"
        if isinstance(image.root, DockerImage):
            return replace(image, root=self._docker(image.root, compression, name))
        root = self._converted(self.manifests[image.root.digest], name)
        if root.descriptor.digest == image.root.digest:
            return image
        self._notes.append(
            f"{name} has {self._wanted} media types now: its digest is {root.descriptor.digest} instead of "
            f"{image.root.digest}"
        )
        changed, dropped = replace_root(image, root, self.manifests)
        if dropped:
            self._notes.append(f"{name}: {dropped} signatures or other referrers of the original digest are not pushed")
        return changed

    def _docker(self, image: DockerImage, compression: Compression, name: str) -> DockerImage:
        """Set the family of a manifest that is not made yet."""
        if self._wanted == "oci":
            return replace(image, oci=True)
        for layer in image.layers:
            plain = layer.compression not in {Compression.GZIP, Compression.ZSTD}
            if (compression if plain else layer.compression) is Compression.ZSTD:
                raise InvalidRequest(_ZSTD.format(name))
        return replace(image, oci=False)

    def _converted(self, manifest: Manifest, name: str) -> Manifest:
        digest = manifest.descriptor.digest
        if digest not in self._done:
            self._done[digest] = self._index(manifest, name) if manifest.is_index else self._plain(manifest, name)
        return self._done[digest]

    def _plain(self, manifest: Manifest, name: str) -> Manifest:
        members = _members(manifest)
        if manifest.descriptor.media_type in self._family:
            return manifest
        if self._wanted == "docker" and any(map(self._is_zstd, manifest.layers)):
            raise InvalidRequest(_ZSTD.format(name))
        if not self._can_say(manifest, members):
            self._left[manifest.descriptor.digest] = None
            return manifest
        for blob in (members["config"], *(members.get("layers") or ())):
            blob["mediaType"] = self._types.get(blob["mediaType"], blob["mediaType"])
        for blob, layer in zip(members.get("layers") or (), manifest.layers, strict=True):
            if layer.digest in self._mislabelled:
                stored = self._mislabelled[layer.digest]
                blob["mediaType"] = with_compression(blob["mediaType"], stored) or blob["mediaType"]
        return self._made(manifest, members)

    def _is_zstd(self, layer: Descriptor) -> bool:
        stored = self._mislabelled.get(layer.digest) or stated_compression(layer.media_type)
        return stored is Compression.ZSTD

    def _can_say(self, manifest: Manifest, members: Mapping[str, Any]) -> bool:
        if self._wanted == "docker" and {"subject", "artifactType"} & members.keys():
            return False
        return all(blob.media_type in self._types or blob.media_type in self._family for blob in manifest.blobs)

    def _index(self, index: Manifest, name: str) -> Manifest:
        members = _members(index)
        if self._wanted == "docker" and {"subject", "artifactType"} & members.keys():
            self._left[index.descriptor.digest] = None
            return index
        made = {
            child.digest: self._converted(manifest, name).descriptor
            for child in index.manifests
            if (manifest := self.manifests.get(child.digest)) is not None
        }
        changed = list_anew(members, index.manifests, made)
        if not changed and index.descriptor.media_type in self._family:
            return index
        return self._made(index, members)

    def _made(self, manifest: Manifest, members: dict[str, Any]) -> Manifest:
        old = manifest.descriptor
        media_type = self._types.get(old.media_type, old.media_type)
        raw = json.dumps({**members, "mediaType": media_type}, separators=(",", ":"), ensure_ascii=False).encode()
        made = new_manifest(raw, media_type)
        made = replace(made, descriptor=replace(made.descriptor, platform=old.platform, annotations=old.annotations))
        self.manifests[made.descriptor.digest] = made
        return made


def _members(manifest: Manifest) -> dict[str, Any]:
    what = f"manifest {manifest.descriptor.digest}"
    members: dict[str, Any] = strict_json(manifest.raw, what=what, limit=MAX_MANIFEST_BYTES)
    return members
