"""ArchiveReader: an indexed tar, read by member name, for the readers of all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from app.archive.manifests.image_config import ImageConfig, ImageConfigs
from app.archive.model import DEFAULT_LIMITS, Compression, Extent, Limits, ReadAt
from app.archive.tar.index import TarIndex, normalise
from app.errors import LimitExceeded
from app.oci import Digest, Platform, count_values

_HEAD = 512  # one tar block: contains every magic number, even that of tar at byte 257
MAX_PLATFORM = 100  # characters of os/architecture/variant; real ones have fewer than 20


def blob_name(digest: Digest) -> str:
    """Return the member of an OCI image layout that has the content (image-spec image-layout.md)."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


@dataclass(slots=True)
class _ReadBudget:
    """The amount that was read of one archive so far."""

    size: int = 0
    values: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveReader:
    """Reads documents of an indexed tar by name.

    `read` and `extent` follow links within the archive, and return None if the file does not exist. `place` returns the
    member of a digest in this format. All names are relative to `directory`, which is empty or ends with a slash; links
    may point outside it."""

    index: TarIndex
    source: ReadAt
    limits: Limits = DEFAULT_LIMITS
    place: Callable[[Digest], str] = blob_name
    directory: str = ""
    configs: ImageConfigs = field(default_factory=ImageConfigs, repr=False)
    inner: dict[int, Compression] = field(default_factory=dict, repr=False)  # `TarIndex.compressed` of inner archives
    _read: _ReadBudget = field(default_factory=_ReadBudget, repr=False)

    def below(self, directory: str) -> ArchiveReader:
        """Return a reader with `directory`, which is empty or ends with a slash, as its root."""
        return replace(self, directory=self.directory + directory)

    def names(self) -> Iterator[str]:
        """Yield the names of all members, in archive order."""
        if not self.directory:
            yield from self.index.members
            return
        start = len(self.directory)
        for name in self.index.members:
            if name.startswith(self.directory):
                yield name[start:]

    def read(self, name: str, limit: int) -> bytes | None:
        """Read a document. Raises LimitExceeded, MalformedArchive, and what `ReadAt` raises."""
        raw = self.index.read(normalise(self.directory + name), self.source, limit)
        return None if raw is None else self._charged(raw)

    def read_extent(self, extent: Extent) -> bytes:
        """Read a document whose size the caller has checked. Raises LimitExceeded, and what `ReadAt` raises."""
        return self._charged(self.source.read_at(extent.offset, extent.size))

    def extent(self, name: str) -> Extent | None:
        """Return the extent of a file, or None. Raises MalformedArchive."""
        return self.index.extent(normalise(self.directory + name))

    def config(self, extent: Extent) -> ImageConfig | None:
        """Return an image config; None for one that cannot be read. Raises LimitExceeded, and what `ReadAt` raises."""
        if extent.size > self.limits.config_bytes:
            return None
        if extent not in self.configs:
            self.configs.add(extent, self.read_extent(extent))
        return self.configs[extent]

    def spare_config(self, extent: Extent) -> ImageConfig | None:
        """Return an image config that is optional: None beyond the limits, and its bytes are counted separately.

        Raises what `ReadAt` raises."""
        if extent.size > self.limits.config_bytes:
            return None
        if extent not in self.configs:
            if not self.configs.has_budget(extent.size):
                return None
            self.configs.add_spare(extent, self.source.read_at(extent.offset, extent.size))
        return self.configs[extent]

    def compression(self, extent: Extent) -> Compression:
        """Return the compression of the bytes, which the index has. Nothing is read."""
        return self.inner.get(extent.offset) or self.index.compression(extent)

    def is_plain_tar(self, extent: Extent) -> bool:
        """Return whether the bytes are a tar; an empty tar, which is all zeros, is one too."""
        if self.compression(extent) is not Compression.NONE:
            return False
        head = self._head(extent)
        return len(head) == _HEAD and (head[257:262] == b"ustar" or not any(head))

    def _charged(self, raw: bytes) -> bytes:
        self._read.size += len(raw)
        self._read.values += count_values(raw)
        if self._read.size > self.limits.documents_bytes or self._read.values > self.limits.values:
            raise LimitExceeded(
                f"the documents of the archive have more than {self.limits.documents_bytes} bytes or "
                f"{self.limits.values} values; split it"
            )
        return raw

    def _head(self, extent: Extent) -> bytes:
        return self.source.read_at(extent.offset, min(extent.size, _HEAD))


def is_known_platform(platform: Platform | None) -> bool:
    """Return whether the platform is shown and may be selected."""
    return platform is not None and platform.known and len(str(platform)) <= MAX_PLATFORM
