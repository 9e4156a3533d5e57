"""Sparse indexes: what an archive lacks of its images (image-spec lets a layout lack what it refers to); pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from app.archive.model import Archive, ImageEntry
from app.errors import MissingContent
from app.oci import Descriptor, Manifest
from app.oci.media_types import NON_DISTRIBUTABLE, is_manifest
from app.push.asserted import Archives
from app.push.graph import manifests, referrers, title
from app.push.plan import ImageTarget

MAX_SHOWN = 10  # things that one message names


def refuse_missing(archives: Sequence[Archive], images: Sequence[ImageTarget], told: Archives) -> None:
    """Raises MissingContent with everything that is missing, and what of each image is there."""
    lacks = [
        f"{told.which(image.archive)} lacks{text}"
        for image in images
        if (text := _told(archives[image.archive], image.entry))
    ]
    if lacks:
        raise MissingContent(
            f"{'; '.join(lacks[:MAX_SHOWN])}. Save it again with all of its platforms, pick those that are there with "
            "`platforms`, or pass allow_missing=true to push the index as it stands"
        )


def lacking(archive: Archive, entry: ImageEntry) -> list[str]:
    """Every manifest and blob that the image and what hangs on it refer to and the archive does not hold."""
    held = (*manifests(archive, entry), *referrers(archive, entry))
    return list(dict.fromkeys(what for manifest in held for what in _lacking(archive, manifest)))


def leave_out(archive: Archive) -> Archive:
    """The archive without those children of indexes that lack content: no registry takes the manifest of such a child,
    but it may take the index."""
    broken = {digest for digest, held in archive.manifests.items() if any(_absent_blobs(archive, held))}
    told = [what for image in archive.images for what in lacking(archive, image)]
    if not told:
        return archive
    note = f"pushed as it stands, without what the archive lacks: {_enumerated(list(dict.fromkeys(told)))}"
    roots = {image.root.digest for image in archive.images if isinstance(image.root, Descriptor)}
    kept = {digest: held for digest, held in archive.manifests.items() if digest in roots or digest not in broken}
    return replace(archive, manifests=kept, notes=(*archive.notes, note))


def _told(archive: Archive, entry: ImageEntry) -> str:
    missing = lacking(archive, entry)
    if not missing:
        return ""
    there = ", ".join(_whole_platforms(archive, entry)) or "no whole platform"
    return f", of {title(entry)}, {_enumerated(missing)}; it holds {there}"


def _whole_platforms(archive: Archive, entry: ImageEntry) -> list[str]:
    held = manifests(archive, entry)
    platforms = {child.digest: child.platform for manifest in held for child in manifest.manifests}
    whole = []
    for manifest in held:
        platform = platforms.get(manifest.descriptor.digest) or manifest.descriptor.platform
        if platform is not None and platform.known and not manifest.is_index and not any(_lacking(archive, manifest)):
            whole.append(str(platform))
    return list(dict.fromkeys(whole))


def _lacking(archive: Archive, manifest: Manifest) -> Iterator[str]:
    for child in manifest.manifests:
        if is_manifest(child.media_type) and child.digest not in archive.manifests:
            known = child.platform is not None and child.platform.known
            yield f"manifest {child.digest}" + (f" ({child.platform})" if known else "")
        elif not is_manifest(child.media_type) and _is_absent(archive, child):
            yield f"content {child.digest} of index {manifest.descriptor.digest}"
    for blob in _absent_blobs(archive, manifest):
        yield f"blob {blob.digest} of manifest {manifest.descriptor.digest}"


def _absent_blobs(archive: Archive, manifest: Manifest) -> Iterator[Descriptor]:
    return (blob for blob in manifest.blobs if _is_absent(archive, blob))


def _is_absent(archive: Archive, descriptor: Descriptor) -> bool:
    may_be = descriptor.urls or descriptor.media_type in NON_DISTRIBUTABLE or descriptor.data is not None
    return descriptor.digest not in archive.blobs and not may_be


def _enumerated(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_SHOWN
    return ", ".join(texts[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
