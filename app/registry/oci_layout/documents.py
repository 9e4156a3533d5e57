"""What the image store has, and what was deleted of it, as JSON documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from app.registry.oci_layout.catalog import CatalogImage, CatalogRepository
from app.registry.oci_layout.collection import Collected

MAX_DELETED_SHOWN = 1_000


def image_document(image: CatalogImage, visible_jobs: Collection[str]) -> dict[str, Any]:
    """Return the document of an image. A job is named if it is among `visible_jobs`."""
    return {
        "tag": image.tag,
        "digest": str(image.digest),
        "media_type": image.media_type,
        "artifact_type": image.artifact_type,
        "platforms": list(image.platforms),
        "size": image.size,
        "shared_size": image.shared_size,
        "pushed_at": _time(image.pushed_at),
        "job": image.job if image.job in visible_jobs else None,
        "is_kept": image.is_kept,
    }


def repository_document(
    found: CatalogRepository, images: Sequence[CatalogImage], total: int, visible_jobs: Collection[str]
) -> dict[str, Any]:
    """Return the document of a repository with `images` of the `total` that match."""
    tagged = sum(image.tag is not None for image in found.images)
    return {
        "name": found.name,
        "size": found.size,
        "shared_size": found.shared_size,
        "tags_total": tagged,
        "untagged_total": len(found.images) - tagged,
        "pushed_at": _time(max(image.pushed_at for image in found.images)) if found.images else None,
        "images": [image_document(image, visible_jobs) for image in images],
        "images_total": total,
    }


def collected_document(found: Collected, *, dry_run: bool = False) -> dict[str, Any]:
    """Return the document of a collection; with `dry_run` of one that would be."""
    entries = [
        {"repository": entry.repository, "tag": entry.tag, "digest": str(entry.digest)} for entry in found.entries
    ]
    return {
        "dry_run": dry_run,
        "deleted": entries[:MAX_DELETED_SHOWN],
        "tags": found.tags,
        "manifests": found.manifests,
        "blobs": found.blobs,
        "freed_bytes": found.freed_bytes,
        "in_use_bytes": found.in_use_bytes,
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
