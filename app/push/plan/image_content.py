"""The content of one image: its manifests, children first, and the blobs that they refer to; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.archive.model import Archive, DockerImage, DockerLayer, Extent, ImageEntry
from app.errors import MissingContent, SizeMismatch
from app.oci import Descriptor, Digest, Manifest, Reference
from app.oci.media_types import NON_DISTRIBUTABLE, is_manifest


@dataclass(frozen=True, slots=True)
class ImageBlob:
    """A blob of an image.

    `what` is its label in messages. `inline`: its bytes, if they were in its descriptor and not in the tar.
    """

    key: Digest
    extent: Extent
    what: str
    layer: DockerLayer | None = None
    inline: bytes | None = None


def image_identity(entry: ImageEntry) -> Digest:
    """Return the identity of an image: the digest of its root, or of its config if it has no manifest yet."""
    return entry.root.config.digest if isinstance(entry.root, DockerImage) else entry.root.digest


def display_name(entry: ImageEntry) -> str:
    """Return the name of an image for people: `nginx:1.25`, a tag, or its digest."""
    return entry.called[0] if entry.called else str(image_identity(entry))


def manifest_tree(archive: Archive, root: Descriptor) -> tuple[Manifest, ...]:
    """Return the manifest of `root` and all below it in the archive, each once, children before parents.

    The image-spec permits sparse indexes.
    """
    found: dict[Digest, Manifest] = {}
    if root.digest in archive.manifests:
        _walk(archive, root.digest, found)
    return tuple(found.values())


def _walk(archive: Archive, digest: Digest, found: dict[Digest, Manifest]) -> None:
    # as deep as Limits.depth permits; a cycle is impossible, because a digest cannot contain itself
    manifest = archive.manifests[digest]
    for child in manifest.children:
        if child.digest not in found and child.digest in archive.manifests:
            _walk(archive, child.digest, found)
    found[digest] = manifest


def referrers(archive: Archive, entry: ImageEntry) -> tuple[Manifest, ...]:
    """Return the referrers and tagged referrers of the image with everything below them, children first."""
    roots = (*entry.referrers, *(attached.root for attached in entry.attached))
    found = {manifest.descriptor.digest: manifest for root in roots for manifest in manifest_tree(archive, root)}
    return tuple(found.values())


def manifests(archive: Archive, entry: ImageEntry) -> tuple[Manifest, ...]:
    """Return the manifests of the image in the archive, children first, the root last; none for a docker image."""
    return () if isinstance(entry.root, DockerImage) else manifest_tree(archive, entry.root)


def image_blobs(archive: Archive, entry: ImageEntry) -> tuple[ImageBlob, ...]:
    """Return every blob that the image and its referrers need, each once, the largest first.

    The longest transfer starts first, so that it does not run alone at the end. Absent foreign layers are omitted.

    Raises the fault of the image, MissingContent and SizeMismatch.
    """
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
                f"{what} ({descriptor.digest}) has {extent.size} bytes instead of the {descriptor.size} in its "
                "descriptor"
            )
        yield ImageBlob(descriptor.digest, extent, what)
    elif descriptor.data is not None:
        yield ImageBlob(descriptor.digest, Extent(0, len(descriptor.data)), what, inline=descriptor.data)
    elif not descriptor.urls and descriptor.media_type not in NON_DISTRIBUTABLE:
        raise MissingContent(f"{what} ({descriptor.digest}) is not in the archive; rebuild the archive")


def repositories(destinations: tuple[Reference, ...]) -> tuple[str, ...]:
    """Return the repositories of `destinations`, each once, in order."""
    return tuple(dict.fromkeys(destination.repository for destination in destinations))
