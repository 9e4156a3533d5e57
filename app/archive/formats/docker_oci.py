"""Archives that are an image layout and a docker archive at once: docker >= 25, containerd, regctl, buildx type=docker.

The layout counts: it keeps indexes and digests. But docker's graph drivers write plain layers, which nobody wants in a
registry; an image that has only such layers is read as in a docker archive, so that they are compressed on their way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.archive.formats.docker_archive import named_digest, parse_diff_ids, read_manifest
from app.archive.formats.docker_manifest import DockerEntry, holds_docker_images, parse_entries
from app.archive.formats.reading.manifest_graph import ManifestGraph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Compression, DockerImage, DockerLayer, ImageEntry
from app.errors import LimitExceeded
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, strict_json, verify
from app.oci import media_types as types

_TAR_LAYERS = frozenset(
    {types.OCI_LAYER, types.OCI_LAYER_GZIP, types.OCI_LAYER_ZSTD, types.DOCKER_LAYER, types.DOCKER_LAYER_GZIP}
)
_PLAIN_MEMBERS = frozenset({"schemaVersion", "mediaType", "config", "layers"})


@dataclass(frozen=True, slots=True)
class DockerManifestInfo:
    """What manifest.json says beside index.json.

    contents   the layout that it lies in
    repo_tags  by the digest of the config of an image that index.json leads to
    listed     the entries of these images, likewise
    unlisted   images that it does not lead to: docker leaves those out that have no tag"""

    contents: ArchiveReader
    repo_tags: Mapping[Digest, tuple[str, ...]]
    listed: Mapping[Digest, Sequence[DockerEntry]]
    unlisted: tuple[DockerEntry, ...] = ()


def read_docker_manifest(contents: ArchiveReader, graph: ManifestGraph) -> DockerManifestInfo:
    """Nothing where manifest.json is absent or something else: a layout may hold any file. Raises what `read_manifest`
    and `parse_entries` raise."""
    value = read_manifest(contents)
    if not holds_docker_images(value):
        return DockerManifestInfo(contents, {}, {})
    configs = {manifest.config.digest for manifest in graph.manifests.values() if manifest.config is not None}
    places = {graph.blobs[digest]: digest for digest in configs if digest in graph.blobs}
    repo_tags: dict[Digest, dict[str, None]] = {}
    listed: dict[Digest, list[DockerEntry]] = {}
    unlisted = []
    for entry in parse_entries(value, contents.limits):
        digest = named_digest(entry.config)
        if digest not in configs:
            extent = contents.extent(entry.config)
            digest = None if extent is None else places.get(extent)
        if digest is None:
            unlisted.append(entry)
        else:
            listed.setdefault(digest, []).append(entry)
            tags = repo_tags.setdefault(digest, {})
            tags.update(dict.fromkeys(entry.tags))
            if len(tags) > contents.limits.tags:
                raise LimitExceeded(f"{entry.what} has more than {contents.limits.tags} names")
    named = {digest: tuple(tags) for digest, tags in repo_tags.items()}
    return DockerManifestInfo(contents, named, listed, tuple(unlisted))


def repo_tags_of(beside: Sequence[DockerManifestInfo]) -> Mapping[Digest, tuple[str, ...]]:
    """Return the names that several documents have, by the digest of the config."""
    if len(beside) == 1:
        return beside[0].repo_tags
    found: dict[Digest, dict[str, None]] = {}
    for document in beside:
        for digest, names in document.repo_tags.items():
            found.setdefault(digest, {}).update(dict.fromkeys(names))
    return {digest: tuple(names) for digest, names in found.items()}


def read_as_docker_archive(
    contents: ArchiveReader, graph: ManifestGraph, entry: ImageEntry, repo_tags: Mapping[Digest, tuple[str, ...]]
) -> ImageEntry:
    """`entry` with a DockerImage as its root, and its manifest as `original`, where it is an image that manifest.json
    lists, all of its layers are plain tar, and no more is lost by a new manifest than the old one's digest.

    Raises DigestMismatch for its config."""
    if not isinstance(entry.root, Descriptor) or entry.referrers or entry.attached:
        return entry
    manifest = graph.manifests[entry.root.digest]
    config = manifest.config
    if config is None or config.digest not in repo_tags or not _is_replaceable(manifest):
        return entry
    layers = _plain_layers(contents, graph, manifest)
    extent = graph.blobs.get(config.digest)
    if not layers or extent is None or extent.size > contents.limits.config_bytes:
        return entry
    what = f"the config of image {entry.root.digest}"
    raw = contents.read_extent(extent)
    verify(raw, config, what)
    diff_ids = parse_diff_ids(strict_json(raw, what=what, limit=contents.limits.config_bytes), what)
    if diff_ids != tuple(layer.diff_id for layer in layers):
        return entry
    oci = entry.root.media_type == types.OCI_MANIFEST
    made = Descriptor(types.OCI_CONFIG if oci else types.DOCKER_CONFIG, config.digest, config.size)
    return replace(entry, root=DockerImage(made, layers, oci), original=entry.root)


def _is_replaceable(manifest: Manifest) -> bool:
    """Not where it has annotations, a subject or the like, which a new manifest would not have."""
    members = strict_json(manifest.raw, what="manifest", limit=MAX_MANIFEST_BYTES)
    described = (*manifest.layers, *([] if manifest.config is None else [manifest.config]))
    return _PLAIN_MEMBERS.issuperset(members) and not any(item.annotations or item.urls for item in described)


def _plain_layers(contents: ArchiveReader, graph: ManifestGraph, manifest: Manifest) -> tuple[DockerLayer, ...]:
    """Empty where one of them is something else. The bytes are asked, not the media type: some writers call plain
    layers gzip (containers/image#1270). The digest of a plain layer is its DiffID."""
    layers = []
    for layer in manifest.layers:
        extent = graph.blobs.get(layer.digest)
        if extent is None or layer.media_type not in _TAR_LAYERS or not contents.is_plain_tar(extent):
            return ()
        layers.append(DockerLayer(layer.digest, extent, Compression.NONE))
    return tuple(layers)
