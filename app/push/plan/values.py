"""PushPlan: what goes where, in what order; values only (`planning` makes them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from app.archive.model import Archive, Compression, DockerLayer, Extent, ImageEntry
from app.errors import Problem
from app.oci import Digest, Reference

NONE_REFUSED: Mapping[int, Problem] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """One image of one archive and every destination it is to have.

    A destination's `registry` is what is shown (host[:port]); its `repository` is the whole path at the registry. One
    with a digest and no tag is pushed by digest alone, one with neither by the digest its manifest gets (a docker
    archive cannot know it before)."""

    archive: int
    entry: ImageEntry
    destinations: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class BlobStep:
    """One piece of content and the repositories that need it; the first is its home, the others are mounted from it.

    `key` is the blob's digest, or for a layer of a docker archive (`layer` set) its DiffID: its blob comes to be by
    compressing it to the plan's `layer_compression`, or as it stands where it is stored compressed already. `what`
    names it in messages; `inline` are its bytes where they stood in a descriptor and not in the tar."""

    key: Digest
    archive: int
    extent: Extent
    repositories: tuple[str, ...]
    layer: DockerLayer | None = None
    what: str = "content"
    inline: bytes | None = None


@dataclass(frozen=True, slots=True)
class PushPlan:
    """`left`: destinations, as text, that stay as they are whatever stands there; nobody asks. `refused`: images, by
    number, that cannot be pushed, or that an earlier run could not push; they fail without a request. `verify_layers`:
    layers of images that are present or skipped are read and verified, as configs always are."""

    archives: tuple[Archive, ...]
    images: tuple[ImageTarget, ...]
    blobs: tuple[BlobStep, ...]
    layer_compression: Compression = Compression.GZIP
    notes: tuple[str, ...] = ()
    on_existing_tag: str = "overwrite"
    media_types: str = "keep"
    left: frozenset[str] = frozenset()
    refused: Mapping[int, Problem] = field(default_factory=lambda: NONE_REFUSED)
    verify_layers: bool = False
