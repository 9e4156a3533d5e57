"""Blobs that no image of an archive refers to: they are counted and reported. Pure except for `ReadAt`.

A blob is a member whose name states a digest, in any directory: `blobs/sha256/<hex>`, `…/<hex>/data`, `sha256:<hex>`,
`sha256-<hex>.tar.gz`, `<hex>.tar`, `<hex>/layer.tar`, `<hex>.json`. Readers need no code for it. For a format that
names its blobs differently, extend `stated_digest`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.archive.model import Archive, DockerImage, Extent, ReadAt
from app.archive.sizes import size_of
from app.archive.tar.index import Member, TarIndex
from app.errors import MalformedArchive
from app.oci import strict_json

_BLOB = re.compile(r"(?:[a-z0-9]+[:-])?(?P<hex>[0-9a-f]{64}(?:[0-9a-f]{64})?)(?:\.(?:json|tar|tar\.gz|tar\.zst))?")
_INSIDE = frozenset({"data", "layer.tar"})  # in a directory that has the blob's name
MAX_DOCUMENT_BYTES = 64 << 10  # docker's description of a layer has less than 2 KiB
MAX_DOCUMENTS = 2_000  # that are read; all further ones are counted without being read


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Blobs that nothing refers to; `size` in bytes, `first` is the name of one of them."""

    count: int
    size: int
    first: str

    def __str__(self) -> str:
        blobs = "1 blob" if self.count == 1 else f"{self.count} blobs"
        return (
            f"the archive contains {blobs} ({size_of(self.size)}) that no pushed image refers to, such as "
            f"{self.first!r:.300}"
        )


def stated_digest(name: str) -> str | None:
    """Return the hex digits of the digest in a blob's name; None if it is not a blob's name."""
    directory, _, component = name.rpartition("/")
    if component in _INSIDE:
        component = directory.rpartition("/")[2]
    match = _BLOB.fullmatch(component)
    return None if match is None else match["hex"]


def find_leftovers(index: TarIndex, source: ReadAt, archive: Archive) -> Leftovers | None:
    """Return the blobs in `index` that `archive` does not refer to, or None. Blocks.

    Ignored are the JSON files that docker 25 writes for docker 1.9 next to each layer. A blob that occurs twice is
    counted once."""
    found: dict[str, Member] = {}
    extents = extents_of(archive)
    digests = {digest.encoded for digest in (*archive.manifests, *archive.blobs)}
    for member in index.files():
        encoded = stated_digest(member.name)
        if encoded is not None and encoded not in digests and member.extent not in extents:
            found.setdefault(encoded, member)
    left = list(_without_descriptions(found.values(), source))
    return Leftovers(len(left), sum(member.extent.size for member in left), left[0].name) if left else None


def extents_of(archive: Archive) -> set[Extent]:
    """Return the extents of all blobs and layers that the images of `archive` refer to."""
    layers = (layer for image in archive.images if isinstance(image.root, DockerImage) for layer in image.root.layers)
    return {*archive.blobs.values(), *(layer.extent for layer in layers)}


def _without_descriptions(members: Iterable[Member], source: ReadAt) -> Iterator[Member]:
    for number, member in enumerate(members):
        if number >= MAX_DOCUMENTS or not _is_description(member.extent, source):
            yield member


def _is_description(extent: Extent, source: ReadAt) -> bool:
    """Return whether the member is the JSON object in which docker 1.9 described a layer: `id`, but no layers."""
    if extent.size > MAX_DOCUMENT_BYTES:
        return False
    raw = source.read_at(extent.offset, extent.size)
    if not raw.startswith(b'{"id":"'):
        return False
    try:
        members = strict_json(raw, what="a description of a layer", limit=MAX_DOCUMENT_BYTES)
    except MalformedArchive:
        return False
    return isinstance(members, dict) and not {"rootfs", "manifests", "layers"} & members.keys()
