"""Sparse indexes: pushed without the children that the archive lacks (option `allow_missing`); pure."""

from __future__ import annotations

from dataclasses import replace

from app.archive.model import Archive
from app.errors import join_limited
from app.oci import Descriptor
from app.push.plan.completeness import Lacks, absent_blobs, lacking


def drop_incomplete_children(archive: Archive) -> Archive:
    """Return the archive without index children that lack content.

    A registry rejects the manifest of such a child, but may accept the index.
    """
    broken = {digest for digest, held in archive.manifests.items() if any(absent_blobs(archive, held))}
    lacks = Lacks()
    for image in archive.images:
        found = lacking(archive, image)
        lacks.missing.update(found.missing)
        lacks.unusable.update(found.unusable)
    if lacks.is_nothing:
        return archive
    missing = join_limited([*lacks.missing, *(fault.message for fault in lacks.unusable)])
    note = f"pushed without the content that the archive lacks: {missing}"
    roots = {image.root.digest for image in archive.images if isinstance(image.root, Descriptor)}
    kept = {digest: held for digest, held in archive.manifests.items() if digest in roots or digest not in broken}
    return replace(archive, manifests=kept, notes=(*archive.notes, note))
