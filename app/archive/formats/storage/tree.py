"""The storage of a registry: the files of CNCF distribution (registry/storage/paths.go), in tars of several writers.

    docker/registry/v2/blobs/sha256/<hh>/<hex>/data                          layers, configs, manifests, indexes
    docker/registry/v2/repositories/<path>/_manifests/tags/<tag>/current/link    the digest of a tag
    docker/registry/v2/repositories/<path>/_manifests/revisions/sha256/<hex>/link    manifests of that repository

A link contains only a digest. Media types are not stored; a manifest states its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.archive.formats.reading.manifest_graph import UNUSABLE, read_graph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, Fault, ImageEntry
from app.errors import InvalidReference, LimitExceeded, MalformedArchive
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, Reference, media_type_of, strict_json, verify
from app.oci.media_types import OCI_MANIFEST, is_manifest

ROOT = "docker/registry/v2"
_REPOSITORIES = f"{ROOT}/repositories"
_CURRENT = "/current/link"
_BLOBS = f"{ROOT}/blobs/"
_DATA = "/data"
_TAG = re.compile(rf"{_REPOSITORIES}/(?P<repository>.+)/_manifests/tags/(?P<tag>[^/]+){_CURRENT}")
_STORAGE = re.compile(
    rf"(?P<slash>^|/){ROOT}(?:/(?P<part>[^/]*)|$)"
)  # the first match: a repository may have such a name too
MAX_LINK_BYTES = 256  # sha512:<128 hex> has 135


@dataclass(frozen=True, slots=True)
class TagRequest:
    """A tag of the tree to be pushed, or a manifest if `digest` is set.

    It is pushed under `name` if its original registry is known, and under `path` if not. One of the two is set."""

    repository: str
    tag: str
    name: str | None = None
    path: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.name or self.path or f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class ResolvedTag:
    """A requested tag and its manifest, whose bytes were verified; or the fault of the manifest."""

    wanted: TagRequest
    root: Descriptor
    fault: Fault | None = None


def blob_path(digest: Digest) -> str:
    return f"{_BLOBS}{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}{_DATA}"


def holds_tree(contents: ArchiveReader) -> bool:
    return any(name == ROOT or name.startswith(f"{ROOT}/") for name in contents.names())


def storages(contents: ArchiveReader) -> tuple[str, ...]:
    """Return the directories that contain a storage: empty for the root, with a slash at the end for others.

    If one of them is complete, with repositories and blobs, incomplete ones are ignored."""
    found: dict[str, set[str]] = {}
    for name in contents.names():
        if match := _STORAGE.search(name):
            found.setdefault(name[: match.start()] + match["slash"], set()).add(match["part"] or "")
    complete = tuple(directory for directory, parts in found.items() if parts >= {"repositories", "blobs"})
    return complete or tuple(found)


def holds_repositories(contents: ArchiveReader) -> bool:
    return any(name.startswith(f"{_REPOSITORIES}/") for name in contents.names())


def tags(contents: ArchiveReader) -> Iterator[tuple[str, str]]:
    """Yield repository and tag of every tag in the tree, in archive order."""
    for name in contents.names():
        if name.endswith(_CURRENT) and (found := _TAG.fullmatch(name)):
            yield found["repository"], found["tag"]


def resolve_tags(
    contents: ArchiveReader, wanted: Sequence[TagRequest]
) -> tuple[tuple[ResolvedTag, ...], tuple[TagRequest, ...]]:
    """Return the requested tags that exist and those that are absent, like a registry over this tree.

    Raises LimitExceeded."""
    if len(wanted) > contents.limits.nodes:
        raise LimitExceeded(f"the storage has {len(wanted)} tags to push; at most {contents.limits.nodes} are read")
    roots = _TagRoots(contents)
    found, absent = [], []
    for request in wanted:
        try:
            root = roots.of(request)
            fault = _fault_of_name(request) if root is None else None
        except UNUSABLE as error:
            root, fault = None, _fault_of_name(request) or Fault.of(error)
        if root is not None:
            found.append(ResolvedTag(request, root))
        elif fault is not None:
            found.append(unusable(request, fault))
        else:
            absent.append(request)
    return tuple(found), tuple(absent)


def _fault_of_name(wanted: TagRequest) -> Fault | None:
    """Return a fault if the tag is absent because its name is invalid in every registry."""
    if wanted.digest is not None:
        return None
    try:
        Reference.parse_destination(f"{wanted.repository}:{wanted.tag}", "the name")
    except InvalidReference as error:
        return Fault.of(error)
    return None


def unusable(wanted: TagRequest, fault: Fault) -> ResolvedTag:
    """Return a tag without a usable manifest; its descriptor only identifies it."""
    return ResolvedTag(wanted, Descriptor(OCI_MANIFEST, Digest.of(str(wanted).encode()), 0), fault)


class _TagRoots:
    """The manifests of tags; each is read once.

    Its digest is verified first, so that many names cannot be links to the same bytes."""

    def __init__(self, contents: ArchiveReader) -> None:
        self._contents = contents
        self._known: dict[Digest, Descriptor | None] = {}
        self._bytes = 0

    def of(self, wanted: TagRequest) -> Descriptor | None:
        manifests = f"{_REPOSITORIES}/{wanted.repository}/_manifests"
        digest = wanted.digest or self._link(f"{manifests}/tags/{wanted.tag}{_CURRENT}")
        if digest is None:
            return None
        revision = self._link(f"{manifests}/revisions/{digest.algorithm}/{digest.encoded}/link")
        if revision is None:  # deleted; the registry then also reports that the manifest does not exist
            return None
        if revision != digest:
            raise MalformedArchive(f"the link of revision {digest} in {wanted.repository} contains {revision}")
        if digest not in self._known:
            self._known[digest] = self._read(digest)
        return self._known[digest]

    def _link(self, name: str) -> Digest | None:
        raw = self._contents.read(name, MAX_LINK_BYTES)
        if raw is None:
            return None
        try:
            return Digest.parse(raw.decode("ascii"))
        except (UnicodeDecodeError, MalformedArchive):
            raise MalformedArchive(f"{name!r:.400} does not contain a digest", content=f"{raw[:80]!r}") from None

    def _read(self, digest: Digest) -> Descriptor | None:
        raw = self._contents.read(blob_path(digest), MAX_MANIFEST_BYTES)
        if raw is None:
            return None
        self._bytes += len(raw)
        if self._bytes > self._contents.limits.manifests_bytes:
            raise LimitExceeded(
                f"the archive has more than {self._contents.limits.manifests_bytes} bytes of manifests; split it"
            )
        return describe(raw, digest)


def describe(raw: bytes, digest: Digest) -> Descriptor:
    """Return the descriptor of a manifest, whose bytes are the only source of its media type.

    Raises DigestMismatch, MalformedArchive."""
    what = f"manifest {digest}"
    descriptor = Descriptor("", digest, len(raw))
    verify(raw, descriptor, what)
    members = strict_json(raw, what=what, limit=MAX_MANIFEST_BYTES)
    media_type = media_type_of(members) if isinstance(members, dict) else ""
    if not is_manifest(media_type) or members.get("schemaVersion") == 1:
        raise MalformedArchive(
            f"{what} has a tag, but is neither a supported image manifest nor an index; remove it",
            content=f"its media type is {media_type!r:.100}",
        )
    return replace(descriptor, media_type=media_type)


def count_stray(contents: ArchiveReader, archive: Archive) -> int:
    """Return the number of blobs in the tree that `archive`, which was read from it, does not refer to."""
    reached = {blob_path(digest) for digest in (*archive.manifests, *archive.blobs)}
    blobs = (name for name in contents.names() if name.startswith(_BLOBS) and name.endswith(_DATA))
    return sum(name not in reached for name in blobs)


def read_archive(contents: ArchiveReader, name: str, found: Sequence[ResolvedTag], notes: Sequence[str]) -> Archive:
    """Return an Archive of the format `name` with the resolved tags; one image per digest, with all its names.

    Raises what `read_graph` raises, and LimitExceeded."""
    roots: dict[Digest, tuple[Descriptor, dict[str, None], dict[str, None]]] = {}
    faults = {resolved.root.digest: resolved.fault for resolved in found}
    for resolved in found:
        _, names, paths = roots.setdefault(resolved.root.digest, (resolved.root, {}, {}))
        names.update(dict.fromkeys(filter(None, [resolved.wanted.name])))
        paths.update(dict.fromkeys(filter(None, [resolved.wanted.path])))
        if len(names) + len(paths) > contents.limits.tags:
            raise LimitExceeded(f"image {resolved.root.digest} has more than {contents.limits.tags} names")
    readable = [root for digest, (root, _, _) in roots.items() if faults[digest] is None]
    graph = read_graph(replace(contents, place=blob_path), readable)
    platforms = graph.platforms(roots)
    images = tuple(
        ImageEntry(root, tuple(names), tuple(paths), platforms=platforms[digest], fault=faults[digest])
        for digest, (root, names, paths) in roots.items()
    )
    return Archive(name, images, graph.manifests, graph.blobs, (*notes, *graph.notes), faults=graph.faults)
