"""The content of the destination for an image, found with as few requests as possible: one per tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.archive.model import Compression, DockerImage
from app.errors import RegistryLost, TagExists
from app.oci import Descriptor, Manifest, Reference
from app.oci.media_types import OCI_MANIFEST
from app.push.options import MERGE_WITH_RETAIN, MERGES
from app.push.plan.image_content import manifests, referrers, repositories
from app.push.plan.values import ImageTarget, PushPlan
from app.push.run.blob_content import stored_compression
from app.push.run.existing_tag import (
    ExistingTag,
    merge_into_existing,
    obstacle,
    our_side,
    platform_of,
    read_existing_tag,
    read_stored,
)
from app.push.run.referrers_check import ReferrersState, check_referrers
from app.push.run.tag_merge import conflicting_platforms
from app.registry import Registry, StoredManifest


@dataclass(frozen=True, slots=True)
class DestinationState:
    """What the destination has of an image.

    `held`     repository -> the manifest of the image there (for an OCI image None: it is the archive's)
    missing    destinations to write
    skipped    destinations with another image, which stays
    bare       repositories that have the image, but not all of its referrers
    unlisted   repositories that have everything, but may not list its referrers
    unmerged   destinations at which a requested merge is impossible, and why
    """

    held: Mapping[str, Manifest | None]
    missing: tuple[Reference, ...]
    skipped: tuple[Reference, ...]
    without_referrers: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    unmerged: Mapping[Reference, str] = field(default_factory=dict)

    @property
    def to_fill(self) -> tuple[str, ...]:
        """Return the repositories that need manifests, and the blobs of those."""
        wanted = (repository for repository in repositories(self.missing) if repository not in self.held)
        return tuple(dict.fromkeys((*wanted, *self.without_referrers)))

    @property
    def complete(self) -> bool:
        """Return whether nothing needs a push."""
        return not self.missing and not self.to_fill


async def check_destination(plan: PushPlan, target: ImageTarget, registry: Registry) -> DestinationState:
    """Check every destination of one image.

    If the push verifies blobs, the image counts as present only with its blobs. Raises TagExists if another image has
    the tag and the request says `on_existing_tag=error`, and the errors of the registry.
    """
    held: dict[str, Manifest | None] = {}
    missing: list[Reference] = []
    skipped: list[Reference] = []
    unmerged: dict[Reference, str] = {}
    for destination in target.destinations:
        if str(destination) in plan.left:
            skipped.append(destination)
            continue
        found = await _find(plan, target, destination, registry)
        taken = found.taken and destination.tag is not None
        if found.obstacle:
            unmerged[destination] = found.obstacle
        if found.same and not await _is_whole(plan, target, (destination.repository, found.manifest), registry):
            missing.append(destination)
        elif found.same:
            held[destination.repository] = found.manifest
        elif taken and plan.on_existing_tag == "error":
            raise TagExists(f"{destination} exists with another image; pass on_existing_tag=overwrite to replace it")
        elif taken and (found.stays or plan.on_existing_tag == "skip"):
            skipped.append(destination)
        else:
            missing.append(destination)
    referrers_states = {repository: await _check_referrers(plan, target, repository, registry) for repository in held}
    return DestinationState(
        held,
        tuple(missing),
        tuple(skipped),
        without_referrers=tuple(
            repository for repository, state in referrers_states.items() if state is ReferrersState.MISSING
        ),
        unlisted=tuple(
            repository for repository, state in referrers_states.items() if state is ReferrersState.UNLISTED
        ),
        unmerged=unmerged,
    )


async def _is_whole(
    plan: PushPlan, target: ImageTarget, present: tuple[str, Manifest | None], registry: Registry
) -> bool:
    """Return whether a present image is complete, as far as the push verifies blobs."""
    repository, manifest = present
    stored = manifests(plan.archives[target.archive], target.entry) if manifest is None else (manifest,)
    return await _have_blobs(repository, stored, registry)


async def _check_referrers(plan: PushPlan, target: ImageTarget, repository: str, registry: Registry) -> ReferrersState:
    archive = plan.archives[target.archive]
    state = await check_referrers(archive, target.entry, repository, registry)
    if state is ReferrersState.MISSING or await _have_blobs(repository, referrers(archive, target.entry), registry):
        return state
    return ReferrersState.MISSING


async def _have_blobs(repository: str, stored: Sequence[Manifest], registry: Registry) -> bool:
    try:
        for manifest in stored:
            await registry.verify_manifest(repository, (manifest.descriptor, manifest.raw))
    except RegistryLost:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _TagState:
    """The content of one destination: the same image, another one (`taken`), or nothing.

    `stays`: a merge leaves the other one unchanged. `obstacle`: why a merge is impossible.
    """

    same: bool = False
    taken: bool = False
    stays: bool = False
    manifest: Manifest | None = None
    obstacle: str = ""


async def _find(plan: PushPlan, target: ImageTarget, destination: Reference, registry: Registry) -> _TagState:
    root, repository = target.entry.root, destination.repository
    if destination.tag is not None and plan.on_existing_tag in MERGES:
        existing = await read_existing_tag(registry, repository, destination.tag)
        return _TagState() if existing is None else await _find_merged(plan, target, (repository, existing), registry)
    reference = destination.tag or (None if destination.digest is None else str(destination.digest))
    if reference is None:
        return _TagState()
    if isinstance(root, Descriptor):
        digest = await registry.find_manifest(repository, reference)
        ours = plan.archives[target.archive].manifests[root.digest]
        return _TagState(same=ours.has_digest(digest), taken=digest is not None)
    return _of_docker(plan, root, await registry.read_manifest(repository, reference))


def _of_docker(plan: PushPlan, image: DockerImage, stored: StoredManifest | None) -> _TagState:
    manifest = None if stored is None else read_stored(stored)
    if manifest is not None and _is_of(manifest, image, plan):
        return _TagState(same=True, taken=True, manifest=manifest)
    return _TagState(taken=stored is not None)


def _is_of(manifest: Manifest, image: DockerImage, plan: PushPlan) -> bool:
    """Return whether a manifest is the image.

    The config digest identifies it, because the config names the DiffIDs. The layers must have the compression, and the
    manifest the media type, that this request asks for.
    """
    if manifest.config is None or manifest.config.digest != image.config.digest:
        return False
    expected = [stored_compression(layer, plan.layer_compression) for layer in image.layers]
    if plan.media_types != "keep" and image.oci != (manifest.descriptor.media_type == OCI_MANIFEST):
        return False
    return [_compression_of(layer.media_type) for layer in manifest.layers] == expected


def _compression_of(media_type: str) -> Compression | None:
    for ending in (Compression.GZIP, Compression.ZSTD):
        if media_type.endswith((f"+{ending}", f".{ending}")):
            return ending
    return Compression.NONE if media_type.endswith(".tar") else None


async def _find_merged(
    plan: PushPlan, target: ImageTarget, present: tuple[str, ExistingTag], registry: Registry
) -> _TagState:
    """Return whether the existing content contains the image already, or stays unchanged in any case."""
    (_, existing), entry = present, target.entry
    retain = plan.on_existing_tag == MERGE_WITH_RETAIN
    if isinstance(entry.root, DockerImage):
        return await _find_docker_child(plan, target, present, registry)
    manifest = plan.archives[target.archive].manifests[entry.root.digest]
    if manifest.has_digest(existing.digest):
        return _TagState(same=True)
    side = our_side(plan.archives[target.archive], entry, manifest)
    why = obstacle(existing, side is not None)
    if merge_into_existing(existing, (manifest, side), retain=retain) is not None:
        return _TagState(taken=True, obstacle=why)
    holds_all = side is not None and existing.side is not None and side.digests <= existing.side.digests
    return _TagState(same=holds_all, taken=True, stays=True, obstacle=why)


async def _find_docker_child(
    plan: PushPlan, target: ImageTarget, present: tuple[str, ExistingTag], registry: Registry
) -> _TagState:
    """Find the image of a docker archive in an existing tag.

    Its manifest does not exist yet, but one for the same platform may be of the same image.
    """
    (repository, existing), image = present, target.entry.root
    platform = platform_of(target.entry)
    retain = plan.on_existing_tag == MERGE_WITH_RETAIN
    if not isinstance(image, DockerImage) or existing.side is None or platform is None:
        return _TagState(taken=True, stays=retain, obstacle=obstacle(existing, platform is not None))
    conflicting = conflicting_platforms(existing.side, platform)
    for entry in conflicting:
        found = _of_docker(plan, image, await registry.read_manifest(repository, entry["digest"]))
        if found.same:
            return found
    return _TagState(taken=True, stays=retain and bool(conflicting))
