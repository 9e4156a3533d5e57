"""helm-chart: charts from `helm package`, as members of a tar.

`IngestStream` makes such a tar for a chart that is sent alone. Users make others, with provenance files and index.yaml.

The push is that of `helm push` (helm, pkg/registry/client.go): the config is the metadata, one layer is the unchanged
file, another is its provenance; the tag is the version with `_` for `+`. Only the creation time differs: `helm push`
writes the time of the .tgz (version 4: of writing, version 3: of any change) in the local time zone, so its digest
differs between machines. Here it is the time that `helm package` wrote into the chart, in UTC. The same chart always
has the same digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from app.archive.formats.reading.inner_hint import holds_images
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.helm.go_values import to_json
from app.archive.helm.metadata import CHART_YAML, REQUIREMENTS_YAML, ChartMetadata, read_metadata
from app.archive.helm.package import (
    HEAD_BYTES,
    MAX_CHART_BYTES,
    MAX_UNPACKED_BYTES,
    ChartFiles,
    looks_like_chart,
    read_chart,
)
from app.archive.model import Archive, Compression, Extent, Fault, ImageEntry
from app.archive.tar.index import Member
from app.archive.tar.indexer import MAX_PROVENANCE_BYTES
from app.archive.yaml import Node, read_members
from app.errors import (
    ArchiveError,
    LimitExceeded,
    MalformedArchive,
    TruncatedArchive,
    UnknownFormat,
    join_limited,
)
from app.oci import Descriptor, Digest, Manifest, new_manifest
from app.oci.media_types import OCI_MANIFEST

CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE_LAYER = "application/vnd.cncf.helm.chart.provenance.v1.prov"
PROVENANCE = ".prov"  # `helm package --sign` appends it to the name of the chart
INDEX = "index.yaml"  # of a chart repository; not needed in a registry
MAX_CHARTS = 1_000  # in one tar
MAX_FILES = 4_000  # charts and all other files
MAX_TOTAL_BYTES = 512 << 20  # of all charts decompressed, which takes about a second


_DESCRIPTION_SUFFIXES = frozenset({"", ".asc", ".json", ".md", PROVENANCE, ".sha256", ".sig", ".txt", ".yaml", ".yml"})


_PACKAGE = ".tgz"  # the suffix that `helm package` gives
_DAMAGED = (MalformedArchive, TruncatedArchive, UnknownFormat, LimitExceeded)


class HelmChart:
    name = "helm-chart"
    lists_content = False

    def recognises(self, contents: ArchiveReader) -> bool:
        """Return whether all files are charts or describe charts: no other archive, and no unpacked chart.

        One chart that can be read is enough: the other packages may be damaged."""
        files = list(islice(contents.index.files(), MAX_FILES + 1))
        charts = [member for member in files if not _is_description(member)]
        return (
            len(files) <= MAX_FILES
            and 0 < len(charts) <= MAX_CHARTS
            and not any(member.name.endswith(CHART_YAML) for member in files)
            and any(are_charts := [_is_chart(contents, member) for member in charts])
            and all(
                is_chart or _may_be_damaged_chart(contents, member)
                for member, is_chart in zip(charts, are_charts, strict=True)
            )
        )

    def read(self, contents: ArchiveReader) -> Archive:
        images: dict[Digest, ImageEntry] = {}
        manifests: dict[Digest, Manifest] = {}
        blobs: dict[Digest, Extent] = {}
        notes: dict[str, None] = {}
        left = MAX_TOTAL_BYTES
        charts = [member for member in contents.index.files() if not _is_description(member)]
        signed = _read_provenances(contents)
        for member in charts:
            try:
                chart = _read(contents, member, left, signed)
            except _DAMAGED as error:
                left -= min(left, MAX_UNPACKED_BYTES)
                images[Digest.of(member.name.encode())] = _damaged(member, error)
                continue
            left -= chart.files.unpacked
            manifest = chart.manifest
            digest = manifest.descriptor.digest
            manifests[digest] = manifest
            blobs |= chart.blobs
            images[digest] = ImageEntry(manifest.descriptor, paths=(chart.path,))
            notes.update(dict.fromkeys(chart.notes))
            signed.pop(chart.provenance, None)
        notes.update(dict.fromkeys(_unpushed(contents, charts, signed)))
        return Archive(self.name, tuple(images.values()), manifests, blobs, tuple(notes))


def _is_description(member: Member) -> bool:
    return PurePosixPath(member.name).suffix in _DESCRIPTION_SUFFIXES


def _is_chart(contents: ArchiveReader, member: Member) -> bool:
    if member.extent.size > MAX_CHART_BYTES or contents.compression(member.extent) is not Compression.GZIP:
        return False
    head = contents.source.read_at(member.extent.offset, min(member.extent.size, HEAD_BYTES))
    return looks_like_chart(head, contents.limits)


def _may_be_damaged_chart(contents: ArchiveReader, member: Member) -> bool:
    return member.name.endswith(_PACKAGE) and not holds_images(contents, member.extent)


def _damaged(member: Member, error: ArchiveError) -> ImageEntry:
    """Return a chart that cannot be read, with its file in the reason."""
    fault = Fault.of(error)
    message = fault.message if member.name in fault.message else f"{member.name!r:.200}: {fault.message}"
    root = Descriptor(OCI_MANIFEST, Digest.of(member.name.encode()), 0)
    return ImageEntry(root, fault=replace(fault, message=message))


def _read_provenances(contents: ArchiveReader) -> dict[str, bytes]:
    names = [member.name for member in contents.index.files() if member.name.endswith(PROVENANCE)]
    return {name: contents.read(name, MAX_PROVENANCE_BYTES) or b"" for name in names}


def _unpushed(contents: ArchiveReader, charts: list[Member], signed: Mapping[str, bytes]) -> Iterator[str]:
    """Yield a note about files that are not pushed. `signed`: provenance files without a chart."""
    names = {chart.name for chart in charts}
    others = [
        member.name
        for member in contents.index.files()
        if member.name not in names
        and (member.name in signed or not member.name.endswith(PROVENANCE))
        and member.name.rpartition("/")[2] != INDEX
    ]
    if others:
        yield f"these files are not charts and are not pushed: {join_limited(others)}"


@dataclass(frozen=True, slots=True)
class _Chart:
    """A chart. `path`: its path; `blobs`: its layers; `provenance`: the name of that file, or empty."""

    files: ChartFiles
    manifest: Manifest
    path: str
    blobs: Mapping[Digest, Extent]
    provenance: str
    notes: tuple[str, ...]


def _read(contents: ArchiveReader, member: Member, left: int, signed: Mapping[str, bytes]) -> _Chart:
    raw = contents.read(member.name, MAX_CHART_BYTES) or b""
    unpacked_bytes = min(contents.limits.unpacked_bytes, MAX_UNPACKED_BYTES, left)
    files = read_chart(raw, replace(contents.limits, unpacked_bytes=unpacked_bytes))
    metadata, notes = _metadata(files, member.name)
    layers = [_described(CHART_LAYER, raw)]
    blobs = {layers[0].digest: member.extent}
    provenance = _provenance_of(member.name, layers[0].digest, signed)
    if (extent := contents.extent(provenance)) is not None:
        layers.append(_described(PROVENANCE_LAYER, signed[provenance]))
        blobs[layers[1].digest] = extent
    manifest = _manifest(metadata, sorted(layers, key=lambda layer: str(layer.digest)), _time(files.packaged_at))
    path = f"{metadata.name}:{metadata.version.replace('+', '_')}"
    return _Chart(files, manifest, path, blobs, provenance, notes)


def _provenance_of(chart: str, digest: Digest, signed: Mapping[str, bytes]) -> str:
    """Return the name of the chart's provenance file, or empty.

    As in `helm push`, the file named after the chart is preferred to a file that states its digest."""
    if chart + PROVENANCE in signed:
        return chart + PROVENANCE
    stated = str(digest).encode()
    return next((name for name, text in signed.items() if stated in text), "")


def _metadata(files: ChartFiles, what: str) -> tuple[ChartMetadata, tuple[str, ...]]:
    """Return the metadata, and a note if a member was omitted. Raises LimitExceeded, MalformedArchive."""
    documents: list[Mapping[str, Node]] = []
    problems: list[str] = []
    for name, raw in {CHART_YAML: files.chart_yaml, REQUIREMENTS_YAML: files.requirements}.items():
        if raw.strip():
            members, found = read_members(raw, what=f"{name} of {what!r:.200}")
            documents.append(members)
            problems += found
    metadata, unfit = read_metadata(*documents)
    problems += [f"{name!r} has a type that Helm does not read" for name in unfit]
    if not metadata.name or not metadata.version:
        message = f"{CHART_YAML} of {what!r:.200} has no name or no version"
        raise MalformedArchive(f"{message}: {join_limited(problems)}" if problems else message)
    note = f"the config of chart {what!r:.200} lacks parts of {CHART_YAML}: {join_limited(problems)}"
    return metadata, (note,) if problems else ()


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # after the year 9999
        return ""


def _manifest(metadata: ChartMetadata, layers: list[Descriptor], created: str) -> Manifest:
    """Return a manifest like ocispec.Manifest, whose `mediaType` Helm leaves empty."""
    config = metadata.config
    described = _described(CHART_CONFIG, config)
    members = {
        "schemaVersion": 2,
        "config": _object(described),
        "layers": [_object(layer) for layer in layers],
        "annotations": metadata.annotations(created),
    }
    return replace(new_manifest(to_json(members), OCI_MANIFEST), config=replace(described, data=config))


def _object(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def _described(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content))
