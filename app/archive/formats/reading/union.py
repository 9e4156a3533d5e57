"""Merge several Archives from one file: storages in several directories, archives inside an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.archive.model import Archive, DockerImage, Extent, ImageEntry, Limits
from app.errors import LimitExceeded
from app.oci import Digest, Manifest


def unite(archives: Sequence[Archive], limits: Limits) -> Archive:
    """Return the content of all `archives`, in order, in the format of the first. Raises LimitExceeded.

    An image in several of them has the names of all."""
    if len(archives) == 1:
        return archives[0]
    images: dict[object, ImageEntry] = {}
    manifests: dict[Digest, Manifest] = {}
    blobs: dict[Digest, Extent] = {}
    for archive in archives:
        manifests.update(archive.manifests)
        blobs.update(archive.blobs)
        for image in archive.images:
            key = _key(image)
            known = images.get(key)
            images[key] = image if known is None else _merged(known, image)
    size = sum(len(manifest.raw) for manifest in manifests.values())
    if len(manifests) > limits.nodes or size > limits.manifests_bytes:
        raise LimitExceeded(
            f"the archive has more than {limits.nodes} manifests or {limits.manifests_bytes} bytes of them; split it"
        )
    notes = dict.fromkeys(note for archive in archives for note in archive.notes)
    faults = {digest: fault for archive in archives for digest, fault in archive.faults.items()}
    return replace(
        archives[0],
        images=tuple(images.values()),
        manifests=manifests,
        blobs=blobs,
        notes=tuple(notes),
        faults={digest: fault for digest, fault in faults.items() if digest not in manifests},
        contradictions={digest: why for archive in archives for digest, why in archive.contradictions.items()},
    )


def _key(image: ImageEntry) -> object:
    is_docker = isinstance(image.root, DockerImage)
    root = image.root.config if isinstance(image.root, DockerImage) else image.root
    return is_docker, root.digest, image.referrers, image.attached


def _merged(image: ImageEntry, other: ImageEntry) -> ImageEntry:
    """Return the names of both, and the content of the one that can be pushed."""
    return replace(
        image if image.fault is None else other,
        names=tuple(dict.fromkeys((*image.names, *other.names))),
        paths=tuple(dict.fromkeys((*image.paths, *other.paths))),
        bare_tags=tuple(dict.fromkeys((*image.bare_tags, *other.bare_tags))),
        placeholders=tuple(dict.fromkeys((*image.placeholders, *other.placeholders))),
    )
