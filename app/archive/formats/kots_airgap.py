"""kots-airgap: the `.airgap` of a release of Replicated's KOTS (replicatedhq/kots, pkg/image/airgap.go).

`spec.format` in `airgap.yaml` selects the form of images/:

    docker-registry   images/docker/registry/v2, a registry's storage; KOTS uses only the last component of a name
    docker-archive    images/docker-archive/<host>/<repository>/<tag>, one docker archive each; …/sha256/<hex> by digest

`spec.savedImages` has the full names for the first form. An embedded cluster has its own storage and list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from app.archive.formats.reading.inner_archive import InnerArchives
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.reading.union import unite
from app.archive.formats.storage.tree import ROOT, TagRequest, read_archive, resolve_tags, storages, tags, unusable
from app.archive.model import Archive, Fault, ImageEntry
from app.archive.yaml import MAX_BYTES, Node, read_members
from app.errors import InvalidReference, MalformedArchive, MissingContent, TruncatedArchive, UnknownFormat
from app.oci import Descriptor, Digest, Reference
from app.oci.media_types import OCI_MANIFEST

AIRGAP = "airgap.yaml"
IMAGES = "images/"
_API = "kots.io/"
_KIND = "Airgap"
_UNREADABLE = (MalformedArchive, TruncatedArchive, UnknownFormat)
ONLY_IMAGES = "only the images of the airgap bundle are pushed, not the application (app.tar.gz) or other files"


class KotsAirgap:
    name = "kots-airgap"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        extent = contents.extent(AIRGAP)
        if extent is None or extent.size > MAX_BYTES:
            return False
        raw = contents.read(AIRGAP, MAX_BYTES) or b""
        return _KIND.encode() in raw and _is_airgap(_document(raw))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return every tag of every storage, and every archive in images/. Raises LimitExceeded."""
        spec = _mapping(_document(contents.read(AIRGAP, MAX_BYTES) or b"").get("spec"))
        cluster = _mapping(_mapping(spec.get("embeddedClusterArtifacts")).get("registry"))
        lists = {f"{_text(cluster.get('dir')).strip('/')}/": _texts(cluster.get("savedImages"))}
        lists[IMAGES] = _texts(spec.get("savedImages"))
        directories = storages(contents)
        archives = [Archive(self.name, (), {}, {}, (ONLY_IMAGES,))]
        archives += [_read_storage(contents.below(directory), lists.get(directory, ())) for directory in directories]
        archives += _read_archives(contents, directories)
        return unite(archives, contents.limits)


def _document(raw: bytes) -> dict[str, Node]:
    """Return the readable members: release notes are free text."""
    return read_members(raw, what=AIRGAP)[0]


def _is_airgap(members: Mapping[str, Node]) -> bool:
    return _text(members.get("apiVersion")).startswith(_API) and members.get("kind") == _KIND


def _read_storage(contents: ArchiveReader, saved: Sequence[str]) -> Archive:
    there = list(tags(contents))
    repositories = {repository for repository, _ in there} | set(_untagged(contents))
    wanted = [_tag_request(name, repositories) for name in saved]
    listed = {(request.repository, request.tag) for request in wanted}
    others = [(repository, tag) for repository, tag in there if (repository, tag) not in listed]
    wanted += [TagRequest(repository, tag, path=f"{repository}:{tag}") for repository, tag in others]
    found, absent = resolve_tags(contents, wanted)
    fault = Fault(
        MissingContent, f"{AIRGAP} lists it, but the airgap bundle does not contain it; download the bundle again"
    )
    return read_archive(contents, KotsAirgap.name, (*found, *(unusable(item, fault) for item in absent)), ())


def _untagged(contents: ArchiveReader) -> Iterator[str]:
    """Yield the repositories that have manifests, with or without tags."""
    for name in contents.names():
        repository, manifests, _ = name.removeprefix(f"{ROOT}/repositories/").partition("/_manifests/")
        if manifests and name.startswith(f"{ROOT}/repositories/"):
            yield repository


def _tag_request(name: str, repositories: set[str]) -> TagRequest:
    """Return the tag to look up for a saved image.

    KOTS looks for the last component of the name; a storage with more components is supported too. An invalid name is
    reported as missing."""
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return TagRequest(name, "", name=name)
    parts = [reference.registry, *reference.repository.split("/")]
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    repository = next((end for end in ends if end in repositories), ends[-1])
    digest = reference.digest
    tag = str(digest) if digest is not None else reference.tag or "latest"
    called = name if digest is None else str(replace(reference, tag=None))
    return TagRequest(repository, tag, name=called, digest=digest)


def _read_archives(contents: ArchiveReader, directories: Sequence[str]) -> Iterator[Archive]:
    inner = InnerArchives(contents)
    for member in contents.index.files():
        _, _, path = member.name.removeprefix(IMAGES).partition("/")  # after images/docker-archive/
        if not member.name.startswith(IMAGES) or not path or member.name.startswith(_storage_roots(directories)):
            continue
        try:
            archive = inner.open(member.name, member.extent)
        except _UNREADABLE as error:
            yield Archive(KotsAirgap.name, (_unusable(path, Fault.of(error)),), {}, {})
            continue
        images = tuple(_named(image, path) for image in archive.images) if len(archive.images) == 1 else archive.images
        yield replace(archive, format=KotsAirgap.name, images=images)


def _unusable(path: str, fault: Fault) -> ImageEntry:
    """Return an entry for an archive that cannot be read, named by its path."""
    return _named(ImageEntry(Descriptor(OCI_MANIFEST, Digest.of(path.encode()), 0), fault=fault), path)


def _storage_roots(directories: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{directory}{ROOT}/" for directory in directories)


def _named(image: ImageEntry, path: str) -> ImageEntry:
    """Return `image` with its path as the name; unchanged if the path is not a valid name."""
    parts = path.split("/")
    is_digest = len(parts) > 2 and parts[-2] == "sha256"
    name = f"{'/'.join(parts[:-2])}@sha256:{parts[-1]}" if is_digest else f"{'/'.join(parts[:-1])}:{parts[-1]}"
    try:
        Reference.parse(name)
    except InvalidReference:
        return image
    return replace(image, names=(name,), bare_tags=()) if len(parts) > 1 else image


def _mapping(node: Node) -> dict[str, Node]:
    return node if isinstance(node, dict) else {}


def _text(node: Node) -> str:
    return node if isinstance(node, str) else ""


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in node if isinstance(text, str))) if isinstance(node, list) else ()
