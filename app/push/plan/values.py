"""PushPlan: content, destinations and order; values only (`planning` creates them)."""

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
    """One image of one archive with all of its destinations.

    A destination's `registry` is the displayed one (host[:port]); its `repository` is the whole path at the registry.
    With a digest and no tag it is pushed by digest. With neither, it is pushed by the digest its manifest gets, which
    is unknown before for a docker archive.
    """

    archive: int
    entry: ImageEntry
    destinations: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class BlobStep:
    """One blob and the repositories that need it.

    It is sent to the first, and mounted into the others from there.

    `key` is the blob's digest, or the DiffID for a layer of a docker archive (`layer` set). The blob of such a layer is
    produced by compression with the plan's `layer_compression`, or is the stored one if that is compressed already.
    `what` is a label for messages; `inline` are its bytes if they were in a descriptor and not in the tar.
    """

    key: Digest
    archive: int
    extent: Extent
    repositories: tuple[str, ...]
    layer: DockerLayer | None = None
    what: str = "content"
    inline: bytes | None = None


@dataclass(frozen=True, slots=True)
class PushPlan:
    """Everything that a push does.

    `left`: destinations, as text, that stay unchanged and are not checked.

    `refused`: images, by number, that cannot be pushed, or that an earlier run could not push; they fail without a
    request. `verify_layers`: layers of present and skipped images are read and verified, as configs always are.
    """

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
