"""kubekey: the images in an artifact of KubeKey 4 (kubesphere/kubekey, pkg/modules/image/repository.go).

[DIRECTORY/]blobs/sha256:<hex>                             configs and layers of all images
[DIRECTORY/]<host>/<repository>/manifests/sha256:<hex>     manifests and indexes
[DIRECTORY/]<host>/<repository>/manifests/layout           a JSON object: tag -> digest
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.archive.formats.reading.addressed_members import place_anywhere
from app.archive.formats.reading.manifest_graph import UNUSABLE, read_graph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import describe
from app.archive.model import Archive, Fault, ImageEntry
from app.errors import LimitExceeded, MalformedArchive, MissingContent
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, strict_json
from app.oci.media_types import OCI_MANIFEST

MAX_LAYOUT_BYTES = 1 << 20  # the tags of one repository; 10,000 tags have about 1 MB
_MANIFEST = re.compile(r"(?P<host>[^/]+)/(?P<repository>.+)/manifests/(?P<file>layout|sha256:[0-9a-f]{64})")
_LAYOUT = "layout"
_BLOB = re.compile(r"(?P<base>(?:.*/)?)blobs/sha256:[0-9a-f]{64}")
_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
ONLY_IMAGES = "the images of the KubeKey artifact are pushed; its programs, packages and charts are not"
_LACKS = "the artifact lacks its manifest; export it again"


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A tag of a repository, or a digest, and its manifest; `fault` says why that cannot be used."""

    name: str
    descriptor: Descriptor
    fault: Fault | None = None
    by_digest: bool = False


class KubeKeyImages:
    name = "kubekey"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        return any(True for _ in _files(contents))

    def read(self, contents: ArchiveReader) -> Archive:
        """Return every tag, and every untagged manifest that no index lists. Raises LimitExceeded, MalformedArchive."""
        reader = replace(contents, place=place_anywhere(contents))
        tags = list(_tags(reader))
        graph = read_graph(reader, [tag.descriptor for tag in tags if tag.fault is None])
        platforms = graph.platforms(tag.descriptor.digest for tag in tags)
        images: dict[Digest, ImageEntry] = {}
        named = {tag.descriptor.digest for tag in tags if not tag.by_digest}
        for tag in tags:
            digest = tag.descriptor.digest
            if tag.by_digest and (digest in named or digest in graph.parents):
                continue
            known = images.get(digest) or ImageEntry(tag.descriptor, platforms=platforms[digest], fault=tag.fault)
            images[digest] = replace(known, names=tuple(dict.fromkeys((*known.names, tag.name))))
        return Archive(
            self.name,
            tuple(images.values()),
            graph.manifests,
            graph.blobs,
            (ONLY_IMAGES, *graph.notes),
            faults=graph.faults,
        )


def _files(contents: ArchiveReader) -> Iterator[tuple[str, str, str]]:
    """Yield each file of manifests: the name of the member, the repository with its registry, and the file's name."""
    names = list(contents.names())
    bases = {match["base"] for name in names if (match := _BLOB.fullmatch(name))}
    for name in names if bases else ():
        base = max((base for base in bases if name.startswith(base)), key=len, default=None)
        match = None if base is None else _MANIFEST.fullmatch(name[len(base) :])
        if match is not None:
            host = _HUB if match["host"] == _HUB_HOST else match["host"]
            yield name, f"{host}/{match['repository']}", match["file"]


def _tags(contents: ArchiveReader) -> Iterator[_Tagged]:
    count = 0
    for member, repository, file in _files(contents):
        listed = {file: file} if file != _LAYOUT else _read_layout(contents, member)
        count += len(listed)
        if count > contents.limits.nodes:
            raise LimitExceeded(f"the archive has more than {contents.limits.nodes} tags and manifests; split it")
        for tag, digest in listed.items():
            by_digest = file != _LAYOUT
            name = f"{repository}@{file}" if by_digest else f"{repository}:{tag.partition('@')[0]}"
            yield replace(_tagged(contents, name, digest), by_digest=by_digest)


def _read_layout(contents: ArchiveReader, member: str) -> dict[str, object]:
    raw = contents.read(member, MAX_LAYOUT_BYTES) or b""
    listed = strict_json(raw, what=member, limit=MAX_LAYOUT_BYTES)
    if not isinstance(listed, dict):
        raise MalformedArchive(f"{member[-300:]} is not an object of tags; export the artifact again")
    return listed


def _tagged(contents: ArchiveReader, name: str, digest: object) -> _Tagged:
    unusable = Descriptor(OCI_MANIFEST, Digest.of(name.encode()), 0)
    try:
        stated = Digest.parse(digest)
        raw = contents.read(contents.place(stated), MAX_MANIFEST_BYTES)
        if raw is None:
            return _Tagged(name, unusable, Fault(MissingContent, _LACKS))
        return _Tagged(name, describe(raw, stated))
    except UNUSABLE as error:
        return _Tagged(name, unusable, Fault.of(error))
