"""Catalog: what the layout has, by repository and tag, with sizes. Everything here blocks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from app.errors import RegistryFault
from app.oci import Digest, Platform
from app.oci.media_types import DOCKER_CONFIG, OCI_CONFIG
from app.registry import MAX_CONFIG_BYTES
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import Entries, LayoutIndex
from app.registry.oci_layout.manifest_cache import ManifestContent
from app.registry.oci_layout.registry import LayoutRegistry

_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})


@dataclass(frozen=True, slots=True)
class CatalogImage:
    """An image under a tag; `tag` is None if it has none. `blobs`: all its content, manifests included, by size.

    `pushed_at`: seconds since 1970. `is_kept`: false for an image that the next prune deletes.
    """

    tag: str | None
    digest: Digest
    media_type: str
    artifact_type: str | None
    platforms: tuple[str, ...]
    blobs: Mapping[Digest, int]
    pushed_at: int
    job: str
    is_kept: bool
    shared_size: int = 0

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


@dataclass(frozen=True, slots=True)
class CatalogRepository:
    """`images`: newest first, tagged ones before the others; without parts of an index and referrers of another image.

    `blobs`: all that the repository has, by size.
    """

    name: str
    images: tuple[CatalogImage, ...]
    blobs: Mapping[Digest, int]
    shared_size: int = 0

    @property
    def size(self) -> int:
        return sum(self.blobs.values())


@dataclass(frozen=True, slots=True)
class _Content:
    """What an image leads to, by size; `top`: what its own manifest refers to, None if that is missing or damaged."""

    blobs: Mapping[Digest, int]
    top: ManifestContent | None


class Catalog:
    """Reads the layout of `registry`. A repository is read again when its entries have changed."""

    def __init__(self, registry: LayoutRegistry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[Entries, CatalogRepository]] = {}
        self._platforms: dict[Digest, tuple[str, ...]] = {}

    def repositories(self, may_see: Callable[[str], bool]) -> tuple[CatalogRepository, ...]:
        """Return the repositories that `may_see` allows, by name. Shared sizes count those alone, and no others are
        read. Raises RegistryFault.
        """
        index = self._registry.index()
        for name in self._known.keys() - index.repositories.keys():
            self._known.pop(name, None)
        return _with_shared_sizes([self._current(index, name) for name in sorted(index.repositories) if may_see(name)])

    def _current(self, index: LayoutIndex, name: str) -> CatalogRepository:
        entries, found = self._known.get(name, (None, None))
        if found is None or entries != index.repositories[name]:
            found = self._repository(index, name)
            self._known[name] = index.repositories[name], found
        return found

    def _repository(self, index: LayoutIndex, name: str) -> CatalogRepository:
        entries = index.repositories[name]
        hidden = {child for root in entries.values() for child in self._registry.children(root)}
        hidden |= {root.digest for key, root in entries.items() if ":" not in key}
        digests = {root.digest for root in entries.values()}
        blobs: dict[Digest, int] = {}
        contents: dict[tuple[Digest, frozenset[Digest] | None], _Content] = {}  # tags of one image share it
        shown = []
        for key, root in entries.items():
            known = root.digest, root.held
            if known not in contents:
                contents[known] = self._content(index, name, root)
                blobs |= contents[known].blobs
            image = self._image(key, root, contents[known])
            is_part = root.subject in digests or (root.digest in hidden and not root.by_digest)
            if ":" not in key or not is_part:
                shown.append(image)
        shown.sort(key=lambda image: (image.tag is None, -image.pushed_at, image.tag or "", str(image.digest)))
        return CatalogRepository(name, tuple(shown), blobs)

    def _content(self, index: LayoutIndex, repository: str, root: IndexRoot) -> _Content:
        blobs: dict[Digest, int] = {}
        top: ManifestContent | None = None
        for found, content in self._registry.manifests.walk(index, repository, root):
            top = content if found is root else top
            blobs[found.digest] = found.size
            if content is not None:
                blobs |= content.required
                blobs |= {digest: size for digest, size in content.optional.items() if digest in (found.held or ())}
        return _Content(blobs, top)

    def _image(self, key: str, root: IndexRoot, content: _Content) -> CatalogImage:
        top, is_tag = content.top, ":" not in key
        return CatalogImage(
            key if is_tag else None,
            root.digest,
            root.media_type,
            None if top is None or top.config_type in _CONFIGS else top.artifact_type,
            () if top is None else self._platforms_of(root.digest, top),
            content.blobs,
            root.stamp.at if root.stamp is not None else self._registry.files.blob_time(root.digest),
            "" if root.stamp is None else root.stamp.job,
            is_tag or bool(root.by_digest),
        )

    def _platforms_of(self, digest: Digest, content: ManifestContent) -> tuple[str, ...]:
        if digest not in self._platforms:
            self._platforms[digest] = tuple(dict.fromkeys(self._find_platforms(content)))
        return self._platforms[digest]

    def _find_platforms(self, content: ManifestContent) -> Iterator[str]:
        for child in content.children:
            if child.platform is None:
                below = self._registry.content(child)
                yield from () if below is None else self._find_platforms(below)
            elif child.platform.known:
                yield str(child.platform)
        config = content.config
        if config is None or config.media_type not in _CONFIGS or config.size > MAX_CONFIG_BYTES:
            return
        with suppress(RegistryFault, ValueError):
            members = json.loads(self._registry.files.read_blob(config.digest, 0, config.size))
            if isinstance(members, dict) and (platform := Platform.of(members)).known:
                yield str(platform)


def _with_shared_sizes(repositories: list[CatalogRepository]) -> tuple[CatalogRepository, ...]:
    by_digest = {image.digest: image.blobs for found in repositories for image in found.images}
    users = Counter(digest for blobs in by_digest.values() for digest in blobs)
    places = Counter(digest for found in repositories for digest in found.blobs)
    return tuple(
        replace(
            found,
            images=tuple(replace(image, shared_size=_shared(image.blobs, users)) for image in found.images),
            shared_size=_shared(found.blobs, places),
        )
        for found in repositories
    )


def _shared(blobs: Mapping[Digest, int], users: Counter[Digest]) -> int:
    return sum(size for digest, size in blobs.items() if users[digest] > 1)
