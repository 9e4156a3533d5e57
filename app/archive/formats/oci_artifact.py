"""oci-artifact: a `manifest.json` that is an OCI manifest or index, with its content in `blobs/sha256/<hex>`.

`docker model package` writes it (docker/model-runner, pkg/distribution/tarball/target.go). It has no name."""

from __future__ import annotations

from dataclasses import replace

from app.archive.formats.docker_archive import MANIFEST, read_manifest
from app.archive.formats.reading.addressed_members import place_anywhere
from app.archive.formats.reading.manifest_graph import read_graph
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.model import Archive, ImageEntry
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, media_type_of
from app.oci.media_types import is_manifest

_SKOPEO = "version"  # skopeo's dir: transport writes this file, and names its blobs differently


class OciArtifact:
    name = "oci-artifact"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        value = read_manifest(contents)
        if not isinstance(value, dict) or contents.extent(_SKOPEO) is not None:
            return False
        return value.get("schemaVersion") == 2 and is_manifest(media_type_of(value)) and bool(_CONTENT & value.keys())

    def read(self, contents: ArchiveReader) -> Archive:
        raw = contents.read(MANIFEST, MAX_MANIFEST_BYTES) or b""
        value = read_manifest(contents)
        media_type = media_type_of(value) if isinstance(value, dict) else ""
        root = Descriptor(media_type, Digest.of(raw), len(raw))
        elsewhere = place_anywhere(contents)
        reader = replace(contents, place=lambda digest: MANIFEST if digest == root.digest else elsewhere(digest))
        graph = read_graph(reader, [root])
        manifest = graph.manifests.get(root.digest)
        platforms = graph.platforms([root.digest])[root.digest]
        entry = ImageEntry(root if manifest is None else manifest.descriptor, platforms=platforms)
        return Archive(self.name, (entry,), graph.manifests, graph.blobs, graph.notes, faults=graph.faults)


_CONTENT = frozenset({"config", "manifests"})
