"""Presence of an image's referrers and tagged referrers at the destination."""

from __future__ import annotations

from enum import Enum

from app.archive.model import Archive, ImageEntry, TaggedReferrer
from app.oci import Manifest
from app.push.run.referrers_tag import ReferrersTags, referrers_tag
from app.push.run.tag_locks import TagLocks
from app.registry import Registry


class ReferrersState(Enum):
    THERE = "there"
    UNLISTED = "unlisted"  # all manifests exist; only another push shows whether the referrers are listed
    MISSING = "missing"


def is_referrers_tag_index(attached: TaggedReferrer, manifest: Manifest) -> bool:
    return manifest.is_index and attached.tag == referrers_tag(attached.subject)


async def check_referrers(archive: Archive, entry: ImageEntry, repository: str, registry: Registry) -> ReferrersState:
    """Check whether the referrers and tagged referrers of an image are in `repository`.

    Costs one request for each, and one more per referrer.
    """
    for referrer in entry.referrers:
        if await registry.find_manifest(repository, str(referrer.digest)) is None:
            return ReferrersState.MISSING
    for attached in entry.attached:
        manifest = archive.manifests[attached.root.digest]
        if not manifest.has_digest(await registry.find_manifest(repository, attached.tag)):
            return ReferrersState.MISSING
    referrers_tags = ReferrersTags(registry, TagLocks())
    for referrer in entry.referrers:
        if not await referrers_tags.contains(repository, archive.manifests[referrer.digest]):
            return ReferrersState.UNLISTED
    return ReferrersState.THERE
