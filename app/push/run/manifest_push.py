"""The last step of an image.

It pushes the manifests, children before parents, then the tags, and then the referrers and tagged referrers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from app.archive.model import Archive, DockerImage, ImageEntry, TaggedReferrer
from app.errors import RegistryError, RegistryLost, RegistryRejected, TagExists
from app.oci import Descriptor, Digest, Manifest, Reference
from app.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST
from app.push.options import MERGE_WITH_RETAIN, MERGES
from app.push.plan.completeness import lacking
from app.push.plan.docker_manifest import layer_descriptors, make_manifest
from app.push.plan.image_content import display_name, manifests, referrers
from app.push.plan.values import ImageTarget, PushPlan
from app.push.report.events import Event, NoticeAdded
from app.push.run.blob_transfer import BlobTransfer, Key
from app.push.run.existing_tag import merge_into_existing, our_side, read_existing_tag
from app.push.run.presence import DestinationState
from app.push.run.referrers_check import is_referrers_tag_index
from app.push.run.referrers_tag import ReferrersTags
from app.push.run.tag_locks import TagLocks
from app.push.run.tag_merge import entries_of
from app.registry import Registry

_DOCKER_TYPES = frozenset({DOCKER_MANIFEST, DOCKER_LIST})


class ManifestPusher:
    def __init__(
        self,
        plan: PushPlan,
        registry: Registry,
        transfers: Mapping[Key, BlobTransfer],
        tag_locks: TagLocks,
        emit: Callable[[Event], None],
    ) -> None:
        self._plan = plan
        self._registry = registry
        self._transfers = transfers
        self._tag_locks = tag_locks
        self._emit = emit
        self._referrers_tags = ReferrersTags(registry, tag_locks)
        self._stored: set[tuple[str, Digest]] = set()  # shared manifests are stored once per repository
        self._as_oci = False  # the registry has rejected Docker's media types

    async def push_image(self, target: ImageTarget, presence: DestinationState) -> Descriptor | None:
        """Store and tag the image, and return the descriptor of its tags.

        Nothing is tagged before everything that the image refers to is stored in every repository. Raises the errors of
        the registry.
        """
        tried_oci = self._as_oci
        try:
            return await self._publish(target, presence)
        except RegistryError as error:
            refused = isinstance(error, RegistryRejected) and error.media_type_refused
            is_ours = isinstance(target.entry.root, DockerImage) and self._plan.media_types == "keep"
            if not refused or not is_ours or tried_oci:
                raise self._explained(error, target) from None
        if not self._as_oci:
            self._as_oci = True
            self._emit(
                NoticeAdded(
                    "the registry rejects Docker's media types; the manifests of docker archives are generated with "
                    "those of OCI"
                )
            )
        return await self._publish(target, presence)

    async def _publish(self, target: ImageTarget, presence: DestinationState) -> Descriptor | None:
        archive = self._plan.archives[target.archive]
        for repository in presence.to_fill:
            for child in manifests(archive, target.entry)[:-1]:
                await self._store(repository, child)
        root = None
        for destination in presence.missing:
            root = await self._tag(target, destination, self._root(target, presence, destination.repository))
        for repository in (*presence.to_fill, *presence.unlisted):
            await self._push_referrers(archive, target.entry, repository)
        if root is not None:
            return root.descriptor
        return next((self._root(target, presence, repository).descriptor for repository in presence.held), None)

    def forget_repositories(self, repositories: Iterable[str]) -> None:
        """Mark the manifests of these repositories to be stored again."""
        lost = frozenset(repositories)
        self._stored = {item for item in self._stored if item[0] not in lost}

    def _explained(self, error: RegistryError, target: ImageTarget) -> RegistryError:
        archive = self._plan.archives[target.archive]
        types = {manifest.descriptor.media_type for manifest in manifests(archive, target.entry)}
        refused = isinstance(error, RegistryRejected) and error.media_type_refused
        if isinstance(error, RegistryRejected | RegistryLost) and not lacking(archive, target.entry).is_nothing:
            hint = (
                "the archive lacks a part of the index, and the registry requires all of it; pass `platforms` to "
                "push the rest"
            )
        elif refused and types & _DOCKER_TYPES:
            hint = "pass media_types=oci to push it with the media types of OCI (its digest changes)"
        else:
            return error
        return RegistryRejected(f"{error}: {hint}")

    async def _store(self, repository: str, manifest: Manifest) -> None:
        """Store a manifest by digest, once per repository."""
        digest = manifest.descriptor.digest
        if (repository, digest) not in self._stored:
            await self._put(repository, str(digest), manifest)
            self._stored.add((repository, digest))

    async def _put(self, repository: str, reference: str, manifest: Manifest, *, is_listed: bool = False) -> bool:
        """Push a manifest.

        Return False if the registry does not maintain its referrers: the referrers tag must then be updated, which is
        done here unless `is_listed`.
        """
        is_processed = await self._registry.push_manifest(repository, reference, (manifest.descriptor, manifest.raw))
        if not is_processed and not is_listed:
            await self._add_to_referrers_tags(repository, [manifest])
        return is_processed

    async def _add_to_referrers_tags(self, repository: str, manifests: Sequence[Manifest]) -> None:
        for notice in await self._referrers_tags.add(repository, manifests):
            self._add_notice(notice)

    def _add_notice(self, text: str | None) -> None:
        if text is not None:
            self._emit(NoticeAdded(text))

    async def _tag(self, target: ImageTarget, destination: Reference, root: Manifest) -> Manifest:
        """Tag the image, and return the manifest that the tag has now."""
        if destination.tag is not None and self._plan.on_existing_tag in MERGES:
            unlisted: list[Manifest] = []
            async with self._tag_locks.lock(destination.repository, destination.tag):
                merged = await self._merge(target, (destination, destination.tag), root, unlisted)
            # after the lock is released: a tag may equal the referrers tag of its subject
            await self._add_to_referrers_tags(destination.repository, unlisted)
            return merged
        await self._put(destination.repository, destination.tag or str(root.descriptor.digest), root)
        return root

    async def _merge(
        self, target: ImageTarget, destination: tuple[Reference, str], root: Manifest, unlisted: list[Manifest]
    ) -> Manifest:
        (target_reference, tag), repository = destination, destination[0].repository
        existing = await read_existing_tag(self._registry, repository, tag)
        retain = self._plan.on_existing_tag == MERGE_WITH_RETAIN
        ours = (root, our_side(self._plan.archives[target.archive], target.entry, root))
        merged = root if existing is None else merge_into_existing(existing, ours, retain=retain)
        if merged is None:  # a concurrent push has added all of this image, or the tag stays unchanged
            await self._registry.verify_manifest(repository, (root.descriptor, root.raw))
            return root
        pushes = [(tag, merged)]
        if merged is not root:
            if not root.is_index or target.entry.referrers or target.entry.attached:
                pushes.insert(0, (str(root.descriptor.digest), root))
            self._add_notice(
                f"{target_reference}: {display_name(target.entry)} ({root.descriptor.digest}) was merged with the "
                f"existing content; the tag has the new index {merged.descriptor.digest}"
            )
        for reference, manifest in pushes:
            if not await self._put(repository, reference, manifest, is_listed=True):
                unlisted.append(manifest)
        return merged

    async def _push_referrers(self, archive: Archive, entry: ImageEntry, repository: str) -> None:
        """Push the referrers and tagged referrers. Everything they refer to is stored by now."""
        lists = [item for item in entry.attached if is_referrers_tag_index(item, archive.manifests[item.root.digest])]
        listed = {child.digest for list_ in lists for child in archive.manifests[list_.root.digest].manifests}
        tagged = {item.root.digest for item in entry.attached}
        untagged = [manifest for manifest in referrers(archive, entry) if manifest.descriptor.digest not in tagged]
        await self._store_referrers(repository, untagged, listed)
        for attached in entry.attached:
            manifest = archive.manifests[attached.root.digest]
            if attached in lists:
                self._add_notice(
                    await self._referrers_tags.merge(repository, attached.tag, entries_of(manifest), manifest)
                )
            else:
                await self._attach(repository, attached, manifest)

    async def _store_referrers(self, repository: str, manifests: Sequence[Manifest], listed: set[Digest]) -> None:
        """Store referrers by digest, then add them to the referrers tags.

        `listed`: those already in a referrers tag of the archive.
        """
        missing = [manifest for manifest in manifests if (repository, manifest.descriptor.digest) not in self._stored]
        unlisted: list[Manifest] = []
        for manifest in missing:
            digest = manifest.descriptor.digest
            if not await self._put(repository, str(digest), manifest, is_listed=True) and digest not in listed:
                unlisted.append(manifest)
        await self._add_to_referrers_tags(repository, unlisted)
        self._stored.update((repository, manifest.descriptor.digest) for manifest in missing)

    async def _attach(self, repository: str, attached: TaggedReferrer, manifest: Manifest) -> None:
        """Push a tagged referrer.

        If the tag exists with other content, `on_existing_tag` decides; it is never merged.
        """
        stored = await self._registry.find_manifest(repository, attached.tag)
        if manifest.has_digest(stored):
            return
        if stored is not None and self._plan.on_existing_tag == "error":
            raise TagExists(
                f"{repository}:{attached.tag} exists with other content; pass on_existing_tag=overwrite to replace it"
            )
        is_kept = stored is not None and self._plan.on_existing_tag in {"skip", MERGE_WITH_RETAIN}
        if stored is not None and self._plan.on_existing_tag in MERGES:
            what = "the tag is unchanged" if is_kept else "the tag is replaced"
            self._add_notice(f"{repository}:{attached.tag}: tags of referrers are never merged; {what}")
        if not is_kept:
            await self._put(repository, attached.tag, manifest)

    def _root(self, target: ImageTarget, presence: DestinationState, repository: str) -> Manifest:
        root = target.entry.root
        if isinstance(root, Descriptor):
            return self._plan.archives[target.archive].manifests[root.digest]
        stored = presence.held.get(repository)
        return stored or self._make(root, presence, repository)

    def _make(self, image: DockerImage, presence: DestinationState, repository: str) -> Manifest:
        blobs = tuple(self._transfers[layer.diff_id, True].present[repository] for layer in image.layers)
        for manifest in presence.held.values():
            if manifest is not None and layer_descriptors(manifest) == blobs:
                return manifest  # the same bytes as elsewhere: one image, one digest
        return make_manifest(image, blobs, self._plan.layer_compression, oci=self._as_oci)
