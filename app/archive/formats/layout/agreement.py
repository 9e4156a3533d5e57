"""Replacement of layout manifests that contradict their configs, with the layers from docker's manifest.json.

docker 25.0.0 writes the layers of its OCI manifests in random order, and one of its release candidates wrote none
(moby/moby#47150, #47065); manifest.json has the right ones. They are used if their diff_ids are those of the config. If
no content of the archive matches a config, its manifest is never pushed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.archive.compression import decompressor
from app.archive.formats.docker_archive import named_digest
from app.archive.formats.docker_manifest import DockerEntry
from app.archive.formats.docker_oci import DockerManifestInfo
from app.archive.formats.reading.manifest_graph import UNUSABLE, ManifestGraph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.reading.runnable import Layers, contradiction, is_artifact, is_image
from app.archive.manifests.descendants import replace_root
from app.archive.manifests.index_rewriting import list_anew
from app.archive.manifests.layer_types import with_compression
from app.archive.model import Compression, Extent, Fault, ImageEntry
from app.errors import LimitExceeded, MalformedArchive, TruncatedArchive
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, new_manifest, strict_json
from app.oci.digest import HEX_LENGTHS
from app.oci.media_types import DOCKER_LAYER, DOCKER_MANIFEST, OCI_LAYER

MAX_CHECKED_BYTES = 32 << 20  # of compressed layers in one archive; about 0.15 s
PIECE = 1 << 20  # bytes of a layer per read
MAX_ENTRIES = 16  # entries of manifest.json that are checked per config; docker writes one
SAVE_AGAIN = "no content of the archive matches the config; save the image again with docker 25.0.1 or newer"


@dataclass(frozen=True, slots=True)
class Agreed:
    """The result. `graph` has the original manifests and the new ones."""

    graph: ManifestGraph
    entries: tuple[ImageEntry, ...]
    contradictions: Mapping[Digest, str]
    notes: tuple[str, ...]


def agree(
    contents: ArchiveReader,
    graph: ManifestGraph,
    entries: Sequence[ImageEntry],
    docker_manifests: Sequence[DockerManifestInfo],
) -> Agreed:
    """Make the manifests of `entries` agree with their configs. Without a manifest.json nothing changes. Blocks.

    Layers are decompressed only for images whose manifest differs from manifest.json."""
    if not any(documents.listed or documents.unlisted for documents in docker_manifests):
        return Agreed(graph, tuple(entries), {}, ())
    agreement = _Agreement(contents, graph, docker_manifests)
    agreed = tuple(agreement.entry(entry) for entry in entries)
    return Agreed(
        replace(graph, manifests=agreement.manifests, blobs=agreement.blobs),
        agreed,
        agreement.contradictions,
        tuple(agreement.notes),
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A layer in the archive. `stated`: the digest in its name, if any."""

    extent: Extent
    stated: Digest | None


_Layers = tuple[_Stored, ...]


class _Agreement:
    def __init__(
        self, contents: ArchiveReader, graph: ManifestGraph, docker_manifests: Sequence[DockerManifestInfo]
    ) -> None:
        self.manifests = dict(graph.manifests)
        self.blobs = dict(graph.blobs)
        self.contradictions: dict[Digest, str] = {}
        self.notes: list[str] = []
        self._contents = contents
        self._docker_manifests = docker_manifests
        self._digests = _LayerDigests(contents)
        self._done: dict[Digest, Manifest] = {}
        self._unchecked = MAX_CHECKED_BYTES
        self._counted: set[Extent] = set()
        self._orders: dict[Digest, Sequence[_Layers]] = {}

    def entry(self, entry: ImageEntry) -> ImageEntry:
        if not isinstance(entry.root, Descriptor) or entry.root.digest not in self.manifests:
            return entry
        try:
            return self._entry(entry, self.manifests[entry.root.digest])
        except UNUSABLE as error:
            return replace(entry, fault=Fault.of(error))

    def _entry(self, entry: ImageEntry, manifest: Manifest) -> ImageEntry:
        title = entry.called[0] if entry.called else ""
        root = self._agreed(manifest, title)
        if root.descriptor.digest == manifest.descriptor.digest:
            return entry
        changed, dropped = replace_root(entry, root, self.manifests)
        if dropped:
            self.notes.append(f"{title}: {dropped} signatures or other referrers of the original digest are not pushed")
        return changed

    def _agreed(self, manifest: Manifest, title: str) -> Manifest:
        """Return the manifest or its replacement. Limits.depth bounds the recursion."""
        digest = manifest.descriptor.digest
        if digest not in self._done:
            if manifest.is_index:
                self._done[digest] = self._index(manifest, title)
            else:
                self._done[digest] = self._image(manifest, title or str(digest))
        return self._done[digest]

    def _index(self, index: Manifest, title: str) -> Manifest:
        made = {
            child.digest: self._agreed(self.manifests[child.digest], title).descriptor
            for child in index.manifests
            if child.digest in self.manifests
        }
        if all(digest == descriptor.digest for digest, descriptor in made.items()):
            return index
        members = _members(index)
        list_anew(members, index.manifests, made)
        return self._made(index, members)

    def _image(self, manifest: Manifest, title: str) -> Manifest:
        config = manifest.config
        extent = None if config is None else self.blobs.get(config.digest)
        read = None if extent is None or not is_image(manifest) else self._contents.spare_config(extent)
        if config is None or read is None or read.diff_ids is None:
            return manifest
        layers = Layers(self._contents, self.blobs)
        found = contradiction(manifest, read, layers)
        if not found and all(map(layers.is_plain, manifest.layers)):
            return manifest
        own = tuple(
            _Stored(self.blobs[layer.digest], layer.digest) for layer in manifest.layers if layer.digest in self.blobs
        )
        others = [layers for layers in self._listed(config.digest) if _extents(layers) != _extents(own)]
        if not found and (len(own) < len(manifest.layers) or not (others or self._must_check(config.digest, own))):
            return manifest
        return self._resolved(manifest, read.diff_ids, (own, others), (title, found))

    def _must_check(self, config: Digest, layers: _Layers) -> bool:
        """Return whether to unpack layers although manifest.json has the same order: only the diff_ids can prove it.

        MAX_CHECKED_BYTES bounds the work for one archive."""
        if not self._listed(config):
            return False
        self._unchecked -= sum(extent.size for extent in set(_extents(layers)) - self._counted)
        self._counted.update(_extents(layers))
        return self._unchecked >= 0

    def _listed(self, config: Digest) -> Sequence[_Layers]:
        """Return the lists of layers in manifest.json for the config, without repeats."""
        if config not in self._orders:
            found: dict[_Layers, None] = {}
            for documents in self._docker_manifests:
                entries = documents.listed.get(config, ())[:MAX_ENTRIES]
                layers = (_layers_of(entry, documents.contents) for entry in entries)
                found.update(dict.fromkeys(one for one in layers if one is not None))
            self._orders[config] = tuple(found)
        return self._orders[config]

    def _resolved(
        self,
        manifest: Manifest,
        diff_ids: Sequence[str],
        layers: tuple[_Layers, Sequence[_Layers]],
        why: tuple[str, str],
    ) -> Manifest:
        """Return the manifest, or a new one with matching layers.

        `why`: the title of the image, and the visible contradiction between manifest and config, if any."""
        (own, others), (title, found), digest = layers, why, manifest.descriptor.digest
        found = found or self._digests.difference(own, diff_ids)
        if not found or is_artifact(manifest):
            return manifest
        for other in others:
            if not self._digests.difference(other, diff_ids):
                made = self._with_layers(manifest, other, diff_ids)
                self.notes.append(
                    f"{title}: manifest {digest} contradicts its config: {found}. The layers in manifest.json match "
                    "the config and are pushed instead, so the digest changes"
                )
                return made
        self.contradictions[digest] = f"{title}: manifest {digest} contradicts its config: {found}; {SAVE_AGAIN}"
        return manifest

    def _with_layers(self, manifest: Manifest, layers: _Layers, diff_ids: Sequence[str]) -> Manifest:
        members = _members(manifest)
        known = {
            self.blobs[layer.digest]: written
            for layer, written in zip(manifest.layers, members.get("layers") or (), strict=True)
            if layer.digest in self.blobs
        }
        written = []
        for layer, diff_id in zip(layers, diff_ids, strict=True):
            if layer.extent not in known:
                known[layer.extent] = self._described(layer, diff_id, manifest.descriptor.media_type == DOCKER_MANIFEST)
            written.append(self._with_true_type(known[layer.extent], layer))
        return self._made(manifest, {**members, "layers": written})

    def _described(self, layer: _Stored, diff_id: str, docker: bool) -> dict[str, Any]:
        """Return a descriptor of a layer that the manifest does not list."""
        digest = layer.stated
        if digest is None:
            is_plain = self._contents.compression(layer.extent) is Compression.NONE
            digest = Digest.parse(diff_id if is_plain else self._digests.stored(layer.extent))
        self.blobs[digest] = layer.extent
        return {"mediaType": DOCKER_LAYER if docker else OCI_LAYER, "digest": str(digest), "size": layer.extent.size}

    def _with_true_type(self, written: dict[str, Any], layer: _Stored) -> dict[str, Any]:
        stored = self._contents.compression(layer.extent)
        media_type = with_compression(written["mediaType"], stored) or with_compression(OCI_LAYER, stored)
        return {**written, "mediaType": media_type or written["mediaType"]}

    def _made(self, manifest: Manifest, members: Mapping[str, Any]) -> Manifest:
        old = manifest.descriptor
        raw = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
        made = new_manifest(raw, old.media_type)
        made = replace(made, descriptor=replace(made.descriptor, platform=old.platform, annotations=old.annotations))
        self.manifests[made.descriptor.digest] = made
        return made


class _LayerDigests:
    """The digests of decompressed layers; each is computed once."""

    def __init__(self, contents: ArchiveReader) -> None:
        self._contents = contents
        self._known: dict[tuple[Extent, str, Compression], str] = {}

    def difference(self, layers: _Layers, diff_ids: Sequence[str]) -> str:
        """Return how `layers` differ from those of the config; empty if they do not."""
        if len(layers) != len(diff_ids):
            return f"it lists {len(layers)} layers, but its config has {len(diff_ids)} diff_ids"
        for number, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True), 1):
            plain = self._plain(layer, diff_id.partition(":")[0])
            if plain != diff_id:
                return f"layer {number} ({layer.stated}) decompresses to {plain}, but its config has diff_id {diff_id}"
        return ""

    def stored(self, extent: Extent) -> str:
        """Return the digest of a layer as stored in the archive."""
        return self._once(extent, "sha256", Compression.NONE)

    def _plain(self, layer: _Stored, algorithm: str) -> str:
        """Return the digest of the decompressed layer.

        If it is stored uncompressed, that is the digest in its name, which is verified when the bytes are read."""
        compression = self._contents.compression(layer.extent)
        if compression is Compression.NONE and layer.stated is not None and layer.stated.algorithm == algorithm:
            return str(layer.stated)
        if algorithm not in HEX_LENGTHS:
            return "unknown"
        return self._once(layer.extent, algorithm, compression)

    def _once(self, extent: Extent, algorithm: str, compression: Compression) -> str:
        known = extent, algorithm, compression
        if known not in self._known:
            self._known[known] = self._hashed(extent, algorithm, compression)
        return self._known[known]

    def _hashed(self, extent: Extent, algorithm: str, compression: Compression) -> str:
        hasher = hashlib.new(algorithm)
        unpack = decompressor(compression, self._contents.limits)
        end = extent.offset + extent.size
        try:
            for offset in range(extent.offset, end, PIECE):
                for data in unpack.feed(self._contents.source.read_at(offset, min(PIECE, end - offset))):
                    hasher.update(data)
            unpack.finish()
        except (MalformedArchive, TruncatedArchive, LimitExceeded):
            return "damaged"
        return f"{algorithm}:{hasher.hexdigest()}"


def _layers_of(entry: DockerEntry, contents: ArchiveReader) -> _Layers | None:
    """Return the layers of an entry, or None if one is missing."""
    found = []
    for name in entry.layers:
        try:
            extent = contents.extent(name)
        except MalformedArchive:
            extent = None
        if extent is None:
            return None
        found.append(_Stored(extent, named_digest(name)))
    return tuple(found)


def _extents(layers: _Layers) -> list[Extent]:
    return [layer.extent for layer in layers]


def _members(manifest: Manifest) -> dict[str, Any]:
    members: dict[str, Any] = strict_json(manifest.raw, what="manifest", limit=MAX_MANIFEST_BYTES)
    return members
