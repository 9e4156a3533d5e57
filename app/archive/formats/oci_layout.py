"""oci-archive: an OCI image layout in a tar (image-spec image-layout.md).

Writers are skopeo, podman, buildah, buildx, crane, regctl, oras, umoci; and docker >= 25 and containerd, which add
docker's manifest.json."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.archive.formats.docker_archive import read_images
from app.archive.formats.docker_oci import read_as_docker_archive, read_docker_manifest, repo_tags_of
from app.archive.formats.layout.agreement import agree
from app.archive.formats.layout.images import build_images, collect_entries, name_by_repo_tags
from app.archive.formats.layout.index_as_image import NOTE as INDEX_AS_IMAGE
from app.archive.formats.layout.index_as_image import index_as_image, read_index_as_image
from app.archive.formats.layout.names import Listed
from app.archive.formats.reading.manifest_graph import UNUSABLE, ManifestGraph, read_graph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, Fault, ImageEntry
from app.errors import LimitExceeded, MalformedArchive, join_limited
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, media_type_of, refuse_lookalikes, strict_json
from app.oci.media_types import ANNOTATION_BY_DIGEST, ANNOTATION_REPOSITORY, INDEXES, OCI_MANIFEST, is_manifest

MARKER = "oci-layout"
INDEX = "index.json"
MAX_MARKER_BYTES = 4096  # the specification's document has 30
MAX_PATH = 300  # characters of a name in a message
_VERSION = re.compile(r"1(?:\.[0-9]{1,9}){1,2}")


class OCILayout:
    name = "oci-archive"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        return is_layout(contents)

    def read(self, contents: ArchiveReader) -> Archive:
        check_version(contents)
        return read_layout(contents, self.name, list_layout(contents))


def is_layout(contents: ArchiveReader) -> bool:
    return contents.extent(MARKER) is not None and contents.extent(INDEX) is not None


@dataclass(frozen=True, slots=True)
class Layout:
    """An image layout in the directory of `contents`, and the entries of its index.json."""

    contents: ArchiveReader
    listed: Sequence[Listed]


def read_layout(contents: ArchiveReader, name: str, listed: Sequence[Descriptor]) -> Archive:
    """Return the images of `listed`, the descriptors of index.json, as an archive of the format `name`."""
    return read_layouts(contents, name, [Layout(contents, [Listed(descriptor) for descriptor in listed])])


def read_layouts(contents: ArchiveReader, name: str, layouts: Sequence[Layout]) -> Archive:
    """Return the images of `layouts` as one archive of the format `name`. `contents.place` locates their blobs."""
    listed = [entry for layout in layouts for entry in layout.listed]
    listed_manifests = [entry for entry in listed if is_manifest(entry.descriptor.media_type)]
    graph = read_graph(contents, [entry.descriptor for entry in listed_manifests])
    docker_manifests = [read_docker_manifest(layout.contents, graph) for layout in layouts]
    named, name_notes = name_by_repo_tags(
        collect_entries(_present(listed_manifests, graph), contents.limits), graph, repo_tags_of(docker_manifests)
    )
    entries = build_images(named, graph, contents.limits)
    index = None
    if len(layouts) == 1 and not docker_manifests[0].unlisted:
        index = read_index_as_image(layouts[0].contents, [entry.descriptor for entry in listed], entries)
    if index is not None:
        entries = (index_as_image(index, entries),)
        graph = replace(graph, manifests={**graph.manifests, index.descriptor.digest: index})
        name_notes = (*name_notes, INDEX_AS_IMAGE)
    agreed = agree(contents, graph, entries, docker_manifests)
    graph = agreed.graph
    images = [_read_the_docker_way(contents, graph, image, repo_tags_of(docker_manifests)) for image in agreed.entries]
    blobs, notes = dict(graph.blobs), [*_unknown(listed), *graph.notes, *name_notes, *agreed.notes]
    for layout, documents in zip(layouts, docker_manifests, strict=True):
        more, configs, docker_notes = read_images(layout.contents, documents.unlisted, oci=True)
        images.extend(more)
        blobs.update(configs)
        notes.extend(docker_notes)
    return Archive(
        name,
        tuple(images),
        graph.manifests,
        blobs,
        tuple(notes),
        contradictions=agreed.contradictions,
        faults=graph.faults,
    )


def _read_the_docker_way(
    contents: ArchiveReader, graph: ManifestGraph, entry: ImageEntry, repo_tags: Mapping[Digest, tuple[str, ...]]
) -> ImageEntry:
    if isinstance(entry.root, Descriptor) and entry.root.digest not in graph:
        return entry
    try:
        return read_as_docker_archive(contents, graph, entry, repo_tags)
    except UNUSABLE as error:
        return replace(entry, fault=Fault.of(error))


def check_version(contents: ArchiveReader) -> None:
    raw = contents.read(MARKER, MAX_MARKER_BYTES) or b""
    what = f"{contents.directory}{MARKER}"
    members = strict_json(raw, what=what, limit=MAX_MARKER_BYTES)
    if isinstance(members, dict):
        refuse_lookalikes(members, ("imageLayoutVersion",), what)
    version = members.get("imageLayoutVersion") if isinstance(members, dict) else None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise MalformedArchive(
            f"the imageLayoutVersion of {what[-MAX_PATH:]} is not supported; 1.x is",
            content=f"{version!r:.100}",
        )


def list_layout(contents: ArchiveReader, blobs: ArchiveReader | None = None) -> list[Descriptor]:
    """Return the descriptors of index.json. `blobs` locates their content if it is in another directory.

    Raises MalformedArchive, LimitExceeded."""
    what = f"{contents.directory}{INDEX}"[-MAX_PATH:]
    raw = contents.read(INDEX, contents.limits.docker_manifest_bytes) or b""
    members = strict_json(raw, what=what, limit=contents.limits.docker_manifest_bytes)
    if not isinstance(members, dict) or "manifests" not in members:
        raise MalformedArchive(f"{what} is not an image index: it has no list `manifests`")
    if {"config", "layers"} & members.keys() or members.get("mediaType") not in (None, *INDEXES):
        raise MalformedArchive(
            f"{what} is not an image index: it has the media type or the members of another document"
        )
    refuse_lookalikes(members, ("manifests", "mediaType", "config", "layers"), what)
    entries = [] if members["manifests"] is None else members["manifests"]  # Go writes an empty list as null
    if not isinstance(entries, list):
        raise MalformedArchive(f"`manifests` of {what} is not a list")
    if len(entries) > contents.limits.nodes:
        raise LimitExceeded(f"{what} lists {len(entries)} manifests; at most {contents.limits.nodes} are read")
    where = blobs or contents
    return [_descriptor(where, entry, f"entry {number} of {what}") for number, entry in enumerate(entries, 1)]


def _descriptor(contents: ArchiveReader, members: Any, what: str) -> Descriptor:
    """Parse an entry of index.json. A missing media type, which some writers omit, is detected from the content.

    Unreadable content counts as a manifest, so that only this image is rejected."""
    if not isinstance(members, dict) or members.get("mediaType"):
        return Descriptor.parse(members, what)
    digest = Digest.parse(members.get("digest"))
    try:
        raw = contents.read(contents.place(digest), MAX_MANIFEST_BYTES) or b""
        content = strict_json(raw, what=f"manifest {digest}", limit=MAX_MANIFEST_BYTES)
    except MalformedArchive:
        content = None
    media_type = media_type_of(content) if isinstance(content, dict) else OCI_MANIFEST
    return Descriptor.parse({**members, "mediaType": media_type}, what)


def _present(listed: Sequence[Listed], graph: ManifestGraph) -> Iterator[Listed]:
    """Yield the entries that are images, even incomplete ones.

    oras also lists the children of an index here. A missing child is a problem of its index, unless it has a name."""
    for entry in listed:
        digest, name = entry.descriptor.digest, entry.name
        is_named = name.full or name.path or name.bare_tag or name.placeholder
        if not is_named and ANNOTATION_REPOSITORY in entry.descriptor.annotations:
            yield from _present_in_store(entry, graph)
            continue
        if digest in graph or is_named or digest not in graph.parents:
            yield entry


def _present_in_store(entry: Listed, graph: ManifestGraph) -> Iterator[Listed]:
    """Yield an entry of the image store without a tag, if it is a referrer, or may have been pushed by its digest.

    Version 0.1.0 did not say how it was pushed. Others belong to an index, or their tag was moved.
    """
    descriptor = entry.descriptor
    subject = graph.subject(descriptor.digest) if descriptor.digest in graph else None
    if subject is not None and subject.digest in graph:
        yield entry
    elif ANNOTATION_BY_DIGEST not in descriptor.annotations and descriptor.digest not in graph.parents:
        annotations = {**descriptor.annotations, ANNOTATION_BY_DIGEST: "true"}
        yield replace(entry, descriptor=replace(descriptor, annotations=annotations))


def _unknown(listed: Sequence[Listed]) -> tuple[str, ...]:
    """Return a note about entries that are not manifests: they have no name to be pushed to.

    image-spec forbids an error for unknown media types."""
    descriptors = [entry.descriptor for entry in listed if not is_manifest(entry.descriptor.media_type)]
    unknown = [f"{descriptor.digest} ({descriptor.media_type})" for descriptor in descriptors]
    return (f"entries of index.json that are not manifests are not pushed: {join_limited(unknown)}",) if unknown else ()
