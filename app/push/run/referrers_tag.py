"""The referrers of an image at a registry without the referrers API.

They are in an index under the tag `<algorithm>-<hex>` of the subject (distribution-spec "Referrers Tag Schema").
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from app.errors import ArchiveError
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, new_manifest, referrer, strict_json
from app.oci.media_types import OCI_INDEX
from app.push.run.tag_locks import TagLocks
from app.registry import Registry, StoredManifest

_ILLEGAL = re.compile(r"[^a-zA-Z0-9._-]")
_EMPTY: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def referrers_tag(subject: Digest) -> str:
    """Return the referrers tag: the algorithm is cut to 32 characters, the encoded part to 64, as specified."""
    return _ILLEGAL.sub("-", f"{subject.algorithm[:32]}-{subject.encoded[:64]}")


class ReferrersTags:
    def __init__(self, registry: Registry, tag_locks: TagLocks) -> None:
        self._registry = registry
        self._tag_locks = tag_locks

    async def contains(self, repository: str, manifest: Manifest) -> bool:
        """Return whether the referrers tag of its subject lists `manifest`; True if it has no subject."""
        if manifest.subject is None:
            return True
        existing = await self._registry.read_manifest(repository, referrers_tag(manifest.subject.digest))
        members = None if existing is None else _members(existing)
        return members is not None and str(manifest.descriptor.digest) in _digests(members["manifests"])

    async def add(self, repository: str, manifests: Sequence[Manifest]) -> list[str]:
        """Add `manifests` to the referrers tags of their subjects, and return the notices.

        Each tag is written once, because a registry with immutable tags accepts no second write. Raises the errors of
        the registry.
        """
        entries: dict[str, list[dict[str, Any]]] = {}
        for manifest in manifests:
            if manifest.subject is not None:
                tag = referrers_tag(manifest.subject.digest)
                entries.setdefault(tag, []).append(referrer_descriptor(referrer(manifest)))
        notices = [await self.merge(repository, tag, members) for tag, members in entries.items()]
        return [notice for notice in notices if notice is not None]

    async def merge(
        self, repository: str, tag: str, entries: Sequence[dict[str, Any]], whole: Manifest | None = None
    ) -> str | None:
        """Add entries to a referrers tag.

        `whole` is the index that contains them, which is pushed unchanged if the tag is missing. If the tag is not an
        index, leave it and return a notice.
        """
        async with self._tag_locks.lock(repository, tag):
            existing = await self._registry.read_manifest(repository, tag)
            if existing is None and whole is not None:
                await self._registry.push_manifest(repository, tag, (whole.descriptor, whole.raw))
                return None
            members = dict(_EMPTY) if existing is None else _members(existing)
            if members is None:
                return (
                    f"{repository}:{tag} is the referrers tag, but has other content; it was not changed, so tools "
                    "that read it find no referrers"
                )
            known = _digests(members["manifests"])
            more = [entry for entry in entries if entry["digest"] not in known]
            if more:
                document = {**members, "manifests": [*members["manifests"], *more]}
                made = new_manifest(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), OCI_INDEX)
                await self._registry.push_manifest(repository, tag, (made.descriptor, made.raw))
        return None


def referrer_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """Return the members of a referrer's descriptor as JSON."""
    members: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.artifact_type is not None:
        members["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        members["annotations"] = dict(descriptor.annotations)
    return members


def _members(existing: StoredManifest) -> dict[str, Any] | None:
    """Return the members of an image index, or None for other content, which must not be changed."""
    if existing.media_type != OCI_INDEX:
        return None
    try:
        members = strict_json(existing.raw, what="the list of referrers", limit=MAX_MANIFEST_BYTES)
    except ArchiveError:
        return None
    entries = members.get("manifests") if isinstance(members, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    return dict(members)


def _digests(entries: Sequence[dict[str, Any]]) -> set[object]:
    return {entry.get("digest") for entry in entries if isinstance(entry.get("digest"), str)}
