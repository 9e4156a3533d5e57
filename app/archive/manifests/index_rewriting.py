"""An image index whose manifests became others: the entries that its members have of them; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.oci import Descriptor, Digest
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT


def list_anew(members: Mapping[str, Any], children: Sequence[Descriptor], made: Mapping[Digest, Descriptor]) -> bool:
    """Change the entries in `members` of an index whose `children` are others by now, as `made` has them, and the
    attestations that name these. Return whether there were any."""
    renamed: dict[str, str] = {}
    for entry, child in zip(members["manifests"], children, strict=True):
        now = made.get(child.digest)
        if now is not None and now.digest != child.digest:
            entry.update(mediaType=now.media_type, digest=str(now.digest), size=now.size)
            entry.pop("data", None)  # a copy of the bytes as they were
            renamed[str(child.digest)] = str(now.digest)
    for entry in members["manifests"]:
        subject = (entry.get("annotations") or {}).get(ANNOTATION_DOCKER_SUBJECT)
        if subject in renamed:
            entry["annotations"][ANNOTATION_DOCKER_SUBJECT] = renamed[subject]
    return bool(renamed)
