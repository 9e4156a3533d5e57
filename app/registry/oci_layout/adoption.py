"""Adoption of entries in index.json that were not written by this version, but by version 0.1.0 or another tool.

Such an entry lists only the top of an image, and not which content its repository has. All it currently refers to
becomes content of its repository; content that another repository receives later does not. Pure, except for `Look`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.errors import RegistryFault
from app.oci import Descriptor, Digest, Manifest
from app.oci.media_types import INDEXES, NON_DISTRIBUTABLE, is_manifest
from app.registry.oci_layout.entry import IndexRoot
from app.registry.oci_layout.index import LayoutIndex

MAX_WALKED = 10_000  # manifests read below one entry


@dataclass(frozen=True, slots=True)
class Look:
    """Read access to the layout.

    `parsed` returns None for a missing manifest, and raises RegistryFault for a damaged one; `blob_size` returns None
    for a missing blob.
    """

    parsed: Callable[[Descriptor], Manifest | None]
    blob_size: Callable[[Digest], int | None]


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest of the layout, and its optional content that exists."""

    manifest: Manifest
    held: frozenset[Digest]


def optional_content(manifest: Manifest) -> Iterator[Descriptor]:
    """Yield what a manifest may lack: foreign layers with URLs, and children of an index that are not manifests.

    A child that is a manifest is content of the repository only if it has an entry itself.
    """
    yield from (layer for layer in manifest.layers if layer.urls and layer.media_type in NON_DISTRIBUTABLE)
    yield from (child for child in manifest.manifests if not is_manifest(child.media_type))


def adopt(index: LayoutIndex, layout: Look) -> LayoutIndex:
    """Return `index` with every readable entry marked, and an entry for each manifest below an unmarked one.

    An entry whose manifest is damaged or missing is unchanged. Blocks.
    """
    for repository, entries in list(index.repositories.items()):
        for key, root in [(key, root) for key, root in entries.items() if root.held is None]:
            index = _adopt_one(index, (repository, None if ":" in key else key), root, layout)
        index = _with_by_digest(index, repository, layout)
    return index


def _with_by_digest(index: LayoutIndex, repository: str, layout: Look) -> LayoutIndex:
    """Return `index` with every entry without a tag marked as kept or not. An older version did not write it: what no
    entry refers to was pushed by its digest.
    """
    entries = index.repositories[repository]
    unknown = [key for key, root in entries.items() if ":" in key and root.by_digest is None]
    if not unknown:
        return index
    referred = {child.digest for root in entries.values() for child in _children(root.descriptor, layout)}
    digests = {root.digest for root in entries.values()}
    kept = {key for key in unknown if entries[key].digest not in referred and entries[key].subject not in digests}
    return index.with_by_digest(repository, {key: key in kept for key in unknown})


def _children(descriptor: Descriptor, layout: Look) -> tuple[Descriptor, ...]:
    if descriptor.media_type not in INDEXES:
        return ()
    try:
        manifest = layout.parsed(descriptor)
    except RegistryFault:
        return ()
    return () if manifest is None else tuple(manifest.manifests)


def _adopt_one(index: LayoutIndex, name: tuple[str, str | None], root: IndexRoot, layout: Look) -> LayoutIndex:
    repository, tag = name
    top: _Found | None = None
    for found in _walk(root.descriptor, layout):
        manifest = found.manifest
        if manifest.descriptor.digest == root.digest:
            top = found
            continue
        subject = None if manifest.subject is None else manifest.subject.digest
        index = index.with_manifest(repository, None, (manifest.descriptor, subject), found.held)
    if top is None:
        return index
    return index.with_manifest(repository, tag, (root.descriptor, root.subject), top.held)


def _walk(top: Descriptor, layout: Look) -> Iterator[_Found]:
    pending, seen = [top], set[Digest]()
    while pending and len(seen) < MAX_WALKED:
        descriptor = pending.pop()
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        try:
            manifest = layout.parsed(descriptor)
        except RegistryFault:
            continue
        if manifest is None:
            continue
        held = (content.digest for content in optional_content(manifest))
        yield _Found(manifest, frozenset(digest for digest in held if layout.blob_size(digest) is not None))
        pending.extend(child for child in manifest.manifests if is_manifest(child.media_type))
