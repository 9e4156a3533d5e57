"""The Registry port: the operations that a push needs, and the adapters that implement it.

auth          authentication at registries
distribution  the distribution-spec over HTTP
oci_layout    the image store
uploads       blob uploads to a registry
wrappers      registries around registries
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from app.errors import ArchiveError, RegistryFault
from app.oci import Descriptor, Digest, verify

if TYPE_CHECKING:
    from app.registry.uploads.spare_session import SpareSession

MAX_CONFIG_BYTES = 8 << 20  # the largest config seen is below 200 KiB; it is read into memory


class BlobContent(Protocol):
    """The bytes of one blob, readable from the start any number of times, by one reader at a time.

    `digest` and `size` are known before reading, or both are None (a layer that is compressed while it is sent); then
    they are known once `chunks` has been read to its end. `chunks` verifies what it reads and raises ArchiveError
    before its last chunk if the content is wrong, so wrong content is never complete at the registry.

    If a blob may still turn out to be unnecessary, `is_commit_allowed` is False. The registry receives its bytes, and
    awaits `wait_commit_allowed` before the request that commits the blob. If it is cancelled there, the blob is not
    committed.
    """

    @property
    def digest(self) -> Digest | None: ...
    @property
    def size(self) -> int | None: ...
    def chunks(self) -> AsyncIterator[bytes]:
        """Yield chunks of about 1 MiB."""
        ...

    @property
    def might_exist(self) -> bool:
        """Return whether the registry must check for the blob before it is sent; `digest` is known then."""
        return False

    def mark_existing(self) -> None:
        """Record that the blob exists and was not sent."""
        return

    def count_sent(self, size: int) -> None:
        """Record that the registry read `size` more bytes of this content.

        Bytes that are sent again count again. A negative `size` corrects an earlier report that was too high.
        """
        return

    @property
    def spare(self) -> SpareSession | None:
        """Return an object that may contain an open upload session, to be used for this blob."""
        return None

    @property
    def is_commit_allowed(self) -> bool:
        """Return whether the blob may be committed already."""
        return True

    async def wait_commit_allowed(self) -> None:
        """Wait until the blob may be committed. May be awaited again after a later failure."""
        return

    async def rest(self) -> None:
        """Release shared resources until `chunks` is read again: the request is repeated after a pause."""
        return


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as stored at the destination."""

    media_type: str
    digest: Digest
    raw: bytes


class Blobs(Protocol):
    """The operations of a Registry on configs and layers."""

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        """Return whether the blob exists. A blob with a size other than `size` does not count."""
        ...

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        """Make a blob of repository `source` available in `repository`.

        Return False if that is impossible and the blob must be sent; `spare` may then contain an upload session for
        it.
        """
        ...

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        """Send one blob unless it exists, and return its digest and size. Errors of `content` pass unchanged."""
        ...

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        """Raise RegistryLost unless the destination has `blob` with its size.

        `read`: read all of it back, and compare its digest.
        """
        ...

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        """Return the verified bytes of an image config, or None if it does not exist.

        Raises RegistryRejected if it is larger than MAX_CONFIG_BYTES, and RegistryFault if it does not match
        `config`.
        """
        ...


class Manifests(Protocol):
    """The operations of a Registry on manifests, indexes and tags."""

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        """Return the digest of a tag or digest (HEAD), or None if it does not exist or the registry does not report
        it.
        """
        ...

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """Return the verified bytes of a tag or digest (GET), or None if it does not exist."""
        ...

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        """Raise RegistryLost if a blob of `manifest` is missing.

        A wrapper (`verify`) decides which blobs are checked, and how closely; an adapter alone checks none.
        """
        ...

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        """Store exactly these bytes under a tag or digest.

        Return whether the destination processed the manifest's `subject`; if not, the client must maintain the list of
        its referrers (distribution-spec, OCI-Subject).
        """
        ...


class Registry(Blobs, Manifests, Protocol):
    """A destination.

    All operations may be called concurrently; each raises only RegistryErrors and leaves no upload session behind.
    `repository` is the whole path below the host. Retries are the task of a wrapper (`retry`).
    """


def check_config(config: Descriptor, raw: bytes, where: str) -> bytes:
    """Return `raw` if it matches `config`. Raises RegistryFault."""
    try:
        verify(raw, config, f"config {config.digest}")
    except ArchiveError as error:
        raise RegistryFault(f"{where} has damaged content: {error}") from None
    return raw


__all__ = ["MAX_CONFIG_BYTES", "BlobContent", "Blobs", "Manifests", "Registry", "StoredManifest", "check_config"]
