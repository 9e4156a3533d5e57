"""Referrers and tagged referrers of an image whose root is replaced; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.archive.model import ImageEntry
from app.oci import Digest, Manifest


def descendants(root: Manifest, manifests: Mapping[Digest, Manifest]) -> list[Digest]:
    """Return the digest of `root` and of all manifests below it in `manifests`."""
    found = {root.descriptor.digest: None}
    waiting = [root]
    for manifest in waiting:
        for child in manifest.children:
            if child.digest in manifests and child.digest not in found:
                found[child.digest] = None
                waiting.append(manifests[child.digest])
    return list(found)


def replace_root(image: ImageEntry, root: Manifest, manifests: Mapping[Digest, Manifest]) -> tuple[ImageEntry, int]:
    """Return `image` with another root, and the number of referrers that were dropped.

    A referrer is dropped if its subject, such as a signed index, no longer exists in the image."""
    contained = set(descendants(root, manifests))
    referrers = []
    for referrer in image.referrers:
        subject = manifests[referrer.digest].subject
        if subject is not None and subject.digest in contained:
            referrers.append(referrer)
            contained.update(descendants(manifests[referrer.digest], manifests))
    attached = []
    for item in image.attached:
        if item.subject in contained:
            attached.append(item)
            contained.update(descendants(manifests[item.root.digest], manifests))
    dropped = len(image.referrers) - len(referrers) + len(image.attached) - len(attached)
    changed = replace(image, root=root.descriptor, referrers=tuple(referrers), attached=tuple(attached))
    return changed, dropped
