"""Two images under one tag become one index (`on_existing_tag=merge-with-…`); pure.

Children are matched by platform: os, architecture and variant as they are written, and os.version where both tell one.
BuildKit's attestations go where the image goes that they are about. What tells no platform stays, once."""

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
    """An image and the entries that an index has of it: those that it lists, or one of itself."""

    manifest: Manifest
    entries: tuple[Entry, ...]

    @property
    def digests(self) -> frozenset[str]:
        return frozenset(entry["digest"] for entry in self.entries)


def side_of(manifest: Manifest, platform: Platform | None) -> MergeSide | None:
    """`platform` is that of an image that is no index; None for one that tells none: it cannot be merged."""
    if manifest.is_index:
        return MergeSide(manifest, entries_of(manifest))
    if platform is None or not platform.known:
        return None
    return MergeSide(manifest, (_entry_of(manifest.descriptor, platform),))


def entries_of(index: Manifest) -> tuple[Entry, ...]:
    return tuple(_members(index)["manifests"] or ())


def merge_sides(there: MergeSide, ours: MergeSide, *, retain: bool) -> Manifest:
    """What the tag is to have: `there.manifest` where nothing changes, `ours.manifest` where nothing of the other
    stays, else a new index. Of two for one platform `ours` goes in, or with `retain` the other stays. The media type,
    annotations and order are those of the index that stands there, if it is one.

    Raises LimitExceeded where the index grows beyond what registries take."""
    entries = _retained(there, ours) if retain else _overwritten(there, ours)
    if entries == list(there.entries):
        return there.manifest
    if entries == list(ours.entries):
        return ours.manifest
    for side in (there, ours):
        if side.manifest.is_index:
            return _index({**_members(side.manifest), "manifests": entries}, side.manifest.descriptor.media_type)
    types = {side.manifest.descriptor.media_type for side in (there, ours)}
    media_type = DOCKER_LIST if types == {DOCKER_MANIFEST} else OCI_INDEX
    return _index({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}, media_type)


def conflicting_platforms(there: MergeSide, platform: Platform) -> tuple[Entry, ...]:
    """The entries that are for the same platform as an image for `platform`."""
    ours = {"platform": platform_members(platform)}
    return tuple(entry for entry in there.entries if _is_same_platform(entry, ours))


def _overwritten(there: MergeSide, ours: MergeSide) -> list[Entry]:
    staying = [
        entry
        for entry in there.entries
        if entry["digest"] in ours.digests or not any(_is_same_platform(entry, item) for item in ours.entries)
    ]
    known = {entry["digest"] for entry in staying}
    merged = [*staying, *(entry for entry in ours.entries if entry["digest"] not in known)]
    return _without_orphans(merged, there.digests | ours.digests)


def _retained(there: MergeSide, ours: MergeSide) -> list[Entry]:
    added = [
        entry
        for entry in ours.entries
        if entry["digest"] not in there.digests and not any(_is_same_platform(entry, item) for item in there.entries)
    ]
    return _without_orphans([*there.entries, *added], ours.digests - there.digests)


def _without_orphans(entries: Sequence[Entry], gone: frozenset[str]) -> list[Entry]:
    """`gone`: the digests that, where they are not in `entries`, were taken out of the index just now."""
    held = {entry["digest"] for entry in entries}
    return [entry for entry in entries if _about(entry) not in gone - held]


def _about(entry: Entry) -> object:
    return (entry.get("annotations") or {}).get(ANNOTATION_DOCKER_SUBJECT)


def _is_same_platform(one: Entry, other: Entry) -> bool:
    mine, yours = one.get("platform"), other.get("platform")
    if not isinstance(mine, dict) or not isinstance(yours, dict):
        return False
    platform = Platform.of(mine)
    versions = {text for text in (platform.os_version, Platform.of(yours).os_version) if text}
    return platform.known and platform == Platform.of(yours) and len(versions) < 2


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
