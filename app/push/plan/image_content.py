"""What one image consists of: its manifests, children first, and the blobs that they refer to; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.archive.model import Archive, DockerImage, DockerLayer, Extent, ImageEntry
from app.errors import MissingContent, SizeMismatch
from app.oci import Descriptor, Digest, Manifest, Reference
from app.oci.media_types import NON_DISTRIBUTABLE, is_manifest


@dataclass(frozen=True, slots=True)
class ImageBlob:
    """A blob of an image. `what` names it in messages; `inline`: its bytes stood in its descriptor, not in the tar."""

    key: Digest
    extent: Extent
    what: str
    layer: DockerLayer | None = None
    inline: bytes | None = None


def image_identity(entry: ImageEntry) -> Digest:
    """What makes an image this image: the digest of its root, or of its config where a manifest has yet to be made."""
    return entry.root.config.digest if isinstance(entry.root, DockerImage) else entry.root.digest


def display_name(entry: ImageEntry) -> str:
    """What a person calls the image: `nginx:1.25`, a tag, or its digest."""
    return entry.called[0] if entry.called else str(image_identity(entry))


def manifest_tree(archive: Archive, root: Descriptor) -> tuple[Manifest, ...]:
    """The manifest of `root` and all below it that is in the archive, each once, children before parents: image-spec
    allows sparse indexes."""
    found: dict[Digest, Manifest] = {}
    if root.digest in archive.manifests:
        _walk(archive, root.digest, found)
    return tuple(found.values())


def _walk(archive: Archive, digest: Digest, found: dict[Digest, Manifest]) -> None:
    # as deep as Limits.depth allows; a cycle cannot be, as a digest would have to hold itself
    manifest = archive.manifests[digest]
    for child in manifest.children:
        if child.digest not in found and child.digest in archive.manifests:
            _walk(archive, child.digest, found)
    found[digest] = manifest


def referrers(archive: Archive, entry: ImageEntry) -> tuple[Manifest, ...]:
    """The manifests that hang on the image, by `subject` or by the name of a tag, with what is below them, children
    first."""
    roots = (*entry.referrers, *(attached.root for attached in entry.attached))
    found = {each.descriptor.digest: each for root in roots for each in manifest_tree(archive, root)}
    return tuple(found.values())


def manifests(archive: Archive, entry: ImageEntry) -> tuple[Manifest, ...]:
    """The manifests of the image that the archive holds, children first, the root last; none for a docker image."""
    return () if isinstance(entry.root, DockerImage) else manifest_tree(archive, entry.root)


def image_blobs(archive: Archive, entry: ImageEntry) -> tuple[ImageBlob, ...]:
    """Every blob that the image and its referrers need, each once, the largest first: the longest work starts first,
    so that none is left alone at the end. Absent foreign layers are left out.

    Raises the fault of the image, MissingContent, SizeMismatch."""
    if entry.fault is not None:
        raise entry.fault.error
    found: dict[tuple[Digest, bool], ImageBlob] = {}
    for content in (*_docker_contents(archive, entry), *_described_contents(archive, entry)):
        found.setdefault((content.key, content.layer is not None), content)
    return tuple(sorted(found.values(), key=lambda content: -content.extent.size))


def _docker_contents(archive: Archive, entry: ImageEntry) -> Iterator[ImageBlob]:
    if isinstance(entry.root, DockerImage):
        for number, layer in enumerate(entry.root.layers, 1):
            yield ImageBlob(layer.diff_id, layer.extent, f"layer {number} of {display_name(entry)}", layer)
        yield from _described(archive, entry.root.config, f"the config of {display_name(entry)}")


def _described_contents(archive: Archive, entry: ImageEntry) -> Iterator[ImageBlob]:
    for manifest in (*manifests(archive, entry), *referrers(archive, entry)):
        if manifest.config is not None:
            yield from _described(archive, manifest.config, f"the config of {display_name(entry)}")
        for number, layer in enumerate(manifest.layers, 1):
            yield from _described(archive, layer, f"layer {number} of {display_name(entry)}")
        for blob in manifest.carried:
            yield from _described(archive, blob, f"content of {display_name(entry)}")
        for child in manifest.manifests:
            if child.digest in archive.blobs and not is_manifest(child.media_type):
                yield from _described(archive, child, f"content of {display_name(entry)}")


def _described(archive: Archive, descriptor: Descriptor, what: str) -> Iterator[ImageBlob]:
    extent = archive.blobs.get(descriptor.digest)
    if extent is not None:
        if extent.size != descriptor.size:
            raise SizeMismatch(
                f"{what} ({descriptor.digest}) has {extent.size} bytes where its descriptor says {descriptor.size}"
            )
        yield ImageBlob(descriptor.digest, extent, what)
    elif descriptor.data is not None:
        yield ImageBlob(descriptor.digest, Extent(0, len(descriptor.data)), what, inline=descriptor.data)
    elif not descriptor.urls and descriptor.media_type not in NON_DISTRIBUTABLE:
        raise MissingContent(f"{what} ({descriptor.digest}) is not in the archive; make the archive anew")


def repositories(destinations: tuple[Reference, ...]) -> tuple[str, ...]:
    """The repositories of `destinations`, each once, in order."""
    return tuple(dict.fromkeys(destination.repository for destination in destinations))
