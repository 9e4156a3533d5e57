"""The manifests that are pushed with an image: its referrers and tagged referrers; pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.archive.manifests.descendants import descendants
from app.archive.model import Archive, DockerImage, ImageEntry
from app.oci import Digest, Manifest


def attached_manifests(archive: Archive, entry: ImageEntry) -> Iterator[Manifest]:
    """Yield each image manifest below the referrers and tagged referrers of `entry` that is not below its root."""
    roots = [descriptor.digest for descriptor in entry.referrers]
    roots += [attached.root.digest for attached in entry.attached]
    digests = dict.fromkeys(
        digest for root in roots for digest in descendants(archive.manifests[root], archive.manifests)
    )
    own = set[Digest]()
    if not isinstance(entry.root, DockerImage):
        own.update(descendants(archive.manifests[entry.root.digest], archive.manifests))
    attached = (archive.manifests[digest] for digest in digests if digest not in own)
    return (manifest for manifest in attached if not manifest.is_index)
