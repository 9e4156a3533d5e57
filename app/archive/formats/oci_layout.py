"""oci-archive: an OCI image layout in a tar (image-spec image-layout.md): skopeo, podman, buildah, buildx, crane,
regctl, oras, umoci. Also docker >= 25 and containerd, which put docker's manifest.json beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.archive.formats.contents import Contents, blob_name, enumerated
from app.archive.formats.docker_archive import read_images
from app.archive.formats.graph import Graph, read_graph
from app.archive.formats.hybrid import read_beside, read_the_docker_way
from app.archive.formats.layout_entries import assemble, collect, name_by_repo_tags
from app.archive.formats.layout_names import embedded_name
from app.archive.formats.layout_whole import NOTE as WHOLE
from app.archive.formats.layout_whole import read_whole, whole_entry
from app.archive.model import Archive
from app.errors import LimitExceeded, MalformedArchive, MissingContent
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, media_type_of, refuse_lookalikes, strict_json
from app.oci.media_types import INDEXES, is_manifest

MARKER = "oci-layout"
INDEX = "index.json"
MAX_MARKER_BYTES = 4096  # the document of the specification has 30
_VERSION = re.compile(r"1(?:\.[0-9]{1,9}){1,2}")


class OCILayout:
    name = "oci-archive"

    def recognises(self, contents: Contents) -> bool:
        return contents.extent(MARKER) is not None and contents.extent(INDEX) is not None

    def read(self, contents: Contents) -> Archive:
        check_version(contents)
        return read_layout(contents, self.name, list_layout(contents))


def read_layout(contents: Contents, name: str, listed: list[Descriptor]) -> Archive:
    """The images that `listed`, the descriptors of index.json, lead to, as an archive of the format `name`."""
    listed_manifests = [each for each in listed if is_manifest(each.media_type)]
    graph = read_graph(contents, listed_manifests)
    descriptors = list(_present(listed_manifests, graph))
    beside = read_beside(contents, graph)
    top_levels, name_notes = name_by_repo_tags(collect(descriptors, contents.limits), graph, beside.repo_tags)
    entries = assemble(top_levels, graph, contents.limits)
    whole = None if beside.unlisted else read_whole(contents, listed, entries)
    if whole is not None:
        entries = (whole_entry(whole, entries),)
        graph = replace(graph, manifests={**graph.manifests, whole.descriptor.digest: whole})
        name_notes = (*name_notes, WHOLE)
    images = (read_the_docker_way(contents, graph, image, beside) for image in entries)
    more, blobs, docker_notes = read_images(contents, beside.unlisted, oci=True)
    return Archive(
        format=name,
        images=(*images, *more),
        manifests=graph.manifests,
        blobs={**graph.blobs, **blobs},
        notes=(*_unknown(listed), *graph.notes, *name_notes, *docker_notes),
    )


def check_version(contents: Contents) -> None:
    raw = contents.read(MARKER, MAX_MARKER_BYTES) or b""
    members = strict_json(raw, what=MARKER, limit=MAX_MARKER_BYTES)
    if isinstance(members, dict):
        refuse_lookalikes(members, ("imageLayoutVersion",), MARKER)
    version = members.get("imageLayoutVersion") if isinstance(members, dict) else None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise MalformedArchive(
            f"the imageLayoutVersion of {MARKER} is not read; 1.0.0 is, and any other 1.x", content=f"{version!r:.100}"
        )


def list_layout(contents: Contents) -> list[Descriptor]:
    """The descriptors of index.json. Raises MalformedArchive, MissingContent, LimitExceeded."""
    raw = contents.read(INDEX, contents.limits.docker_manifest_bytes) or b""
    members = strict_json(raw, what=INDEX, limit=contents.limits.docker_manifest_bytes)
    if not isinstance(members, dict) or "manifests" not in members:
        raise MalformedArchive(f"{INDEX} is no image index: it has no list `manifests`")
    if {"config", "layers"} & members.keys() or members.get("mediaType") not in (None, *INDEXES):
        raise MalformedArchive(f"{INDEX} says of itself that it is something else than an image index")
    refuse_lookalikes(members, ("manifests", "mediaType", "config", "layers"), INDEX)
    entries = [] if members["manifests"] is None else members["manifests"]  # Go writes an empty list as null
    if not isinstance(entries, list):
        raise MalformedArchive(f"`manifests` of {INDEX} is not a list")
    if len(entries) > contents.limits.nodes:
        raise LimitExceeded(f"{INDEX} lists {len(entries)} manifests; at most {contents.limits.nodes} are read")
    return [_descriptor(contents, entry, f"entry {number} of {INDEX}") for number, entry in enumerate(entries, 1)]


def _descriptor(contents: Contents, members: Any, what: str) -> Descriptor:
    """A media type that is left out is told by the content: some writers leave it out at this place."""
    if not isinstance(members, dict) or members.get("mediaType"):
        return Descriptor.parse(members, what)
    digest = Digest.parse(members.get("digest"))
    raw = contents.read(blob_name(digest), MAX_MANIFEST_BYTES)
    if raw is None:
        raise MissingContent(f"the archive lacks manifest {digest}, {what}; save it again")
    content = strict_json(raw, what=f"manifest {digest}", limit=MAX_MANIFEST_BYTES)
    media_type = media_type_of(content) if isinstance(content, dict) else None
    return Descriptor.parse({**members, "mediaType": media_type}, what)


def _present(listed: list[Descriptor], graph: Graph) -> Iterator[Descriptor]:
    """oras lists the children of an index here, too; what is missing of those is the index's affair. Raises
    MissingContent where it has a name of its own."""
    for each in listed:
        name = embedded_name(each)
        if each.digest in graph:
            yield each
        elif name.full or name.bare_tag:
            raise MissingContent(f"the archive lacks manifest {each.digest}, {name.full or name.bare_tag}")


def _unknown(listed: list[Descriptor]) -> tuple[str, ...]:
    """Told, as image-spec forbids to fail: without a manifest there is no name under which it could be pushed."""
    unknown = [f"{each.digest} ({each.media_type})" for each in listed if not is_manifest(each.media_type)]
    return (f"index.json lists what is no manifest and is not pushed: {enumerated(unknown)}",) if unknown else ()
