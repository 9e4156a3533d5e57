"""The values of this package: an archive, its images and its limits. Frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from app.errors import ArchiveError, TarmacError
from app.oci import Descriptor, Digest, Manifest, Platform


class Compression(StrEnum):
    """The compression of bytes, detected from the first ones. The values appear in the job document."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of bytes in the plain tar."""

    offset: int
    size: int


class ReadAt(Protocol):
    """Random access to the plain tar. Thread-safe; blocks; closed by its opener."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes.

        Raises TruncatedArchive if there are fewer, and SourceChanged if the opened file was replaced."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of reading an archive. Every number can be configured; each has its reason."""

    unpacked_bytes: int = 256 << 30  # four times the largest upload
    ratio: int = 200  # real image layers compress below 20:1; bombs start at 1000:1
    ratio_grace_bytes: int = 64 << 20  # small members of zeros may legitimately have an extreme ratio
    members: int = 100_000  # a bundle of 3,000 images has about as many
    header_bytes: int = 64 << 20  # all headers together: 100,000 members with long PAX names
    name_bytes: int = 16 << 20  # all names together, as stored in memory; 100,000 names of blobs have 8 MB
    extension_bytes: int = 64 << 10  # one PAX or GNU extension header
    extensions_per_member: int = 4  # GNU L + K, PAX x, and one to spare
    docker_manifest_bytes: int = 16 << 20  # manifest.json of 4,000 images
    config_bytes: int = 8 << 20  # an image config; the largest seen is below 200 KiB
    depth: int = 16  # indexes within indexes
    nodes: int = 20_000  # manifests reachable from one archive
    manifests_bytes: int = 32 << 20  # all of them together, as stored in memory; 20,000 typical ones have 30 MB
    references: int = 100_000  # from manifests to their content; 3,000 typical images have 50,000
    documents_bytes: int = 128 << 20  # all JSON documents together, counted once per read
    values: int = 2_000_000  # in all JSON documents together; each costs 0.1 µs, and they are small when compressed
    steps: int = 200_000  # references of all images, shared content counted once per image: the work of a push
    names: int = 20_000  # of all images together
    names_bytes: int = 4 << 20  # of all names together; 10,000 images with names of 400 characters each
    tags: int = 1_000  # names of one image
    link_hops: int = 8  # symlinks and hard links within the archive


DEFAULT_LIMITS = Limits()
NONE_CONTRADICTORY: Mapping[Digest, str] = MappingProxyType({})
NONE_MISLABELLED: Mapping[Digest, Compression] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fault:
    """The reason why a part of an archive cannot be pushed: an error as a value.

    It is raised only if that part is selected. `content` is the text that the message quotes, as in `ArchiveError`."""

    kind: type[TarmacError]
    message: str
    content: str = ""

    @classmethod
    def of(cls, error: TarmacError) -> Fault:
        return cls(type(error), str(error.args[0]), getattr(error, "content", ""))

    @property
    def unquoted(self) -> Fault:
        """Return the same fault without quoted content of the archive."""
        return Fault(self.kind, self.message)

    @property
    def error(self) -> TarmacError:
        error = self.kind(self.message)
        if isinstance(error, ArchiveError):
            error.content = self.content
        return error


NO_FAULTS: Mapping[Digest, Fault] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DockerLayer:
    """A layer of a docker archive, identified by the digest of its plain tar (its DiffID), stored as `compression`."""

    diff_id: Digest
    extent: Extent
    compression: Compression


@dataclass(frozen=True, slots=True)
class DockerImage:
    """An image without a usable manifest in the archive; one is made when the blobs of its layers are known.

    `config` describes bytes in `Archive.blobs`. If `oci` is true, the new manifest has OCI media types, otherwise
    Docker's. `layers` are in the order of the config's `rootfs.diff_ids`."""

    config: Descriptor
    layers: tuple[DockerLayer, ...]
    oci: bool = False


@dataclass(frozen=True, slots=True)
class TaggedReferrer:
    """A manifest that belongs to an image by its tag alone.

    Examples are cosign's `sha256-<hex>.sig`, `.att` and `.sbom`, and the referrers tag `sha256-<hex>` for registries
    without a referrers API. `subject` is the digest in the tag."""

    tag: str
    root: Descriptor
    subject: Digest


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image (or index, or artifact) to be pushed.

    root        a manifest in `Archive.manifests`, or an image whose manifest is not made yet
    names       names as the archive writes them, full or short (`nginx:1.25`), not parsed, in order, without repeats
    paths       `repository:tag` or `repository@digest` in a registry's own storage: no host, used unchanged
    bare_tags   tags without a repository
    placeholders  texts in the place of a name (`app.archive.placeholders`); `rename` and `images` may refer to them
    platforms   of the image, or of the children of an index (without attestations)
    referrers   manifests whose `subject` is in this image; they are pushed after it, by digest
    attached    manifests that are pushed after the image under their own tags, to the same repositories
    original    in a docker archive that is also an OCI layout: the root with its OCI manifest, pushed instead of `root`
                if layers are not to be compressed
    fault       why no selection of the image can be pushed; `root` may then be incomplete
    """

    root: Descriptor | DockerImage
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    bare_tags: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    referrers: tuple[Descriptor, ...] = ()
    attached: tuple[TaggedReferrer, ...] = ()
    original: Descriptor | None = None
    placeholders: tuple[str, ...] = ()
    fault: Fault | None = None

    @property
    def called(self) -> tuple[str, ...]:
        """Return all names, paths and bare tags of the image, as the archive writes them."""
        return (*self.names, *self.paths, *self.bare_tags)


@dataclass(frozen=True, slots=True)
class Archive:
    """A parsed archive: all manifests in memory and verified, all blobs as extents of the plain tar.

    Blobs are verified when their bytes are read. An image may refer to content that is in neither mapping.

    format          one of the names of the contract
    notes           remarks for the user
    producer        the program that wrote the archive, for display; empty if not known
    contradictions  manifests that are never pushed, because no content matches their configs, with the reason
    mislabelled     layers whose compression differs from their media types
    faults          content that cannot be used, with the reason
    advice          the remedy if content is missing
    fault           why the archive as a whole is bad, although images in it may be whole"""

    format: str
    images: tuple[ImageEntry, ...]
    manifests: Mapping[Digest, Manifest]
    blobs: Mapping[Digest, Extent]
    notes: tuple[str, ...] = ()
    producer: str = ""
    contradictions: Mapping[Digest, str] = field(default_factory=lambda: NONE_CONTRADICTORY)
    mislabelled: Mapping[Digest, Compression] = field(default_factory=lambda: NONE_MISLABELLED)
    faults: Mapping[Digest, Fault] = field(default_factory=lambda: NO_FAULTS)
    advice: str = ""
    fault: Fault | None = None
