"""The embedded destination: the Registry port over one OCI image layout on disk, and read access for pulls.

Each blob is stored once for all repositories of the layout, so `mount_blob` costs one check on disk. A repository has
what was pushed or mounted to it (`repository_blobs`): a caller with access to one repository learns nothing about the
others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import (
    ArchiveError,
    DigestMismatch,
    RegistryFault,
    RegistryLost,
    RegistryRejected,
    SizeMismatch,
    join_limited,
)
from app.oci import (
    MAX_MANIFEST_BYTES,
    Descriptor,
    Digest,
    Manifest,
    parse_manifest,
    parse_repository,
    parse_tag,
    referrer,
    verify,
)
from app.oci.media_types import is_manifest
from app.registry import MAX_CONFIG_BYTES, BlobContent, StoredManifest, check_config
from app.registry.oci_layout.adoption import Look, adopt, optional_content
from app.registry.oci_layout.files import BlobWriter, IndexVersion, LayoutFiles
from app.registry.oci_layout.index import LayoutIndex
from app.registry.oci_layout.repository_blobs import Held, RepositoryBlobs
from app.registry.uploads.spare_session import SpareSession

MAX_NAMED = 3  # missing digests in one message


@dataclass(slots=True, eq=False)
class _PendingEntry:
    """A manifest that waits to be written to index.json."""

    repository: str
    tag: str | None
    manifest: tuple[Descriptor, Digest | None]
    blobs: frozenset[Held]
    held: frozenset[Digest]
    written: bool = False


class LayoutRegistry:
    """Registry port over the layout at `root`, which is created if it is missing.

    Several instances, also in several processes, may share one. Raises RegistryFault if the directory is not usable.
    """

    def __init__(self, root: Path) -> None:
        self._files = LayoutFiles(root)
        self._files.prepare()
        self._turn = asyncio.Lock()
        self._waiting: list[_PendingEntry] = []
        self._holdings = RepositoryBlobs(self._parsed)
        self._held = self._load()

    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        found = await asyncio.to_thread(self._blob_size, parse_repository(repository), digest)
        return found is not None and size in {None, found}

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        await asyncio.to_thread(self._verify, parse_repository(repository), blob, read=read)

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        return

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        parse_repository(repository)
        if not await self.blob_exists(source, digest, size):
            return False
        self._holdings.add_unreferenced(repository, digest)
        return True

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        parse_repository(repository)
        digest = content.digest
        size = await self.blob_size(repository, digest) if digest is not None and content.might_exist else None
        if digest is not None and size is not None and size == content.size:
            content.mark_existing()
            return digest, size
        writer = self._files.new_blob(content.digest.algorithm if content.digest else "sha256", content.size)
        try:
            await _written(content, writer)
            await content.wait_commit_allowed()
            blob = await asyncio.to_thread(writer.finish, content.digest)
        finally:
            await asyncio.to_thread(writer.discard)
        self._holdings.add_unreferenced(repository, blob[0])
        return blob

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        found = await asyncio.to_thread(self._find, parse_repository(repository), reference)
        return None if found is None else found.digest

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await asyncio.to_thread(self._read, parse_repository(repository), reference)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        if config.size > MAX_CONFIG_BYTES:
            raise RegistryRejected(
                f"{repository}: config {config.digest} is too large ({config.size} bytes); at most {MAX_CONFIG_BYTES} "
                "bytes are read"
            )
        if await self.blob_size(repository, config.digest) is None:
            return None
        raw = await self.read_blob(config.digest, 0, config.size + 1)
        return check_config(config, raw, "the image store")

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        """Store a manifest.

        Raises RegistryRejected if the bytes do not match `reference` or the descriptor, or refer to missing content. A
        `subject` may be missing (distribution-spec, "Pushing Manifests with Subject"). So may children of an index:
        only jobs push here, and their plan refuses an incomplete index unless the submitter permits it.
        """
        tag = _tag_of(reference, manifest[0])
        change = await asyncio.to_thread(self._store, parse_repository(repository), tag, manifest)
        # index.json is one file, so the task with the lock writes the entries of all waiting tasks
        self._waiting.append(change)
        try:
            async with self._turn:
                if not change.written:
                    batch = [change, *(other for other in self._waiting if other is not change)]
                    self._waiting.clear()
                    await asyncio.to_thread(self._write, batch)
        finally:
            if change in self._waiting:
                self._waiting.remove(change)
        return change.manifest[1] is not None

    async def repositories(self) -> list[str]:
        """Return the names of all repositories, sorted."""
        return sorted((await asyncio.to_thread(self._index)).repositories)

    async def tags(self, repository: str) -> list[str] | None:
        """Return the tags, sorted by code point, or None if the repository does not exist."""
        index = await asyncio.to_thread(self._index)
        return index.tags(repository) if repository in index.repositories else None

    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size in bytes, or None if the repository does not have the blob."""
        return await asyncio.to_thread(self._blob_size, repository, digest)

    async def read_blob(self, digest: Digest, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`; the digest was verified on arrival. Raises RegistryFault."""
        return await asyncio.to_thread(self._files.read_blob, digest, offset, size)

    async def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Return the manifests of `repository` whose subject is `digest`, as in the distribution-spec.

        Each has the artifactType and annotations of the manifest.
        """
        return await asyncio.to_thread(self._referrers, repository, digest)

    def _load(self) -> tuple[IndexVersion, LayoutIndex]:
        stamp, raw = self._files.read_index()
        try:
            return stamp, adopt(LayoutIndex.parse(raw), Look(self._parsed, self._files.blob_size))
        except ArchiveError as error:
            raise RegistryFault(
                f"the image store cannot be read: {error}; fix index.json or move its directory away"
            ) from None

    def _index(self) -> LayoutIndex:
        if self._files.index_stamp() != self._held[0]:
            self._held = self._load()
        return self._held[1]

    def _blob_size(self, repository: str, digest: Digest) -> int | None:
        return self._files.blob_size(digest) if self._has(repository, digest) else None

    def _verify(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        has = self._has(repository, blob.digest)
        fault = self._files.fault_of(blob.digest, blob.size, read=read) if has else "is missing"
        if fault is not None:
            raise RegistryLost(f"{repository}: blob {blob.digest} {fault}", blobs=(str(blob.digest),))

    def _has(self, repository: str, digest: Digest) -> bool:
        return self._holdings.has(repository, digest, self._index().roots(repository))

    def _parsed(self, descriptor: Descriptor) -> Manifest | None:
        """Return the manifest, or None if it is missing, which the image-spec permits."""
        if self._files.blob_size(descriptor.digest) is None:
            return None
        with _damage():
            return parse_manifest(self._load_manifest(descriptor), descriptor)

    def _write(self, changes: list[_PendingEntry]) -> None:
        with self._files.locked():
            before = index = self._index()
            for change in changes:
                index = index.with_manifest(change.repository, change.tag, change.manifest, change.held)
            if index is not before:
                self._held = (self._files.replace_index(index.dump()), index)
        for change in changes:
            change.written = True
            self._holdings.mark_referenced(change.blobs)

    def _store(self, repository: str, tag: str | None, manifest: tuple[Descriptor, bytes]) -> _PendingEntry:
        descriptor, raw = manifest
        try:
            parsed = parse_manifest(raw, descriptor)
        except (DigestMismatch, SizeMismatch) as error:
            raise RegistryRejected(f"the image store rejects a manifest: DIGEST_INVALID, {error}") from None
        except ArchiveError as error:
            raise RegistryRejected(f"the image store rejects a manifest: MANIFEST_INVALID, {error}") from None
        if not is_manifest(descriptor.media_type):
            raise RegistryRejected(
                f"the image store rejects a manifest: MANIFEST_INVALID, {descriptor.media_type} is neither an image "
                "manifest nor an index"
            )
        held = self._check_references(repository, parsed)
        writer = self._files.new_blob(descriptor.digest.algorithm, descriptor.size)
        try:
            writer.write(raw)
            writer.finish(descriptor.digest)
        finally:
            writer.discard()
        subject = None if parsed.subject is None else parsed.subject.digest
        referred = held.union(blob.digest for blob in parsed.blobs)
        blobs = frozenset((repository, digest) for digest in referred)
        return _PendingEntry(repository, tag, (descriptor, subject), blobs, held)

    def _check_references(self, repository: str, manifest: Manifest) -> frozenset[Digest]:
        """Return the optional content that the repository has. Raises RegistryRejected if it lacks required content."""
        optional = {content.digest for content in optional_content(manifest)}
        missing, held = [], set[Digest]()
        for reference in (*manifest.blobs, *manifest.manifests):
            size = self._blob_size(repository, reference.digest)
            if size is None and reference.digest not in optional and not manifest.is_index:
                missing.append(str(reference.digest))
            elif size not in {None, reference.size}:
                raise RegistryRejected(
                    f"the image store rejects manifest {manifest.descriptor.digest}: MANIFEST_INVALID, it states "
                    f"{reference.size} bytes for {reference.digest}, which has {size}"
                )
            elif size is not None and reference.digest in optional:
                held.add(reference.digest)
        if missing:
            raise RegistryRejected(
                f"the image store rejects manifest {manifest.descriptor.digest}: MANIFEST_BLOB_UNKNOWN, it refers to "
                f"{join_limited(missing, MAX_NAMED)}, which is missing; push that first"
            )
        return frozenset(held)

    def _find(self, repository: str, reference: str) -> Descriptor | None:
        """Return the manifest under `reference` in `repository`, if its bytes exist."""
        root = self._index().find(repository, reference)
        return None if root is None or self._files.blob_size(root.digest) is None else root.descriptor

    def _read(self, repository: str, reference: str) -> StoredManifest | None:
        descriptor = self._find(repository, reference)
        if descriptor is None:
            return None
        return StoredManifest(descriptor.media_type, descriptor.digest, self._load_manifest(descriptor))

    def _load_manifest(self, descriptor: Descriptor) -> bytes:
        raw = self._files.read_blob(descriptor.digest, 0, MAX_MANIFEST_BYTES + 1)
        with _damage():
            verify(raw, descriptor, f"manifest {descriptor.digest}")
        return raw

    def _referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        found = {root.digest: root.descriptor for root in self._index().roots(repository) if root.subject == digest}
        present = (found[key] for key in sorted(found) if self._files.blob_size(key) is not None)
        return tuple(_as_referrer(descriptor, self._load_manifest(descriptor)) for descriptor in present)


async def _written(content: BlobContent, writer: BlobWriter) -> None:
    """Write all chunks.

    A separate function: after its return nothing keeps the last chunk in memory, and many blobs may wait then.
    """
    async for chunk in content.chunks():
        await asyncio.to_thread(writer.write, chunk)
        content.count_sent(len(chunk))


def _tag_of(reference: str, descriptor: Descriptor) -> str | None:
    """Return `reference` if it is a tag, or None if it is the digest of `descriptor`."""
    if ":" not in reference:
        return parse_tag(reference)
    if reference != str(descriptor.digest):
        raise RegistryRejected(
            f"the image store rejects a manifest: DIGEST_INVALID, it has {descriptor.digest}, not {reference:.200}"
        )
    return None


def _as_referrer(descriptor: Descriptor, raw: bytes) -> Descriptor:
    with _damage():
        return referrer(parse_manifest(raw, descriptor))


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise RegistryFault(f"the image store has damaged content: {error}; delete that file and push again") from None
