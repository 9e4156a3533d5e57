"""Destinations: the verbs a push needs, and what speaks them (`http`: any distribution-spec registry; `layout`: an OCI
image layout on disk)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from app.oci import Descriptor, Digest


class BlobContent(Protocol):
    """The bytes of one blob, to be read from the start any number of times, one reader at a time.

    `digest` and `size` are known before reading, or both None (a layer that is compressed while it is sent); then they
    are known once `chunks` has been read to its end. `chunks` verifies what it reads and raises ArchiveError before
    its last chunk where the content is wrong, so wrong content never is complete at the far end.
    """

    @property
    def digest(self) -> Digest | None: ...
    @property
    def size(self) -> int | None: ...
    def chunks(self) -> AsyncIterator[bytes]:
        """Chunks of about 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as the destination holds it."""

    media_type: str
    digest: Digest
    raw: bytes


class Registry(Protocol):
    """A destination. All verbs may be called concurrently; each raises a RegistryError of the one tree and leaves no
    upload session behind. `repository` is the whole path below the host. Retrying is a wrapper's business (`retry`)."""

    async def blob_exists(self, repository: str, digest: Digest) -> bool: ...

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """Make a blob of repository `source` present in `repository`. False: not possible here, send it."""
        ...

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        """Send one blob; its digest and size. Errors of `content` pass through unchanged."""
        ...

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        """The digest under a tag or digest (HEAD), None where there is none or the registry will not say."""
        ...

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """The verified bytes under a tag or digest (GET), None where there are none."""
        ...

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> None:
        """Store exactly these bytes under a tag or digest."""
        ...


__all__ = ["BlobContent", "Registry", "StoredManifest"]
