"""The nouns of this package: what a tar holds (TarIndex) and what that means (Archive). Frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from app.errors import ArchiveError, TarmacError
from app.oci import Descriptor, Digest, Manifest, Platform


class Compression(StrEnum):
    """How bytes are wrapped, told by their first bytes. The values are those of the job document."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes in the plain tar."""

    offset: int
    size: int


class ReadAt(Protocol):
    """Random access to the plain tar. Thread-safe; blocks; the one who opened it closes it."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes. Raises TruncatedArchive when there are fewer, SourceChanged when the file is no
        longer the one that was opened."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read of an archive at most. Every number can be configured; each has its reason."""

    unpacked_bytes: int = 256 << 30  # four times the largest upload
    ratio: int = 200  # real image layers compress below 20:1; bombs start at 1000:1
    ratio_grace_bytes: int = 64 << 20  # honest zero-filled members may be extreme when they are small
    members: int = 100_000  # a bundle of 3,000 images has about as many
    header_bytes: int = 64 << 20  # all headers together: 100,000 members with long PAX names
    name_bytes: int = 16 << 20  # all names together, as they are held in memory; 100,000 names of blobs have 8 MB
    extension_bytes: int = 64 << 10  # one PAX or GNU extension header
    extensions_per_member: int = 4  # GNU L + K, PAX x, and one to spare
    docker_manifest_bytes: int = 16 << 20  # manifest.json of 4,000 images
    config_bytes: int = 8 << 20  # an image config; the largest seen is below 200 KiB
    depth: int = 16  # indexes within indexes
    nodes: int = 20_000  # manifests reachable from one archive
    manifests_bytes: int = 32 << 20  # all of them together, as they are held in memory; 20,000 usual ones have 30 MB
    references: int = 100_000  # from manifests to what they consist of; those of 3,000 usual images are 50,000
    documents_bytes: int = 128 << 20  # all JSON documents together, counted as often as they are read
    values: int = 2_000_000  # in all JSON documents together; each costs 0.1 µs, and they are small when compressed
    steps: int = 200_000  # references of every image, what they share counted for each: what a push takes
    names: int = 20_000  # of all images together
    names_bytes: int = 4 << 20  # of these; 10,000 images with names of 400 characters each
    tags: int = 1_000  # names of one image
    link_hops: int = 8  # symlinks and hard links within the archive


DEFAULT_LIMITS = Limits()
NONE_CONTRADICTORY: Mapping[Digest, str] = MappingProxyType({})
NONE_MISLABELLED: Mapping[Digest, Compression] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a part of an archive cannot be pushed: an error as a value. It counts only if the part is wanted. `content`
    is what the message quotes, as `ArchiveError` has it."""

    kind: type[TarmacError]
    message: str
    content: str = ""

    @classmethod
    def of(cls, error: TarmacError) -> Fault:
        return cls(type(error), str(error.args[0]), getattr(error, "content", ""))

    @property
    def unquoted(self) -> Fault:
        """The same, with nothing that stands in the archive."""
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
    """A layer of a docker archive: known by the digest of its plain tar (its DiffID), stored as `compression`."""

    diff_id: Digest
    extent: Extent
    compression: Compression


@dataclass(frozen=True, slots=True)
class DockerImage:
    """An image for which the archive holds no usable manifest; one is made when its layers' blobs are known.

    `config` describes bytes that stand in `Archive.blobs`; `oci` says which family of media types the made manifest
    has. `layers` follow the config's `rootfs.diff_ids`."""

    config: Descriptor
    layers: tuple[DockerLayer, ...]
    oci: bool = False


@dataclass(frozen=True, slots=True)
class TaggedReferrer:
    """What hangs on an image by the name of its tag alone: cosign's `sha256-<hex>.sig`, `.att` and `.sbom`, and the
    list of referrers `sha256-<hex>` for registries without a referrers API. `subject` is the digest in the tag."""

    tag: str
    root: Descriptor
    subject: Digest


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image (or index, or artifact) to be pushed.

    root        a manifest in `Archive.manifests`, or an image whose manifest has to be made
    names       names as the archive writes them, full or short (`nginx:1.25`), not yet parsed, in order, no repeats
    paths       `repository:tag` or `repository@digest` of a registry's own storage: without a host, nothing to complete
                or to take away
    bare_tags   tags that stand alone, with no repository
    placeholders  what stands where there is no name (`app.archive.placeholders`): `rename` and `images` may refer to it
    platforms   of the image, or of the children of an index (attestations left out)
    referrers   manifests whose `subject` lies in this image; they are pushed by digest, after it
    attached    manifests that go, after it, under a tag of their own to wherever the image goes
    original    for a docker archive that also is an OCI layout: the root as its OCI manifest has it, pushed instead of
                `root` when nothing is to be compressed
    fault       why the image cannot be pushed, whatever is picked of it; its root may then lack anything
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
        """Everything by which the archive calls the image, in full, as it stands."""
        return (*self.names, *self.paths, *self.bare_tags)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive understood: every manifest in memory and verified, every blob an extent of the plain tar (verified
    when its bytes pass). What an image refers to may be absent from both. `format` is one of the names of the contract;
    `notes` are things worth telling the user; `producer` is the program that wrote it, for display, empty where nothing
    tells.

    contradictions  manifests that are never pushed, as nothing in the archive agrees with their configs, and the reason
    mislabelled     layers that are compressed in another way than their media types say
    faults          of what is there and cannot be used: why
    advice          what to do about what is missing"""

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
