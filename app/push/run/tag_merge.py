"""Merge of two images under one tag into one index (`on_existing_tag=merge-with-…`); pure.

Children are matched by platform: os, architecture and variant as written, and os.version if both state one. BuildKit's
attestations follow their image. Entries without a platform are kept, once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.oci import MAX_MANIFEST_BYTES, Descriptor, Manifest, Platform, new_manifest, strict_json
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MergeSide:
    """An image and its entries for an index: those that it lists, or one for itself."""

    manifest: Manifest
    entries: tuple[Entry, ...]

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(entry["digest"] for entry in self.entries)


def side_of(manifest: Manifest, platform: Platform | None) -> MergeSide | None:
    """Return the side of a merge, or None if it cannot be merged.

    `platform` is that of an image that is not an index, None if it is unknown.
    """
    if manifest.is_index:
        return MergeSide(manifest, entries_of(manifest))
    if platform is None or not platform.known:
        return None
    return MergeSide(manifest, (_entry_of(manifest.descriptor, platform),))


def entries_of(index: Manifest) -> tuple[Entry, ...]:
    return tuple(_members(index)["manifests"] or ())


def merge_sides(existing: MergeSide, ours: MergeSide, *, retain: bool) -> Manifest:
    """Return the new content of the tag.

    It is `existing.manifest` if nothing changes, `ours.manifest` if nothing else remains, otherwise a new index. If
    both have a platform, `ours` wins, or with `retain` the existing one. Media type, annotations and order are those of
    the existing index, if it is one.

    Raises LimitExceeded if the index becomes larger than registries accept.
    """
    entries = _retained(existing, ours) if retain else _overwritten(existing, ours)
    if entries == list(existing.entries):
        return existing.manifest
    if entries == list(ours.entries):
        return ours.manifest
    for side in (existing, ours):
        if side.manifest.is_index:
            return _index({**_members(side.manifest), "manifests": entries}, side.manifest.descriptor.media_type)
    types = {side.manifest.descriptor.media_type for side in (existing, ours)}
    media_type = DOCKER_LIST if types == {DOCKER_MANIFEST} else OCI_INDEX
    return _index({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}, media_type)


def conflicting_platforms(existing: MergeSide, platform: Platform) -> tuple[Entry, ...]:
    """Return the entries with the same platform as an image for `platform`."""
    ours = {"platform": platform_members(platform)}
    return tuple(entry for entry in existing.entries if _is_same_platform(entry, ours))


def _overwritten(existing: MergeSide, ours: MergeSide) -> list[Entry]:
    kept = [
        entry
        for entry in existing.entries
        if entry["digest"] in ours.digests or not any(_is_same_platform(entry, item) for item in ours.entries)
    ]
    known = {entry["digest"] for entry in kept}
    merged = [*kept, *(entry for entry in ours.entries if entry["digest"] not in known)]
    return _without_orphans(merged, existing.digests | ours.digests)


def _retained(existing: MergeSide, ours: MergeSide) -> list[Entry]:
    added = [
        entry
        for entry in ours.entries
        if entry["digest"] not in existing.digests
        and not any(_is_same_platform(entry, item) for item in existing.entries)
    ]
    return _without_orphans([*existing.entries, *added], ours.digests - existing.digests)


def _without_orphans(entries: Sequence[Entry], removed: frozenset[str]) -> list[Entry]:
    """Drop attestations of removed images. `removed`: the digests that were removed, unless `entries` has them."""
    held = {entry["digest"] for entry in entries}
    return [entry for entry in entries if _subject_of(entry) not in removed - held]


def _subject_of(entry: Entry) -> object:
    return (entry.get("annotations") or {}).get(ANNOTATION_DOCKER_SUBJECT)


def _is_same_platform(first: Entry, second: Entry) -> bool:
    stated, other = first.get("platform"), second.get("platform")
    if not isinstance(stated, dict) or not isinstance(other, dict):
        return False
    platform = Platform.of(stated)
    versions = {text for text in (platform.os_version, Platform.of(other).os_version) if text}
    return platform.known and platform == Platform.of(other) and len(versions) < 2


def _entry_of(descriptor: Descriptor, platform: Platform) -> Entry:
    return {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "platform": platform_members(platform),
    }


def platform_members(platform: Platform) -> dict[str, str]:
    members = {
        "architecture": platform.architecture,
        "os": platform.os,
        "os.version": platform.os_version,
        "variant": platform.variant,
    }
    return {key: text for key, text in members.items() if text}


def _index(members: dict[str, Any], media_type: str) -> Manifest:
    return new_manifest(json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode(), media_type)


def _members(manifest: Manifest) -> dict[str, Any]:
    what = f"index {manifest.descriptor.digest}"
    members: dict[str, Any] = strict_json(manifest.raw, what=what, limit=MAX_MANIFEST_BYTES)
    return members
