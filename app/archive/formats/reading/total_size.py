"""Limits on the size of a push: a few kilobytes may share one index among thousands of images."""

from __future__ import annotations

from collections.abc import Iterator

from app.archive.model import Archive, DockerImage, ImageEntry, Limits
from app.errors import LimitExceeded
from app.oci import Descriptor, Digest


def check_total_size(archive: Archive, limits: Limits) -> Archive:
    """Return the archive itself. Raises LimitExceeded if its images have too many names or too much content.

    Shared content counts once per image: each image may be pushed to a different repository, which needs all its
    content."""
    names = sum(len(image.called) for image in archive.images)
    if names > limits.names:
        raise LimitExceeded(
            f"the images of the archive have {names} names; at most {limits.names} are read; push it in parts"
        )
    size = sum(len(name.encode()) for image in archive.images for name in image.called)
    if size > limits.names_bytes:
        raise LimitExceeded(
            f"the names of the archive's images have {size} bytes together; at most {limits.names_bytes} are read; "
            "push it in parts"
        )
    steps = 0
    for image in archive.images:
        for found in _followed(archive, image):
            steps += found
            if steps > limits.steps:
                raise LimitExceeded(
                    f"the images of the archive consist of more than {limits.steps} manifests and blobs, counted for "
                    "each image; push it in parts with `images`"
                )
    return archive


def _followed(archive: Archive, image: ImageEntry) -> Iterator[int]:
    """Yield the number of references of each manifest, once per image."""
    if isinstance(image.root, DockerImage):
        yield 1 + len(image.root.layers)
    seen: set[Digest] = set()
    waiting = [root.digest for root in _roots(image)]
    for digest in waiting:
        manifest = archive.manifests.get(digest)
        if digest in seen or manifest is None:
            continue
        seen.add(digest)
        yield 1 + len(manifest.layers) + len(manifest.manifests) + len(manifest.carried)
        waiting.extend(child.digest for child in manifest.children)


def _roots(image: ImageEntry) -> Iterator[Descriptor]:
    if isinstance(image.root, Descriptor):
        yield image.root
    yield from image.referrers
    yield from (attached.root for attached in image.attached)
