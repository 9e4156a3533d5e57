"""Problems that a container runtime would report for an image, found without decompressing layers.

A runtime matches layer number i of a manifest with diff_id number i of its config, unpacks it as its media type states,
and checks the config's platform. Manifests of the archive are pushed unchanged and get a notice. Manifests that Tarmac
makes are correct, or the image is rejected (`app.archive.formats.layout.agreement`,
`app.archive.manifests.media_type_conversion`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from app.archive.formats.reading.reader import ArchiveReader
from app.archive.manifests.image_config import ImageConfig, parse_image_config
from app.archive.manifests.layer_types import is_layer, mislabelled_layers, pushed_mislabelled, stated_compression
from app.archive.model import Archive, Compression, Extent, ImageEntry
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, Platform, strict_json
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT, DOCKER_CONFIG, OCI_CONFIG

MAX_NOTES = 10  # on images of one archive
MAX_SHOWN = 2  # layers in one note
_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


@dataclass(frozen=True, slots=True)
class Layers:
    """The stored compression of layers; None if the archive does not have the bytes."""

    contents: ArchiveReader
    blobs: Mapping[Digest, Extent]

    def compression(self, layer: Descriptor) -> Compression | None:
        extent = self.blobs.get(layer.digest)
        return None if extent is None else self.contents.compression(extent)

    def is_plain(self, layer: Descriptor) -> bool:
        """Return whether the layer's digest is a diff_id. For absent bytes the media type decides."""
        return (self.compression(layer) or stated_compression(layer.media_type)) is Compression.NONE


def is_image(manifest: Manifest) -> bool:
    """Return whether a runtime would unpack it. Artifacts and attestations have other configs or layers."""
    config = manifest.config
    if config is None or config.media_type not in _CONFIGS:
        return False
    return all(is_layer(layer.media_type) for layer in manifest.layers)


def contradiction(manifest: Manifest, config: ImageConfig, layers: Layers) -> str:
    """Return how the manifest of an image contradicts its config; empty if no contradiction is visible."""
    diff_ids = config.diff_ids
    if diff_ids is None:
        return ""
    if len(diff_ids) != len(manifest.layers):
        return f"it lists {len(manifest.layers)} layers, but its config has {len(diff_ids)} diff_ids"
    found = [
        f"layer {number} is {layer.digest}, but its config has diff_id {diff_id}"
        for number, (layer, diff_id) in enumerate(zip(manifest.layers, diff_ids, strict=True), 1)
        if not _may_be(layer, diff_id) and layers.is_plain(layer)
    ]
    return _joined(found)


def _may_be(layer: Descriptor, diff_id: str) -> bool:
    """Return whether the layer may have that diff_id. Digests of two algorithms cannot be compared."""
    digest = layer.digest
    return str(digest) == diff_id or not diff_id.startswith(f"{digest.algorithm}:")


def _joined(texts: list[str]) -> str:
    more = len(texts) - MAX_SHOWN
    return "; ".join(texts[:MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def check_runnable(archive: Archive, contents: ArchiveReader) -> Archive:
    """Return `archive` with notices about images that some or all runtimes reject, and with platforms of the configs.

    Manifests that will be rejected (`Archive.contradictions`) get no notice."""
    check = _Check(archive, contents)
    images = tuple(check.image(entry) for entry in archive.images)
    notes = (*archive.notes, *check.notices())
    return replace(archive, images=images, notes=notes, mislabelled=check.mislabelled)


@dataclass(slots=True)
class _Check:
    archive: Archive
    contents: ArchiveReader
    mislabelled: dict[Digest, Compression] = field(default_factory=dict)
    _seen: set[Digest] = field(default_factory=set)
    _notes: list[str] = field(default_factory=list)
    _count: int = 0
    _unread: set[Digest] = field(default_factory=set)

    def image(self, entry: ImageEntry) -> ImageEntry:
        """Return the entry with the platform of its config. Problems seen with an earlier image are not repeated."""
        if not isinstance(entry.root, Descriptor):
            if entry.original is not None:  # pushed instead if layers are stored unchanged
                self._mislabelled(self.archive.manifests[entry.original.digest])
            return entry
        title = entry.called[0] if entry.called else str(entry.root.digest)
        waiting = [entry.root.digest]
        for digest in waiting:
            manifest = self.archive.manifests.get(digest)
            if manifest is None or digest in self._seen:
                continue
            self._seen.add(digest)
            waiting.extend(child.digest for child in manifest.children)
            if manifest.is_index:
                self._index(manifest, title)
            elif is_image(manifest):
                self._image(manifest, title)
        return self._with_platform(entry, title)

    def notices(self) -> Iterator[str]:
        yield from self._notes
        if self._count > MAX_NOTES:
            yield f"{self._count - MAX_NOTES} more manifests and layers contradict their descriptions"
        if self._unread:
            yield f"{len(self._unread)} configs were not compared with their manifests; they are too many, or too large"

    def _note(self, text: str) -> None:
        self._count += 1
        if self._count <= MAX_NOTES:
            self._notes.append(text)

    def _image(self, manifest: Manifest, title: str) -> None:
        digest = manifest.descriptor.digest
        layers = Layers(self.contents, self.archive.blobs)
        config = self._config(manifest)
        if digest in self.archive.contradictions:
            return
        found = "" if config is None else contradiction(manifest, config, layers)
        if found and not is_artifact(manifest):
            self._note(
                f"{title}: manifest {digest} contradicts its config: {found}. It is pushed unchanged, but no container "
                "runtime can run it"
            )
        if wrong := self._mislabelled(manifest):
            self._note(pushed_mislabelled(title, wrong))

    def _mislabelled(self, manifest: Manifest) -> dict[Digest, str]:
        layers = Layers(self.contents, self.archive.blobs)
        stored = {
            layer.digest: how
            for layer in manifest.layers
            if (how := layers.compression(layer)) is not None and self.archive.blobs[layer.digest].size
        }
        found = mislabelled_layers(manifest.layers, stored)
        self.mislabelled.update({digest: stored[digest] for digest in found})
        return found

    def _index(self, index: Manifest, title: str) -> None:
        for child in index.manifests:
            config = self._config(self.archive.manifests.get(child.digest))
            if config is not None and not _is_same(child, config):
                self._note(
                    f"{title}: index {index.descriptor.digest} lists {child.digest} for {child.platform}, but its "
                    f"config has {config.platform}. It is pushed unchanged"
                )

    def _with_platform(self, entry: ImageEntry, title: str) -> ImageEntry:
        """Replace the platform of index.json's descriptor, which is not pushed, by that of the config."""
        root = self.archive.manifests.get(entry.root.digest) if isinstance(entry.root, Descriptor) else None
        config = self._config(root)
        if root is None or config is None or _is_same(root.descriptor, config):
            return entry
        self._note(
            f"{title}: the archive lists it for {root.descriptor.platform}, but its config has {config.platform}. The "
            "config takes precedence"
        )
        return replace(entry, platforms=(config.platform,))

    def _config(self, manifest: Manifest | None) -> ImageConfig | None:
        config = None if manifest is None or not is_image(manifest) else manifest.config
        if config is None:
            return None
        extent = self.archive.blobs.get(config.digest)
        if extent is None:
            return None if config.data is None else parse_image_config(config.data, self.contents.limits.config_bytes)
        found = self.contents.spare_config(extent)
        if found is None and extent not in self.contents.configs:
            self._unread.add(config.digest)
        return found


def _is_same(descriptor: Descriptor, config: ImageConfig) -> bool:
    """Return whether they have the same os and architecture, or one of them lacks these. Variants are often omitted."""
    stated = descriptor.platform
    if stated is None or not (stated.complete and config.platform.complete):
        return True
    if ANNOTATION_DOCKER_SUBJECT in descriptor.annotations:
        return True
    return _normalised(stated) == _normalised(config.platform)


def _normalised(platform: Platform) -> tuple[str, str]:
    """Return os and architecture as containerd normalizes them (its package platforms)."""
    os, architecture = platform.os.lower(), platform.architecture.lower()
    return ("darwin" if os == "macos" else os, _ARCHITECTURES.get(architecture, architecture))


def is_artifact(manifest: Manifest) -> bool:
    """Return whether the manifest has an artifactType, with any config and layers."""
    members = strict_json(manifest.raw, what="manifest", limit=MAX_MANIFEST_BYTES)
    return bool(members.get("artifactType"))
