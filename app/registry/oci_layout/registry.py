"""The embedded destination: the Registry port over one OCI image layout on disk, and read access for pulls.

Each blob is stored once for all repositories of the layout, so `mount_blob` costs one check on disk. A repository has
what was pushed or mounted to it (`repository_blobs`): a caller with access to one repository learns nothing about the
others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from app.errors import ArchiveError, Conflict, RegistryFault, RegistryLost, RegistryRejected
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, parse_manifest, parse_repository, verify
from app.registry import MAX_CONFIG_BYTES, BlobContent, StoredManifest, check_config
from app.registry.oci_layout.adoption import Look, adopt
from app.registry.oci_layout.entry import IndexRoot, PushStamp
from app.registry.oci_layout.files import BlobWriter, IndexVersion, LayoutFiles
from app.registry.oci_layout.index import LayoutIndex
from app.registry.oci_layout.manifest_cache import ManifestCache, ManifestContent
from app.registry.oci_layout.manifest_check import as_referrer, check_references, damage, parse_pushed, tag_of
from app.registry.oci_layout.repository_blobs import Held, RepositoryBlobs
from app.registry.oci_layout.uses import Needed, PushUse, Uses, current_push
from app.registry.uploads.spare_session import SpareSession

Change = Callable[[LayoutIndex], LayoutIndex]


@dataclass(slots=True, eq=False)
class _PendingChange:
    """A change that waits to be written to index.json. `blobs`: those that a manifest refers to afterwards."""

    change: Change
    blobs: frozenset[Held] = frozenset()
    written: bool = False


class LayoutRegistry:
    """Registry port over the layout at `root`, which is created if it is missing.

    Several instances, also in several processes, may share one. Raises RegistryFault if the directory is not usable.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.files = LayoutFiles(root)
        self.files.prepare()
        self.uses = Uses(root)
        self.uses.prepare()
        self.manifests = ManifestCache(self._parsed)
        self._clock = clock
        self._write_lock = asyncio.Lock()
        self._waiting: list[_PendingChange] = []
        self._repository_blobs = RepositoryBlobs(self.manifests)
        self._loaded = self._load()

    def push_under_way(self, job: str) -> AbstractContextManager[PushUse]:
        """Protect what this task and those that it starts look up or store from collections, until the block ends."""
        return self.uses.push(job)

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
        self._repository_blobs.add_unreferenced(repository, digest)
        return True

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        parse_repository(repository)
        digest = content.digest
        size = await self.blob_size(repository, digest) if digest is not None and content.might_exist else None
        if digest is not None and size is not None and size == content.size:
            content.mark_existing()
            return digest, size
        writer = self.files.new_blob(content.digest.algorithm if content.digest else "sha256", content.size)
        try:
            await _written(content, writer)
            await content.wait_commit_allowed()
            blob = await asyncio.to_thread(writer.finish, content.digest, lambda found: _need_blob(repository, found))
        finally:
            await asyncio.to_thread(writer.discard)
        self._repository_blobs.add_unreferenced(repository, blob[0])
        return blob

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        found = await asyncio.to_thread(self._find, parse_repository(repository), reference)
        return None if found is None else found.digest

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        return await asyncio.to_thread(self.read, parse_repository(repository), reference)

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

    async def keep(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that a push left these in place, repositories and references: they are as new.

        What is named by a digest is kept until it is deleted, though no tag refers to it.
        """
        stamp, wanted = self._stamp(), tuple(names)

        def change(index: LayoutIndex) -> LayoutIndex:
            for repository, reference in wanted:
                index = index.with_kept(repository, reference, stamp)
            return index

        await self._write_batched(_PendingChange(change))

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        """Store a manifest.

        Raises RegistryRejected if the bytes do not match `reference` or the descriptor, or refer to missing content. A
        `subject` may be missing (distribution-spec, "Pushing Manifests with Subject"). So may children of an index:
        only jobs push here, and their plan refuses an incomplete index unless the submitter permits it.
        """
        tag = tag_of(reference, manifest[0])
        subject, change = await asyncio.to_thread(self._store, parse_repository(repository), tag, manifest)
        await self._write_batched(change)
        return subject is not None

    async def _write_batched(self, change: _PendingChange) -> None:
        """Write a change. index.json is one file, so the task with the lock writes the changes of all waiting tasks."""
        self._waiting.append(change)
        try:
            async with self._write_lock:
                if not change.written:
                    batch = [change, *(other for other in self._waiting if other is not change)]
                    self._waiting.clear()
                    await asyncio.to_thread(self._write, batch)
        finally:
            if change in self._waiting:
                self._waiting.remove(change)

    async def repositories(self) -> list[str]:
        """Return the names of all repositories, sorted."""
        return sorted((await asyncio.to_thread(self.index)).repositories)

    async def tags(self, repository: str) -> list[str] | None:
        """Return the tags, sorted by code point, or None if the repository does not exist."""
        index = await asyncio.to_thread(self.index)
        return index.tags(repository) if repository in index.repositories else None

    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size in bytes, or None if the repository does not have the blob."""
        return await asyncio.to_thread(self._blob_size, repository, digest)

    async def read_blob(self, digest: Digest, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`; the digest was verified on arrival. Raises RegistryFault."""
        return await asyncio.to_thread(self.files.read_blob, digest, offset, size)

    async def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Return the manifests of `repository` whose subject is `digest`, as in the distribution-spec.

        Each has the artifactType and annotations of the manifest.
        """
        return await asyncio.to_thread(self._referrers, repository, digest)

    def _load(self) -> tuple[IndexVersion, LayoutIndex]:
        stamp, raw = self.files.read_index()
        try:
            return stamp, adopt(LayoutIndex.parse(raw), Look(self._parsed, self.files.blob_size))
        except ArchiveError as error:
            raise RegistryFault(
                f"the image store cannot be read: {error}; fix index.json or move its directory away"
            ) from None

    def index(self) -> LayoutIndex:
        """Return what index.json says now. Blocks. Raises RegistryFault."""
        if self.files.index_stamp() != self._loaded[0]:
            self._loaded = self._load()
        return self._loaded[1]

    def _blob_size(self, repository: str, digest: Digest) -> int | None:
        _need_blob(repository, digest)
        return self.files.blob_size(digest) if self.has(repository, digest) else None

    def _verify(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        _need_blob(repository, blob.digest)
        has = self.has(repository, blob.digest)
        fault = self.files.fault_of(blob.digest, blob.size, read=read) if has else "is missing"
        if fault is not None:
            raise RegistryLost(f"{repository}: blob {blob.digest} {fault}", blobs=(str(blob.digest),))

    def has(self, repository: str, digest: Digest) -> bool:
        return self._repository_blobs.has(repository, digest, self.index().roots(repository))

    def _parsed(self, descriptor: Descriptor) -> Manifest | None:
        """Return the manifest, or None if it is missing, which the image-spec permits."""
        if self.files.blob_size(descriptor.digest) is None:
            return None
        with damage():
            return parse_manifest(self._load_manifest(descriptor), descriptor)

    def _write(self, changes: list[_PendingChange]) -> None:
        def change_all(index: LayoutIndex) -> LayoutIndex:
            for change in changes:
                index = change.change(index)
            return index

        self.change_index(change_all)
        for change in changes:
            change.written = True
            self._repository_blobs.mark_referenced(change.blobs)

    def change_index(self, change: Change) -> None:
        """Write what `change` makes of index.json, in one step. Blocks. Raises RegistryFault."""
        with self.files.locked():
            before = self.index()
            after = change(before)
            if after is not before:
                self._loaded = (self.files.replace_index(after.dump()), after)

    def referring(self, repository: str, digest: Digest) -> IndexRoot | None:
        """Return a manifest of the repository that refers to the blob. Blocks."""
        return self._repository_blobs.referring(digest, self.index().roots(repository))

    def content(self, descriptor: Descriptor) -> ManifestContent | None:
        """Return what a manifest refers to; None if it is damaged or missing. Blocks."""
        try:
            return self.manifests.content(descriptor)
        except RegistryFault:
            return None

    def children(self, root: IndexRoot) -> frozenset[Digest]:
        """Return the manifests of an image index, or nothing if it is damaged or missing. Blocks."""
        content = self.content(root.descriptor)
        return frozenset() if content is None else frozenset(child.digest for child in content.children)

    def check_deletable(self, index: LayoutIndex, repository: str, digest: Digest) -> None:
        """Raise Conflict if an image index of `repository` refers to the manifest. Blocks."""
        for root in index.roots(repository):
            if digest in self.children(root):
                raise Conflict(f"{digest} is a part of the image index {root.digest}; delete that first")

    def _stamp(self) -> PushStamp:
        push = current_push()
        return PushStamp(int(self._clock()), "" if push is None else push.job)

    def _store(
        self, repository: str, tag: str | None, manifest: tuple[Descriptor, bytes]
    ) -> tuple[Digest | None, _PendingChange]:
        """Store the manifest; return its subject and its entry in index.json."""
        descriptor, raw = manifest
        parsed = parse_pushed(descriptor, raw)
        held = check_references(parsed, lambda digest: self._blob_size(repository, digest))
        writer = self.files.new_blob(descriptor.digest.algorithm, descriptor.size)
        try:
            writer.write(raw)
            writer.finish(descriptor.digest, lambda found: _need_manifest(repository, found))
        finally:
            writer.discard()
        subject = None if parsed.subject is None else parsed.subject.digest
        referred = held.union(blob.digest for blob in parsed.blobs)
        blobs = frozenset((repository, digest) for digest in referred)
        entry, stamp = (descriptor, subject), self._stamp()
        return subject, _PendingChange(lambda index: index.with_manifest(repository, tag, entry, held, stamp), blobs)

    def _find(self, repository: str, reference: str) -> Descriptor | None:
        """Return the manifest under `reference` in `repository`, if its bytes exist.

        A push under way needs it from now on.
        """
        push = current_push()
        root = self.present(repository, reference)
        while root is not None and push is not None:
            push.need(self.needed(repository, root))
            before, root = root, self.present(repository, reference)
            if root is not None and root.digest == before.digest:
                break
        return None if root is None else root.descriptor

    def present(self, repository: str, reference: str) -> IndexRoot | None:
        root = self.index().find(repository, reference)
        return None if root is None or self.files.blob_size(root.digest) is None else root

    def needed(self, repository: str, root: IndexRoot) -> Needed:
        """Return a manifest of `repository` and all that it leads to there. Blocks."""
        manifests, blobs = set[tuple[str, Digest]](), set[tuple[str, Digest]]()
        for found, content in self.manifests.walk(self.index(), repository, root):
            manifests.add((repository, found.digest))
            required = () if content is None else content.required
            blobs.update((repository, digest) for digest in (*required, *(found.held or ())))
        return Needed(frozenset(manifests), frozenset(blobs))

    def read(self, repository: str, reference: str) -> StoredManifest | None:
        descriptor = self._find(repository, reference)
        if descriptor is None:
            return None
        return StoredManifest(descriptor.media_type, descriptor.digest, self._load_manifest(descriptor))

    def _load_manifest(self, descriptor: Descriptor) -> bytes:
        raw = self.files.read_blob(descriptor.digest, 0, MAX_MANIFEST_BYTES + 1)
        with damage():
            verify(raw, descriptor, f"manifest {descriptor.digest}")
        return raw

    def _referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        found = {root.digest: root.descriptor for root in self.index().roots(repository) if root.subject == digest}
        present = (found[key] for key in sorted(found) if self.files.blob_size(key) is not None)
        return tuple(as_referrer(descriptor, self._load_manifest(descriptor)) for descriptor in present)


async def _written(content: BlobContent, writer: BlobWriter) -> None:
    """Write all chunks.

    A separate function: after its return nothing keeps the last chunk in memory, and many blobs may wait then.
    """
    async for chunk in content.chunks():
        await asyncio.to_thread(writer.write, chunk)
        content.count_sent(len(chunk))


def _need_manifest(repository: str, digest: Digest) -> None:
    """Let the push under way need a manifest from now on: the repository keeps it until its index comes."""
    push = current_push()
    if push is not None:
        push.need(Needed(manifests=frozenset({(repository, digest)})))


def _need_blob(repository: str, digest: Digest) -> None:
    """Record that the current push needs the blob, whether it is stored already or will be."""
    push = current_push()
    if push is not None:
        push.need(Needed(blobs=frozenset({(repository, digest)})))
