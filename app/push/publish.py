"""The last step of an image: its manifests, children before parents, and its names when all else is there."""

from __future__ import annotations

from collections.abc import Mapping

from app.archive.model import DockerImage
from app.oci import Descriptor, Manifest, Reference
from app.push.docker_manifest import layers_of, make_manifest
from app.push.graph import manifests, referrers
from app.push.landing import Key, Landing
from app.push.plan import ImageTarget, PushPlan
from app.push.presence import Presence
from app.registry import Registry


class Publisher:
    def __init__(self, plan: PushPlan, registry: Registry, landings: Mapping[Key, Landing]) -> None:
        self._plan = plan
        self._registry = registry
        self._landings = landings
        self._stored: set[tuple[str, Descriptor]] = set()  # a child that images share goes to a repository once

    async def publish(self, target: ImageTarget, presence: Presence) -> Descriptor:
        """Store and tag; the root's descriptor. Nothing is tagged before everything the image refers to is stored at
        every repository. Raises what the registry raises."""
        archive = self._plan.archives[target.archive]
        for repository in presence.to_fill:
            for child in manifests(archive, target.entry)[:-1]:
                await self._store(repository, child)
        root = None
        for destination in presence.missing:
            root = self._root(target, presence, destination.repository)
            await self._name(destination, root)
        for repository in presence.to_fill:
            for referrer in referrers(archive, target.entry):
                await self._store(repository, referrer)
        return (root or self._root(target, presence, presence.to_fill[0])).descriptor

    async def _store(self, repository: str, manifest: Manifest) -> None:
        key = (repository, manifest.descriptor)
        if key not in self._stored:
            digest = str(manifest.descriptor.digest)
            await self._registry.push_manifest(repository, digest, (manifest.descriptor, manifest.raw))
            self._stored.add(key)

    async def _name(self, destination: Reference, root: Manifest) -> None:
        reference = destination.tag or str(root.descriptor.digest)
        await self._registry.push_manifest(destination.repository, reference, (root.descriptor, root.raw))

    def _root(self, target: ImageTarget, presence: Presence, repository: str) -> Manifest:
        root = target.entry.root
        if isinstance(root, Descriptor):
            return self._plan.archives[target.archive].manifests[root.digest]
        there = presence.held.get(repository)
        return there or self._made(root, presence, repository)

    def _made(self, image: DockerImage, presence: Presence, repository: str) -> Manifest:
        blobs = tuple(self._landings[layer.diff_id, True].placed[repository] for layer in image.layers)
        for manifest in presence.held.values():
            if manifest is not None and layers_of(manifest) == blobs:
                return manifest  # the bytes it has elsewhere: one image, one digest
        return make_manifest(image, blobs, self._plan.layer_compression)
