"""The current content of a tag into which an image is merged, and the result of the merge."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.archive.model import Archive, ImageEntry
from app.errors import ArchiveError
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, Platform, parse_manifest, strict_json
from app.oci.media_types import DOCKER_CONFIG, OCI_CONFIG
from app.push.run.tag_merge import Entry, MergeSide, merge_sides, platform_members, side_of
from app.registry import MAX_CONFIG_BYTES, Registry, StoredManifest


@dataclass(frozen=True, slots=True)
class ExistingTag:
    """The content of a tag. `side` is None if it cannot be merged: it is not an index, and has no platform."""

    digest: Digest
    manifest: Manifest | None
    side: MergeSide | None


async def read_existing_tag(registry: Registry, repository: str, tag: str) -> ExistingTag | None:
    """Return the content of a tag, or None if it does not exist.

    Costs one request, and one more if the platform must be read from a config.
    """
    stored = await registry.read_manifest(repository, tag)
    if stored is None:
        return None
    manifest = read_stored(stored)
    if manifest is None:
        return ExistingTag(stored.digest, None, None)
    platform = None if manifest.is_index else await _platform(registry, repository, manifest)
    return ExistingTag(stored.digest, manifest, side_of(manifest, platform))


def read_stored(stored: StoredManifest) -> Manifest | None:
    """Parse a stored manifest.

    Return None if it is unsupported, such as schema 1. The manifest's own `mediaType` wins over the Content-Type: zot
    (6d19b445) keeps the first one that a tag had.
    """
    try:
        members = strict_json(stored.raw, what=f"manifest {stored.digest}", limit=MAX_MANIFEST_BYTES)
        stated = members.get("mediaType") if isinstance(members, dict) else None
        media_type = stated if isinstance(stated, str) else stored.media_type
        return parse_manifest(stored.raw, Descriptor(media_type, stored.digest, len(stored.raw)))
    except ArchiveError:
        return None


async def _platform(registry: Registry, repository: str, manifest: Manifest) -> Platform | None:
    config = manifest.config
    if config is None or config.media_type not in {OCI_CONFIG, DOCKER_CONFIG} or config.size > MAX_CONFIG_BYTES:
        return None
    raw = await registry.read_config(repository, config)
    try:
        members = None if raw is None else strict_json(raw, what="the config", limit=MAX_CONFIG_BYTES)
    except ArchiveError:
        return None
    return Platform.of(members) if isinstance(members, dict) else None


def platform_of(entry: ImageEntry) -> Platform | None:
    """Return the platform of an image that is not an index."""
    return entry.platforms[0] if len(entry.platforms) == 1 else None


def our_side(archive: Archive, entry: ImageEntry, manifest: Manifest) -> MergeSide | None:
    """Return our side of a merge.

    If an index of the archive states no platform for an image, the platform of the config is used.
    """
    side = side_of(manifest, platform_of(entry))
    if side is None or not manifest.is_index:
        return side
    held = {str(child.digest): archive.manifests.get(child.digest) for child in manifest.manifests}
    return replace(side, entries=tuple(_with_platform(entry, held.get(entry["digest"])) for entry in side.entries))


def _with_platform(entry: Entry, manifest: Manifest | None) -> Entry:
    platform = None if manifest is None else manifest.descriptor.platform
    stated = entry.get("platform")
    if platform is None or not platform.complete or (isinstance(stated, dict) and Platform.of(stated).complete):
        return entry
    return {**entry, "platform": platform_members(platform)}


def obstacle(existing: ExistingTag, platform_is_known: bool) -> str:
    """Return the reason why a merge is impossible, or ""."""
    if existing.manifest is None:
        return "the content of the tag cannot be read"
    if existing.side is None:
        return "the content of the tag is not an index and has no platform"
    return "" if platform_is_known else "the image has no platform"


def merge_into_existing(
    existing: ExistingTag, ours: tuple[Manifest, MergeSide | None], *, retain: bool
) -> Manifest | None:
    """Return the new content of the tag, or None if it stays unchanged.

    If a merge is impossible, the existing content is replaced or retained.
    """
    manifest, side = ours
    if existing.side is None or side is None:
        return None if retain else manifest
    merged = merge_sides(existing.side, side, retain=retain)
    return None if merged.has_digest(existing.digest) else merged
