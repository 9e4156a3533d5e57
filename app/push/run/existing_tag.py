"""What stands under a tag that an image is to be merged into, and what is to stand there afterwards."""

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
    """`side` is None for what cannot be merged with anything: it is no index, and tells no platform."""

    digest: Digest
    manifest: Manifest | None
    side: MergeSide | None


async def read_existing_tag(registry: Registry, repository: str, tag: str) -> ExistingTag | None:
    """None where there is no such tag. A request, and one more where the platform has to be read from a config."""
    stored = await registry.read_manifest(repository, tag)
    if stored is None:
        return None
    manifest = read_stored(stored)
    if manifest is None:
        return ExistingTag(stored.digest, None, None)
    platform = None if manifest.is_index else await _platform(registry, repository, manifest)
    return ExistingTag(stored.digest, manifest, side_of(manifest, platform))


def read_stored(stored: StoredManifest) -> Manifest | None:
    """Return None for what we cannot read, such as schema 1. The manifest's own `mediaType` counts before the
    Content-Type: zot (6d19b445) keeps the one that a tag had first."""
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
    """Of an image that is no index."""
    return entry.platforms[0] if len(entry.platforms) == 1 else None


def our_side(archive: Archive, entry: ImageEntry, manifest: Manifest) -> MergeSide | None:
    """Return our side of a merge. If an index of the archive says no platform of an image, the one that is made says
    that of the config."""
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


def obstacle(standing: ExistingTag, platform_is_known: bool) -> str:
    """Return why nothing can be merged; empty if it can."""
    if standing.manifest is None:
        return "what the tag has cannot be read"
    if standing.side is None:
        return "what the tag has is no index and says no platform"
    return "" if platform_is_known else "the image says no platform"


def merge_into_existing(
    standing: ExistingTag, ours: tuple[Manifest, MergeSide | None], *, retain: bool
) -> Manifest | None:
    """What the tag is to have; None: it stays as it is. What cannot be merged is replaced, or retained."""
    manifest, side = ours
    if standing.side is None or side is None:
        return None if retain else manifest
    merged = merge_sides(standing.side, side, retain=retain)
    return None if merged.has_digest(standing.digest) else merged
