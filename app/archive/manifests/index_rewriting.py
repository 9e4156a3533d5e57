"""Rewrite the entries of an image index whose manifests were replaced; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.oci import Descriptor, Digest
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT


def list_anew(members: Mapping[str, Any], children: Sequence[Descriptor], made: Mapping[Digest, Descriptor]) -> bool:
    """Update the entries in `members` of an index, and the attestations that name them. Return whether any changed.

    `made` has the new descriptors by the digests of `children`."""
    renamed: dict[str, str] = {}
    for entry, child in zip(members["manifests"], children, strict=True):
        now = made.get(child.digest)
        if now is not None and now.digest != child.digest:
            entry.update(mediaType=now.media_type, digest=str(now.digest), size=now.size)
            entry.pop("data", None)  # a copy of the old bytes
            renamed[str(child.digest)] = str(now.digest)
    for entry in members["manifests"]:
        subject = (entry.get("annotations") or {}).get(ANNOTATION_DOCKER_SUBJECT)
        if subject in renamed:
            entry["annotations"][ANNOTATION_DOCKER_SUBJECT] = renamed[subject]
    return bool(renamed)
