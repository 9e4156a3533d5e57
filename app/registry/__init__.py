"""The Registry port: the five verbs that a push needs, and the adapters that implement it.

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

MAX_CONFIG_BYTES = 8 << 20  # the largest seen is below 200 KiB; it is held in memory


class BlobContent(Protocol):
    """The bytes of one blob, to be read from the start any number of times, one reader at a time.

    `digest` and `size` are known before reading, or both None (a layer that is compressed while it is sent); then they
    are known once `chunks` has been read to its end. `chunks` verifies what it reads and raises ArchiveError before
    its last chunk where the content is wrong, so wrong content never is complete at the far end.

    What is sent before it is known whether it is wanted has `is_wanted` False until then. The registry gets its bytes,
    and awaits `until_wanted` before the request that makes a blob of them; cancelled there, it leaves none.
    """

    @property
    def digest(self) -> Digest | None: ...
    @property
    def size(self) -> int | None: ...
    def chunks(self) -> AsyncIterator[bytes]:
        """Chunks of about 1 MiB."""
        ...

    @property
    def might_exist(self) -> bool:
        """The registry is to look before it takes it; with `digest` known."""
        return False

    def mark_existing(self) -> None:
        """It is there, and was not sent."""
        return

    def count_sent(self, size: int) -> None:
        """Take the registry's report that it read `size` more bytes of this content; bytes that are sent again count
        again. Negative: the registry did not read so many bytes of those that were reported before."""
        return

    @property
    def spare(self) -> SpareSession | None:
        """It may hold an upload session that is to be used."""
        return None

    @property
    def is_commit_allowed(self) -> bool:
        return True

    async def wait_commit_allowed(self) -> None:
        """May be awaited again where what follows it failed."""
        return

    async def rest(self) -> None:
        """Release what others may use until `chunks` is read again: a request is sent again after a pause."""
        return


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as the destination holds it."""

    media_type: str
    digest: Digest
    raw: bytes


class Blobs(Protocol):
    """The half of a Registry that holds configs and layers."""

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        """Return whether the blob is there. One of another size than `size` is not."""
        ...

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        """Make a blob of repository `source` present in `repository`. False: not possible here, send it; `spare` may
        hold an upload session for that then."""
        ...

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        """Send one blob, where it is not there already; its digest and size. Errors of `content` pass through
        unchanged."""
        ...

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        """Raise RegistryLost unless the destination has `blob`, with its size. `read`: read all of it back, and compare
        its digest."""
        ...

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        """The verified bytes of an image config, None where there are none. Raises RegistryRejected for one of more
        than MAX_CONFIG_BYTES, and RegistryFault where it is not what `config` says."""
        ...


class Manifests(Protocol):
    """The half of a Registry that holds manifests, indexes and tags."""

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        """The digest under a tag or digest (HEAD), None where there is none or the registry will not say."""
        ...

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """The verified bytes under a tag or digest (GET), None where there are none."""
        ...

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        """Raise RegistryLost if a blob of `manifest` is not there. Which blobs are looked at, and how closely, is the
        business of a wrapper (`proof`); an adapter alone looks at none."""
        ...

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        """Store exactly these bytes under a tag or digest. True where the destination has taken note of the manifest's
        `subject`; else the list of its referrers is the client's to keep (distribution-spec, OCI-Subject)."""
        ...


class Registry(Blobs, Manifests, Protocol):
    """A destination. All verbs may be called concurrently; each raises a RegistryError of the one tree and leaves no
    upload session behind. `repository` is the whole path below the host. Retrying is a wrapper's business (`retry`)."""


def check_config(config: Descriptor, raw: bytes, where: str) -> bytes:
    """`raw` once it is what `config` says. Raises RegistryFault."""
    try:
        verify(raw, config, f"config {config.digest}")
    except ArchiveError as error:
        raise RegistryFault(f"{where} holds damaged content: {error}") from None
    return raw


__all__ = ["MAX_CONFIG_BYTES", "BlobContent", "Blobs", "Manifests", "Registry", "StoredManifest", "check_config"]
