"""oc-image-mirror: mirrors that oc writes, and the image sets of oc-mirror v1.

The commands are `oc image mirror … file://…` and `oc adm release mirror --to-dir` (openshift/oc,
pkg/cli/image/imagesource/file.go); for oc-mirror v1 see openshift/oc-mirror, v1/pkg/archive.

    [DIRECTORY/]v2/<repository>/blobs/sha256:<hex>       content, with manifests; a link to another repository's copy
    [DIRECTORY/]v2/<repository>/manifests/sha256:<hex>   a hard link to the manifest among the blobs
    [DIRECTORY/]v2/<repository>/manifests/<tag>          a symbolic link to the file above
    blobs/sha256:<hex>                                   the blobs of all repositories (oc-mirror v1)

On Windows, names have `-` instead of `:`. A tag may also be a copy of the manifest: a copied directory has no links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.formats.reading.addressed_members import place_anywhere
from app.archive.formats.reading.manifest_graph import UNUSABLE, ManifestGraph, read_graph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import describe
from app.archive.model import Archive, Fault, ImageEntry
from app.archive.tar.index import MemberKind
from app.errors import InvalidReference, LimitExceeded, MalformedArchive, MissingContent
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, parse_tag
from app.oci.media_types import OCI_MANIFEST

METADATA = "publish/.metadata.json"  # of oc-mirror v1, in the first file of a set
_MANIFEST = re.compile(r"(?:.*?/)?v2/(?P<repository>.+)/manifests/(?P<name>[^/]+)")
_DIGEST = re.compile(r"(?P<algorithm>sha256|sha512)[:-](?P<encoded>[0-9a-f]{64,128})")
_CONTENT = re.compile(r"(?:^|/)v2/.+/(?:blobs|manifests)/sha(?:256|512)[:-][0-9a-f]{64,128}$")
_ROOT_BLOB = re.compile(r"blobs/sha(?:256|512)[:-][0-9a-f]{64,128}")
_UNFINISHED = ".download"  # an unfinished download of oc
_PARTS = "if oc-mirror wrote several files, send all of them in one request, files of earlier runs first"


@dataclass(frozen=True, slots=True)
class _RepositoryManifest:
    """A manifest in a repository, and its tag, or None if it has only a digest. `fault`: why it is unusable."""

    repository: str
    tag: str | None
    descriptor: Descriptor
    fault: Fault | None = None


class OcImageMirror:
    name = "oc-image-mirror"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        return any(map(_CONTENT.search, contents.names()))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return every tag, and every untagged manifest that no index of its repository lists. Raises LimitExceeded."""
        reader = replace(contents, place=place_anywhere(contents))
        manifests = _Manifests(reader)
        found = list(manifests.find())
        graph = read_graph(reader, [manifest.descriptor for manifest in found if manifest.fault is None])
        return Archive(
            self.name,
            _images(found, graph),
            graph.manifests,
            graph.blobs,
            graph.notes,
            faults=graph.faults,
            advice=_PARTS,
        )


def is_part(contents: ArchiveReader) -> bool:
    """Return whether this file belongs to a set of oc-mirror v1; it may contain only blobs."""
    names = list(contents.names())
    return any(map(_ROOT_BLOB.fullmatch, names)) or (METADATA in names and any(map(_CONTENT.search, names)))


class _Manifests:
    """The manifests of the repositories; each one is read once."""

    def __init__(self, contents: ArchiveReader) -> None:
        self._contents = contents
        self._known: dict[Digest, Descriptor] = {}

    def find(self) -> Iterator[_RepositoryManifest]:
        count = 0
        for name in self._contents.names():
            match = _MANIFEST.fullmatch(name)
            if match is None or name.endswith(_UNFINISHED):
                continue
            count += 1
            if count > self._contents.limits.nodes:
                raise LimitExceeded(f"the archive has more than {self._contents.limits.nodes} manifests; split it")
            found = self._manifest(name, match["repository"], match["name"])
            if found is not None:
                yield found

    def _manifest(self, name: str, repository: str, file_name: str) -> _RepositoryManifest | None:
        # the newest of several runs, as if the archive were unpacked
        member = self._contents.index.members[self._contents.directory + name][-1]
        is_link = member.kind is MemberKind.SYMLINK
        stated = None if is_link or self._is_referrers_tag(name, file_name) else _digest(file_name)
        if member.kind is MemberKind.DIRECTORY or (stated is None and not _is_tag(file_name)):
            return None
        digest = stated or (_digest(member.target.rpartition("/")[2]) if is_link else None)
        tag = file_name if stated is None else None
        try:
            descriptor = self._describe(name, digest)
        except UNUSABLE as error:
            return _RepositoryManifest(repository, tag, _unusable_descriptor(digest, name), Fault.of(error))
        if descriptor is None:
            fault = Fault(MissingContent, f"the archive lacks its manifest; {_PARTS}")
            return _RepositoryManifest(repository, tag, _unusable_descriptor(digest, name), fault)
        return _RepositoryManifest(repository, tag, descriptor)

    def _is_referrers_tag(self, name: str, file_name: str) -> bool:
        """Return whether `sha256-<hex>` is a referrers tag, and not the name of a manifest on Windows."""
        digest = None if ":" in file_name else _digest(file_name)
        raw = None if digest is None else self._contents.read(name, MAX_MANIFEST_BYTES)
        return digest is not None and raw is not None and not digest.is_same(Digest.of(raw), raw)

    def _describe(self, name: str, digest: Digest | None) -> Descriptor | None:
        """Return the descriptor of a manifest, None if it is absent."""
        if digest is None or digest not in self._known:
            member_name = name if digest is None else self._contents.place(digest)
            raw = self._contents.read(member_name, MAX_MANIFEST_BYTES)
            if raw is None:
                return None
            descriptor = describe(raw, digest or Digest.of(raw))
            digest = descriptor.digest
            self._known[digest] = descriptor
        return self._known[digest]


def _unusable_descriptor(digest: Digest | None, name: str) -> Descriptor:
    """Return a descriptor that identifies an image whose manifest cannot be used."""
    return Descriptor(OCI_MANIFEST, digest or Digest.of(name.encode()), 0)


def _digest(text: str) -> Digest | None:
    match = _DIGEST.fullmatch(text)
    if match is None:
        return None
    try:
        return Digest.parse(f"{match['algorithm']}:{match['encoded']}")
    except MalformedArchive:
        return None


def _is_tag(text: str) -> bool:
    try:
        return bool(parse_tag(text))
    except InvalidReference:
        return False


def _images(found: Sequence[_RepositoryManifest], graph: ManifestGraph) -> tuple[ImageEntry, ...]:
    digests: dict[str, set[Digest]] = {}
    tagged: set[tuple[str, Digest]] = set()
    for manifest in found:
        digests.setdefault(manifest.repository, set()).add(manifest.descriptor.digest)
        if manifest.tag is not None:
            tagged.add((manifest.repository, manifest.descriptor.digest))
    paths: dict[Digest, dict[str, None]] = {}
    roots: dict[Digest, Descriptor] = {}
    faults = {manifest.descriptor.digest: manifest.fault for manifest in found}
    for manifest in found:
        repository, digest = manifest.repository, manifest.descriptor.digest
        is_child = not digests[repository].isdisjoint(graph.parents.get(digest, ()))
        if manifest.tag is None and ((repository, digest) in tagged or is_child):
            continue
        path = f"{repository}@{digest}" if manifest.tag is None else f"{repository}:{manifest.tag}"
        paths.setdefault(digest, {})[path] = None
        roots.setdefault(digest, manifest.descriptor)
    platforms = graph.platforms(roots)
    return tuple(
        ImageEntry(roots[digest], paths=tuple(names), platforms=platforms[digest], fault=faults[digest])
        for digest, names in paths.items()
    )
