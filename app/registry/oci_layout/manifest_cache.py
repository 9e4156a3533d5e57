"""ManifestCache: what the manifests of a layout refer to, remembered, so that each is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from app.errors import RegistryFault
from app.oci import Descriptor, Digest, Manifest, referrer
from app.registry.oci_layout.adoption import optional_content
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import LayoutIndex

MAX_REMEMBERED = 200_000  # digests, about 30 MB; beyond that manifests are read again


@dataclass(frozen=True, slots=True)
class ManifestContent:
    """The references of one manifest: required and optional blobs with their sizes, and the children of an index."""

    config: Descriptor | None
    required: dict[Digest, int]
    optional: dict[Digest, int]
    children: tuple[Descriptor, ...]
    artifact_type: str | None

    @property
    def config_type(self) -> str:
        return "" if self.config is None else self.config.media_type

    @classmethod
    def of(cls, manifest: Manifest) -> ManifestContent:
        optional = {content.digest: content.size for content in optional_content(manifest)}
        required = {blob.digest: blob.size for blob in manifest.blobs if blob.digest not in optional}
        return cls(manifest.config, required, optional, manifest.children, referrer(manifest).artifact_type)


class ManifestCache:
    """Caches the references of manifests.

    `parsed` reads a manifest: None if it is missing; it raises RegistryFault for a damaged one.
    """

    def __init__(self, parsed: Callable[[Descriptor], Manifest | None]) -> None:
        self._parsed = parsed
        self._known: dict[Digest, ManifestContent] = {}
        self._remembered = 0

    def content(self, descriptor: Descriptor) -> ManifestContent | None:
        """Return what a manifest refers to; None if it is missing. Raises RegistryFault for a damaged one."""
        known = self._known.get(descriptor.digest)
        if known is not None:
            return known
        manifest = self._parsed(descriptor)
        if manifest is None:
            return None
        content = ManifestContent.of(manifest)
        if self._remembered > MAX_REMEMBERED:
            self._known.clear()
            self._remembered = 0
        self._known[descriptor.digest] = content
        self._remembered += 1 + len(content.required) + len(content.optional) + len(content.children)
        return content

    def walk(
        self, index: LayoutIndex, repository: str, root: IndexRoot
    ) -> Iterator[tuple[IndexRoot, ManifestContent | None]]:
        """Yield `root` and the manifests below it that `repository` has, with what each refers to.

        None for a manifest that is damaged or missing. Blocks.
        """
        pending, seen = [root], set[Digest]()
        while pending:
            found = pending.pop()
            if found.digest in seen:
                continue
            seen.add(found.digest)
            content = None
            with suppress(RegistryFault):
                content = self.content(found.descriptor)
            yield found, content
            children = () if content is None else content.children
            roots = (index.find(repository, str(child.digest)) for child in children)
            pending.extend(child for child in roots if child is not None)
