"""The graph of every manifest reachable from descriptors, read and verified, with the extents of the blobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from app.archive.formats.reading.reader import ArchiveReader, is_known_platform
from app.archive.formats.uds_packages import may_be_package, read_package
from app.archive.model import NO_FAULTS, Extent, Fault
from app.errors import ArchiveError, DigestMismatch, LimitExceeded, MalformedArchive, SizeMismatch, join_limited
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Manifest, Platform, parse_manifest
from app.oci.media_types import ANNOTATION_DOCKER_SUBJECT, DOCKER_CONFIG, NON_DISTRIBUTABLE, OCI_CONFIG, is_manifest

# problems of one manifest or config, not of the archive
UNUSABLE: tuple[type[ArchiveError], ...] = (MalformedArchive, DigestMismatch, SizeMismatch)
MAX_PLATFORMS = 100  # listed for one image; Docker's largest official images have fewer than 20


@dataclass(frozen=True, slots=True)
class ManifestGraph:
    """The manifests and blobs that an archive's descriptors refer to.

    manifests  verified against digest and size; `descriptor` has the platform of an image, from its config if the
               descriptor states none
    blobs      every config, layer and child of an unknown type in the archive; size and digest are not verified yet
    parents    of a manifest: the indexes that list it, and the manifests that have it as a layer
    notes      content that is absent and optional
    faults     why a manifest or blob in the archive cannot be used"""

    manifests: Mapping[Digest, Manifest]
    blobs: Mapping[Digest, Extent]
    parents: Mapping[Digest, tuple[Digest, ...]]
    notes: tuple[str, ...]
    faults: Mapping[Digest, Fault] = field(default_factory=lambda: NO_FAULTS)

    def __contains__(self, digest: object) -> bool:
        return digest in self.manifests

    def subject(self, digest: Digest) -> Descriptor | None:
        """Return the subject of the manifest; None if it has none or is absent."""
        manifest = self.manifests.get(digest)
        return None if manifest is None else manifest.subject

    def platforms(self, roots: Iterable[Digest]) -> dict[Digest, tuple[Platform, ...]]:
        """Return the platforms of each image, or of the images below an index, without attestations.

        Each platform is listed once, at most MAX_PLATFORMS of them."""
        found: dict[Digest, tuple[Platform, ...]] = {}
        return {root: self._platforms(root, found) for root in roots}

    def _platforms(self, digest: Digest, found: dict[Digest, tuple[Platform, ...]]) -> tuple[Platform, ...]:
        if digest in found:
            return found[digest]
        manifest = self.manifests.get(digest)
        if manifest is None:
            return ()
        platform = manifest.descriptor.platform
        platforms: dict[Platform, None] = {}
        if not manifest.is_index and platform is not None and is_known_platform(platform):
            platforms[platform] = None
        for child in manifest.manifests:  # Limits.depth bounds the recursion
            if child.digest in self and len(platforms) < MAX_PLATFORMS:
                platforms.update(dict.fromkeys(self._platforms(child.digest, found)))
        found[digest] = tuple(islice(platforms, MAX_PLATFORMS))
        return found[digest]

    def first_owners(self, roots: Iterable[Digest]) -> Mapping[Digest, Digest]:
        """Return for every manifest at or below `roots` the first of them that contains it."""
        owners: dict[Digest, Digest] = {}
        for root in roots:
            waiting = [root]
            for digest in waiting:
                if digest in self and digest not in owners:
                    owners[digest] = root
                    waiting.extend(child.digest for child in self.manifests[digest].children)
        return owners


def read_graph(contents: ArchiveReader, roots: Iterable[Descriptor]) -> ManifestGraph:
    """Follow `roots` down to the last blob. Raises LimitExceeded, and what `ReadAt` raises.

    Missing content is not in the graph, and unusable content has its reason in `faults`. The push decides whether an
    image is complete, because it knows which parts are selected."""
    reading = _ManifestGraphBuilder(contents)
    waiting = deque((root, 1) for root in roots)
    reading.listed.update(root.digest for root, _ in waiting)
    while waiting:
        descriptor, depth = waiting.popleft()
        manifest = reading.manifest(descriptor, depth)
        if manifest is None:
            continue
        reading.charge(manifest)
        for child in manifest.children:
            if is_manifest(child.media_type):
                reading.expect(child.digest, manifest)
                waiting.append((child, depth + 1))
            else:  # image-spec: an index may list unknown types; they are pushed unchanged
                reading.blob(child, descriptor.digest)
        for blob in manifest.blobs:
            reading.blob(blob, descriptor.digest)
        for package in filter(may_be_package, filter(reading.holds, manifest.layers)):
            reading.carry(read_package(contents, package), (manifest.descriptor.digest,))
    return reading.graph()


class _ManifestGraphBuilder:
    """A graph while it is read.

    True digests cannot form a circle. Depth and the set of seen digests bound the walk anyway (GHSA of other clients:
    an index that lists itself was followed forever)."""

    def __init__(self, contents: ArchiveReader) -> None:
        self.contents = contents
        self.limits = contents.limits
        self.manifests: dict[Digest, Manifest] = {}
        self.parents: dict[Digest, dict[Digest, None]] = {}
        self._depths: dict[Digest, int] = {}
        self._blobs: dict[Digest, Extent] = {}
        self._faults: dict[Digest, Fault] = {}
        self._incomplete: dict[Digest, None] = {}  # manifests that are missing, or lack a blob
        self._absent: dict[Digest, None] = {}
        self._bytes = 0
        self._references = 0
        self.listed: set[Digest] = set()  # roots and children of indexes: all others are known only as layers
        self._carried: dict[Digest, dict[Digest, Descriptor]] = {}  # by the manifest that they are pushed with

    def manifest(self, descriptor: Descriptor, depth: int) -> Manifest | None:
        """Return a manifest to be followed; None if it is missing, unusable, or was read at this depth or deeper.

        A manifest that occurs again at a greater depth is followed again, so `depth` is that of the longest path. Later
        walks rely on it."""
        if depth > self.limits.depth:
            raise LimitExceeded(f"manifest {descriptor.digest} is nested deeper than {self.limits.depth} indexes")
        if self._depths.get(descriptor.digest, 0) >= depth:
            self._same(self.manifests.get(descriptor.digest), descriptor)
            return None
        self._depths[descriptor.digest] = depth
        known = self.manifests.get(descriptor.digest)
        self._same(known, descriptor)
        return known if known is not None else self._read(descriptor)

    def carry(self, package: Manifest | None, parents: Iterable[Digest]) -> None:
        """Push the blobs of `package` that are in the archive with `parents`, which have its manifest as a layer."""
        if package is None:
            return
        self.charge(package)
        for blob in package.blobs:
            extent = self._blobs.get(blob.digest) or self._extent(blob.digest)
            if extent is None or extent.size != blob.size:
                continue
            self._blobs[blob.digest] = extent
            for parent in parents:
                self._carried.setdefault(parent, {})[blob.digest] = blob

    def expect(self, child: Digest, parent: Manifest) -> None:
        """Record that an index lists the child, or that a manifest has it as a layer.

        Too many manifests are rejected by these lists, before any of them is read."""
        self.parents.setdefault(child, {})[parent.descriptor.digest] = None
        if parent.is_index:
            self.listed.add(child)
        if len(self.parents) > self.limits.nodes:
            raise LimitExceeded(f"the indexes of the archive list more than {self.limits.nodes} manifests; split it")

    def charge(self, manifest: Manifest) -> None:
        """Count the references of a manifest, again each time it is followed: many levels multiply the cost."""
        self._references += 1 + len(manifest.layers) + len(manifest.manifests)
        if self._references > self.limits.references:
            raise LimitExceeded(
                f"the manifests of the archive have more than {self.limits.references} references; split it"
            )

    def _same(self, known: Manifest | None, descriptor: Descriptor) -> None:
        """Record a fault if one digest has two different descriptors: readers would differ on it."""
        if known is None:
            return
        digest = descriptor.digest
        if known.descriptor.size != descriptor.size:
            sizes = f"{known.descriptor.size} and {descriptor.size} bytes"
            self._faults[digest] = Fault(SizeMismatch, f"manifest {digest} is listed with two sizes: {sizes}")
        if known.descriptor.media_type != descriptor.media_type:
            types = f"{known.descriptor.media_type} and {descriptor.media_type}"
            self._faults[digest] = Fault(MalformedArchive, f"manifest {digest} is listed with two media types: {types}")

    def _read(self, descriptor: Descriptor) -> Manifest | None:
        digest = descriptor.digest
        try:
            raw = self.contents.read(self.contents.place(digest), MAX_MANIFEST_BYTES)
        except MalformedArchive as error:
            self._faults[digest] = Fault.of(error)
            return None
        if raw is None:
            self._incomplete[digest] = None
            return None
        self._bytes += len(raw)
        if len(self.manifests) >= self.limits.nodes or self._bytes > self.limits.manifests_bytes:
            raise LimitExceeded(
                f"the archive has more than {self.limits.nodes} manifests or {self.limits.manifests_bytes} bytes of "
                "them; split it"
            )
        try:
            manifest = parse_manifest(raw, descriptor)
        except UNUSABLE as error:
            self._faults[digest] = Fault.of(error)
            return None
        self.manifests[digest] = self._with_platform(manifest)
        return manifest

    def _with_platform(self, manifest: Manifest) -> Manifest:
        """Take the platform from the config if the descriptor's has no os or architecture."""
        descriptor, config = manifest.descriptor, manifest.config
        if is_stated(descriptor) or config is None or config.media_type not in {OCI_CONFIG, DOCKER_CONFIG}:
            return manifest
        extent = self._extent(config.digest)
        read = None if extent is None else self.contents.config(extent)
        if read is None or not read.platform.known:
            return manifest
        return replace(manifest, descriptor=replace(descriptor, platform=read.platform))

    def blob(self, descriptor: Descriptor, parent: Digest) -> None:
        extent = self._blobs.get(descriptor.digest) or self._extent(descriptor.digest)
        if extent is not None:
            self._blobs[descriptor.digest] = extent
        elif descriptor.urls or descriptor.media_type in NON_DISTRIBUTABLE:
            self._absent[descriptor.digest] = None
            return
        elif descriptor.data is not None:
            return
        if extent is None or extent.size != descriptor.size:
            self._incomplete[parent] = None

    def holds(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self._blobs

    def _extent(self, digest: Digest) -> Extent | None:
        """Return the extent of content, None if it is absent. A broken link or differing files become its fault."""
        try:
            return self.contents.extent(self.contents.place(digest))
        except MalformedArchive as error:
            self._faults[digest] = Fault.of(error)
            return None

    def graph(self) -> ManifestGraph:
        notes = []
        if self._absent:
            absent = join_limited([str(digest) for digest in self._absent])
            notes.append(f"not in the archive and not pushed, which their manifests permit (foreign layers): {absent}")
        notes.extend(self._demote_packages())
        parents = {digest: tuple(above) for digest, above in self.parents.items()}
        manifests = {digest: manifest for digest, manifest in self.manifests.items() if digest not in self._faults}
        return ManifestGraph(manifests, self._blobs, parents, tuple(notes), self._faults)

    def _demote_packages(self) -> Iterator[str]:
        """Push incomplete and unreadable manifests that are listed only as layers as layers.

        A bundle may omit optional parts of a package. A registry would reject the package's manifest, so the manifest
        becomes an ordinary layer, and its blobs in the archive are pushed with the bundle."""
        unreadable = (digest for digest, fault in self._faults.items() if fault.kind is MalformedArchive)
        unusable = (*self._incomplete, *unreadable)
        opaque = [digest for digest in dict.fromkeys(unusable) if digest in self.parents and digest not in self.listed]
        for digest in opaque:
            self._faults.pop(digest, None)
            self.carry(self.manifests.pop(digest, None), self.parents[digest])
        for digest, blobs in self._carried.items():
            if digest in self.manifests:
                self.manifests[digest] = replace(self.manifests[digest], carried=tuple(blobs.values()))
        if opaque:
            shown = join_limited([str(digest) for digest in opaque])
            yield f"incomplete manifests that are listed as layers are pushed as layers: {shown}"


def is_stated(descriptor: Descriptor) -> bool:
    """Return whether `descriptor` has the platform of its image, or is a BuildKit attestation, which has none."""
    if ANNOTATION_DOCKER_SUBJECT in descriptor.annotations:
        return True
    return descriptor.platform is not None and descriptor.platform.complete
