"""Archives that are both an image layout and a docker archive: docker >= 25, containerd, regctl, buildx type=docker.

The layout takes precedence: it preserves indexes and digests. But docker's graph drivers write uncompressed layers,
which are too large for a registry. An image with only such layers is read as in a docker archive, and its layers are
compressed during the push.
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
    """The content of a manifest.json next to an index.json.

    contents   the layout that contains it
    repo_tags  by the digest of the config, for images reachable from index.json
    listed     the entries of these images, by the same digest
    unlisted   images that index.json does not list: docker omits those without a tag"""

    contents: ArchiveReader
    repo_tags: Mapping[Digest, tuple[str, ...]]
    listed: Mapping[Digest, Sequence[DockerEntry]]
    unlisted: tuple[DockerEntry, ...] = ()


def read_docker_manifest(contents: ArchiveReader, graph: ManifestGraph) -> DockerManifestInfo:
    """Read manifest.json. The result is empty if it is absent or another kind of file, which a layout may contain.

    Raises what `read_manifest` and `parse_entries` raise."""
    value = read_manifest(contents)
    if not holds_docker_images(value):
        return DockerManifestInfo(contents, {}, {})
    configs = {manifest.config.digest for manifest in graph.manifests.values() if manifest.config is not None}
    digest_by_extent = {graph.blobs[digest]: digest for digest in configs if digest in graph.blobs}
    repo_tags: dict[Digest, dict[str, None]] = {}
    listed: dict[Digest, list[DockerEntry]] = {}
    unlisted = []
    for entry in parse_entries(value, contents.limits):
        digest = named_digest(entry.config)
        if digest not in configs:
            extent = contents.extent(entry.config)
            digest = None if extent is None else digest_by_extent.get(extent)
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


def repo_tags_of(documents: Sequence[DockerManifestInfo]) -> Mapping[Digest, tuple[str, ...]]:
    """Return the names in several documents, by the digest of the config."""
    if len(documents) == 1:
        return documents[0].repo_tags
    found: dict[Digest, dict[str, None]] = {}
    for document in documents:
        for digest, names in document.repo_tags.items():
            found.setdefault(digest, {}).update(dict.fromkeys(names))
    return {digest: tuple(names) for digest, names in found.items()}


def read_as_docker_archive(
    contents: ArchiveReader, graph: ManifestGraph, entry: ImageEntry, repo_tags: Mapping[Digest, tuple[str, ...]]
) -> ImageEntry:
    """Return `entry` with a DockerImage as its root, and its manifest as `original`, if that loses only the digest.

    The image must be listed in manifest.json, and all its layers must be plain tar. Raises DigestMismatch for its
    config."""
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
    """Return False if the manifest has annotations, a subject or other members that a new manifest would not have."""
    members = strict_json(manifest.raw, what="manifest", limit=MAX_MANIFEST_BYTES)
    described = (*manifest.layers, *([] if manifest.config is None else [manifest.config]))
    return _PLAIN_MEMBERS.issuperset(members) and not any(item.annotations or item.urls for item in described)


def _plain_layers(contents: ArchiveReader, graph: ManifestGraph, manifest: Manifest) -> tuple[DockerLayer, ...]:
    """Return the layers if all are plain tar, and nothing if one is not.

    The bytes are inspected, because some writers use the gzip media type for plain layers (containers/image#1270). The
    digest of a plain layer is its DiffID."""
    layers = []
    for layer in manifest.layers:
        extent = graph.blobs.get(layer.digest)
        if extent is None or layer.media_type not in _TAR_LAYERS or not contents.is_plain_tar(extent):
            return ()
        layers.append(DockerLayer(layer.digest, extent, Compression.NONE))
    return tuple(layers)
